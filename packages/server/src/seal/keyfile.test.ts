import {
  chmodSync,
  mkdirSync,
  mkdtempDisposableSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { expect, test } from 'vitest'
import { keyFileId, parseKeyFile } from './keyfile.ts'
import { createKeyFile, isInside, loadKeyFile } from './keyfile-load.ts'

const key = Buffer.from(Uint8Array.from({ length: 32 }, (_, at) => at * 7))
const unusable = (why: RegExp) =>
  expect.objectContaining({ code: 'CONFIG_INVALID', message: expect.stringMatching(why) })

test('raw bytes and 64 hex digits in either case, with any line end, are the same key', () => {
  const hex = key.toString('hex')
  for (const content of [key, hex, hex.toUpperCase(), `${hex}\n`, `${hex}\r\n`])
    expect(Buffer.from(parseKeyFile(Buffer.from(content)).bytes)).toEqual(key)
})

test.each([
  '',
  'x'.repeat(31),
  'x'.repeat(33),
  'f'.repeat(63),
  'g'.repeat(64),
  `${'f'.repeat(64)} `,
])('content %j is no key', (content) => {
  expect(() => parseKeyFile(Buffer.from(content))).toThrow(
    expect.objectContaining({ code: 'INVALID_PARAMS' }),
  )
})

test('vault §28.44: a created key file is 0600 under any umask, and is never overwritten', async () => {
  using dir = mkdtempDisposableSync(`${tmpdir()}/keyfile-`)
  const path = `${dir.path}/unseal.key`
  const before = process.umask(0)
  try {
    using made = await createKeyFile(path)
    expect(statSync(path).mode & 0o777).toBe(0o600)
    using loaded = await loadKeyFile(path)
    expect(Buffer.from(loaded.bytes)).toEqual(Buffer.from(made.bytes))
    const content = readFileSync(path)
    await expect(createKeyFile(path)).rejects.toMatchObject({ code: 'CONFLICT' })
    expect(readFileSync(path)).toEqual(content)
  } finally {
    process.umask(before)
  }
})

test('vault §28.44: a key file that others can open is refused, and the way out is said', async () => {
  using dir = mkdtempDisposableSync(`${tmpdir()}/keyfile-`)
  const path = `${dir.path}/unseal.key`
  writeFileSync(path, key)
  for (const mode of [0o640, 0o604, 0o620, 0o601]) {
    chmodSync(path, mode)
    await expect(loadKeyFile(path)).rejects.toMatchObject({ hint: `Run: chmod 600 ${path}` })
  }
  chmodSync(path, 0o400)
  using loaded = await loadKeyFile(path)
  expect(loaded.length).toBe(32)
})

test('what is no key file is refused with a reason, without showing content', async () => {
  using dir = mkdtempDisposableSync(`${tmpdir()}/keyfile-`)
  const path = `${dir.path}/unseal.key`
  await expect(loadKeyFile(path)).rejects.toEqual(unusable(/cannot be read/))
  writeFileSync(path, 'hunter2', { mode: 0o600 })
  await expect(loadKeyFile(path)).rejects.toEqual(unusable(/does not hold/))
  await expect(loadKeyFile(path)).rejects.not.toMatchObject({
    message: expect.stringContaining('hunter2'),
  })
  writeFileSync(path, 'f'.repeat(67))
  await expect(loadKeyFile(path)).rejects.toEqual(unusable(/too long/))
  mkdirSync(`${dir.path}/folder`, { mode: 0o700 })
  await expect(loadKeyFile(`${dir.path}/folder`)).rejects.toEqual(unusable(/regular file/))
  await expect(createKeyFile(`${dir.path}/none/unseal.key`)).rejects.toEqual(
    unusable(/cannot be written/),
  )
})

test('a key beside the data it opens is recognised', () => {
  expect(isInside('/var/vestry', '/var/vestry/keys/unseal.key')).toBe(true)
  expect(isInside('/var/vestry/', '/var/vestry/../vestry/unseal.key')).toBe(true)
  expect(isInside('/var/vestry', '/var/vestry-keys/unseal.key')).toBe(false)
  expect(isInside('/var/vestry', '/etc/unseal.key')).toBe(false)
  expect(isInside('/var/vestry', '/var/vestry/..hidden')).toBe(true)
})

test('the id of a key tells keys apart and does not contain them', () => {
  expect(keyFileId(key)).toMatch(/^[0-9a-f]{16}$/)
  expect(keyFileId(key)).not.toBe(keyFileId(new Uint8Array(32)))
  expect(key.toString('hex')).not.toContain(keyFileId(key))
})
