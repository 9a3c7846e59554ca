import {
  existsSync,
  mkdtempDisposableSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { VestryError } from '@vestry/contract/errors'
import { VaultError } from '@vestry/sdk/vault'
import { expect, test } from 'vitest'
import { readKeyFile } from '../identity/key-file.ts'
import { setAside, withNewKeyFiles } from './agent-keys.ts'

const directory = () => mkdtempDisposableSync(join(tmpdir(), 'agent-keys-'))
const conflict = new VestryError('CONFLICT', 'taken')

test('every directory gets the same key, private to its owner, and only the public half is registered', async () => {
  using dir = directory()
  const [a, b] = [join(dir.path, 'a'), join(dir.path, 'b')]
  const { result, files } = await withNewKeyFiles(
    { dirs: [a, b, a], name: 'scout' },
    async (hex) => hex,
  )
  expect(files.map(({ keyFile }) => keyFile)).toEqual([join(a, 'scout.key'), join(b, 'scout.key')])
  expect(readFileSync(join(a, 'scout.key'), 'utf8')).toBe(
    readFileSync(join(b, 'scout.key'), 'utf8'),
  )
  expect(readFileSync(join(a, 'scout.pub'), 'utf8')).toBe(result)
  expect(result).not.toBe(readFileSync(join(a, 'scout.key'), 'utf8'))
  expect(statSync(join(a, 'scout.key')).mode & 0o777).toBe(0o600)
})

test('a passphrase makes the file of the encrypted form', async () => {
  using dir = directory()
  const passphrase = Buffer.from('correct horse battery')
  await withNewKeyFiles({ dirs: [dir.path], name: 'scout', passphrase }, async () => undefined)
  const { seed } = await readKeyFile(join(dir.path, 'scout.key.enc'), passphrase)
  expect(seed.length).toBe(32)
  seed[Symbol.dispose]()
})

test('a refused registration leaves no file', async () => {
  using dir = directory()
  const dirs = [join(dir.path, 'a'), join(dir.path, 'b')]
  const refused = withNewKeyFiles({ dirs, name: 'scout' }, () => Promise.reject(conflict))
  await expect(refused).rejects.toBe(conflict)
  for (const one of dirs) expect(readdirSync(one)).toEqual([])
})

test('a file in the way of the second directory takes the first one back', async () => {
  using dir = directory()
  writeFileSync(join(dir.path, 'scout.key'), 'mine')
  const dirs = [join(dir.path, 'a'), dir.path]
  const refused = withNewKeyFiles({ dirs, name: 'scout' }, async () => undefined)
  await expect(refused).rejects.toThrow(expect.objectContaining({ code: 'CONFLICT' }))
  expect(readdirSync(join(dir.path, 'a'))).toEqual([])
  expect(readFileSync(join(dir.path, 'scout.key'), 'utf8')).toBe('mine')
})

test('a key the daemon may have taken is kept', async () => {
  using dir = directory()
  const lost = new VaultError('Connection closed', {
    code: 'CONNECTION_CLOSED',
    context: { maybe_executed: true },
  })
  const failed = withNewKeyFiles({ dirs: [dir.path], name: 'scout' }, () => Promise.reject(lost))
  await expect(failed).rejects.toBe(lost)
  expect(existsSync(join(dir.path, 'scout.key'))).toBe(true)
})

test('old files are set aside and can be put back', async () => {
  using dir = directory()
  for (const name of ['scout.key', 'scout.pub', 'other.key'])
    writeFileSync(join(dir.path, name), name)
  const { moved, putBack } = await setAside([dir.path, join(dir.path, 'missing')], 'scout')
  expect(moved).toEqual([join(dir.path, 'scout.key.old'), join(dir.path, 'scout.pub.old')])
  expect(readdirSync(dir.path).sort()).toEqual(['other.key', 'scout.key.old', 'scout.pub.old'])
  await putBack()
  expect(readdirSync(dir.path).sort()).toEqual(['other.key', 'scout.key', 'scout.pub'])
  expect(readFileSync(join(dir.path, 'scout.key'), 'utf8')).toBe('scout.key')
})
