import { mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { encryptedKey, generatePassphrase, isEncrypted, openKey, plainKey } from './key-box.ts'
import { readKeyFile, writeKeyFiles } from './key-file.ts'

const seq = (from: number, n: number) => Uint8Array.from({ length: n }, (_, i) => from + i)
const bytes = (text: string) => Uint8Array.from(Buffer.from(text))
const SEED = seq(0, 32)
const PASSPHRASE = bytes('correct horse battery staple')
const FILE =
  '000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20212223242526270e903cc3' +
  'a58bc7e96f3854b201ddb7dc6d8b03a1266dd964f8d6f4990d3aac8e3ca4d36f4605b4785a7e9412146db9ac'
const fails = (message: string) =>
  expect.objectContaining({ code: 'AUTH_FAILED', message: expect.stringContaining(message) })

let dir: string
beforeEach(async () => {
  dir = join(await mkdtemp(join(tmpdir(), 'vestry-keys-')), 'keys')
})
afterEach(() => rm(join(dir, '..'), { recursive: true }))

describe('the text of a key file', () => {
  it('is vector 26.3 when encrypted', async () => {
    const fresh = { salt: seq(0, 16), nonce: seq(16, 24) }
    expect(Buffer.from(await encryptedKey(SEED, PASSPHRASE, fresh)).toString()).toBe(FILE)
    using seed = await openKey(bytes(`\n ${FILE.toUpperCase()}\t\n`), PASSPHRASE)
    expect(seed.bytes).toEqual(SEED)
  })

  it('uses fresh salt and nonce on every write', async () => {
    const [a, b] = [await encryptedKey(SEED, PASSPHRASE), await encryptedKey(SEED, PASSPHRASE)]
    expect(a.subarray(0, 32)).not.toEqual(b.subarray(0, 32))
    expect(a.subarray(32, 80)).not.toEqual(b.subarray(32, 80))
  })

  it('is 64 digits when plain, read in either case and with white space around', async () => {
    expect(isEncrypted(plainKey(SEED))).toBe(false)
    const text = Buffer.from(plainKey(SEED)).toString()
    using seed = await openKey(bytes(` ${text.toUpperCase()}\r\n`))
    expect(seed.bytes).toEqual(SEED)
  })

  it('fails clearly for a wrong passphrase, a missing one and a truncated file', async () => {
    await expect(openKey(bytes(FILE), bytes('another passphrase'))).rejects.toThrow(
      fails('wrong passphrase'),
    )
    await expect(openKey(bytes(FILE))).rejects.toThrow(fails('passphrase required'))
    await expect(openKey(bytes(FILE.slice(0, 174)), PASSPHRASE)).rejects.toThrow(
      fails('174 characters'),
    )
    await expect(openKey(bytes(`zz${FILE.slice(2, 64)}`))).rejects.toThrow(fails('hex digits'))
    await expect(openKey(bytes(''))).rejects.toThrow(fails('0 characters'))
  })

  it('fails for every changed byte', async () => {
    for (const at of [0, 20, 45, 87]) {
      const changed = Buffer.from(FILE, 'hex')
      changed[at] = (changed[at] ?? 0) ^ 1
      await expect(openKey(bytes(changed.toString('hex')), PASSPHRASE)).rejects.toThrow(
        fails('damaged'),
      )
    }
  })

  it('wants 16 characters of passphrase, not bytes', async () => {
    await expect(encryptedKey(SEED, bytes('ü'.repeat(15)))).rejects.toThrow('shorter than 16')
    await expect(encryptedKey(SEED, bytes('ü'.repeat(16)))).resolves.toHaveLength(176)
    using generated = generatePassphrase()
    expect(generated.length).toBe(32)
  })
})

describe('key files', () => {
  it('are private, whole and read back, under any umask', async () => {
    const before = process.umask(0o777)
    try {
      const written = await writeKeyFiles(dir, 'scout', { seed: SEED })
      expect(written.fingerprint).toBe('ed25519:56475aa75463474c0285df5dbf2bcab7')
    } finally {
      process.umask(before)
    }
    const mode = async (name: string) => (await stat(join(dir, name))).mode & 0o777
    expect(await mode('.')).toBe(0o700)
    expect(await mode('scout.key')).toBe(0o600)
    expect(await mode('scout.pub')).toBe(0o644)
    expect((await readdir(dir)).sort()).toEqual(['scout.key', 'scout.pub'])
    expect(await readFile(join(dir, 'scout.pub'), 'utf8')).toMatch(/^03a107bf[0-9a-f]{56}$/)
    const { seed, exposed } = await readKeyFile(join(dir, 'scout.key'))
    expect(seed.bytes).toEqual(SEED)
    expect(exposed).toBe(false)
  })

  it('get an ending of their own when encrypted', async () => {
    const { keyFile } = await writeKeyFiles(dir, 'scout', { passphrase: PASSPHRASE })
    expect(keyFile).toBe(join(dir, 'scout.key.enc'))
    using seed = (await readKeyFile(keyFile, PASSPHRASE)).seed
    expect(seed.length).toBe(32)
  })

  it('are never overwritten, and a failed attempt leaves nothing behind', async () => {
    await writeKeyFiles(dir, 'scout')
    const key = await readFile(join(dir, 'scout.key'))
    await expect(writeKeyFiles(dir, 'scout')).rejects.toMatchObject({ code: 'CONFLICT' })
    expect(await readFile(join(dir, 'scout.key'))).toEqual(key)
    await writeFile(join(dir, 'ada.pub'), 'someone else')
    await expect(writeKeyFiles(dir, 'ada')).rejects.toMatchObject({ code: 'CONFLICT' })
    expect((await readdir(dir)).sort()).toEqual(['ada.pub', 'scout.key', 'scout.pub'])
  })

  it('are not written through a link that waits for them', async () => {
    await writeKeyFiles(dir, 'first')
    const target = join(dir, 'target')
    await symlink(target, join(dir, 'scout.key'))
    await expect(writeKeyFiles(dir, 'scout')).rejects.toMatchObject({ code: 'CONFLICT' })
    await expect(stat(target)).rejects.toMatchObject({ code: 'ENOENT' })
  })

  it('one of many writers wins', async () => {
    const writers = Array.from({ length: 8 }, () => writeKeyFiles(dir, 'scout'))
    const won = (await Promise.allSettled(writers)).filter(({ status }) => status === 'fulfilled')
    expect(won).toHaveLength(1)
    expect((await readdir(dir)).sort()).toEqual(['scout.key', 'scout.pub'])
  })

  it('never leave the directory', async () => {
    for (const name of ['../scout', 'a/b', '.', ''])
      await expect(writeKeyFiles(dir, name)).rejects.toMatchObject({ code: 'INVALID_PARAMS' })
  })

  it('tell when others may read them, and refuse what cannot be a key', async () => {
    await writeKeyFiles(dir, 'first')
    await writeFile(join(dir, 'open.key'), plainKey(SEED), { mode: 0o644 })
    const { seed, exposed } = await readKeyFile(join(dir, 'open.key'))
    seed[Symbol.dispose]()
    expect(exposed).toBe(true)
    await writeFile(join(dir, 'big.key'), 'a'.repeat(5000))
    await expect(readKeyFile(join(dir, 'big.key'))).rejects.toThrow('too large')
    await expect(readKeyFile(join(dir, 'none.key'))).rejects.toMatchObject({ code: 'NOT_FOUND' })
  })
})
