import { execFile } from 'node:child_process'
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect, promisify } from 'node:util'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { AuthError } from './errors.ts'
import { agentMessage, serverIdOf } from './handshake.ts'
import { encryptKey, loadKey } from './key-file.ts'
import { publicKeyOfSeed, signerFromSeed, verifies } from './signer.ts'

const SEED_HEX = '000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f'
const SEED = Buffer.from(SEED_HEX, 'hex')
const CHALLENGE = Uint8Array.from({ length: 32 }, (_, index) => 0xa0 + index)
const SIGNATURE =
  '01055eed19b94a3a8d1f9d45a13f2b690204cb2062dbfe84ccb2f8378a0dad26' +
  '9e814ae454fb5b30d36a2442e8a32f6ba2fcbb41ba2e529368d2267315c13e02'
const PASSPHRASE = 'correct horse battery staple'
const SEALED =
  '000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20212223242526270e903cc3' +
  'a58bc7e96f3854b201ddb7dc6d8b03a1266dd964f8d6f4990d3aac8e3ca4d36f4605b4785a7e9412146db9ac'

let home: string
let keys: string

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'keys-'))
  keys = join(home, '.sanctum', 'keys')
  await mkdir(keys, { recursive: true })
  vi.stubEnv('HOME', home)
})

afterEach(async () => {
  vi.unstubAllEnvs()
  await rm(home, { recursive: true })
})

async function put(name: string, text: string, mode = 0o600): Promise<string> {
  const path = join(keys, name)
  await writeFile(path, text, { mode })
  await chmod(path, mode)
  return path
}

async function signs(signer: Awaited<ReturnType<typeof loadKey>>): Promise<string> {
  return Buffer.from(await signer(CHALLENGE)).toString('hex')
}

const refusal = (detail: RegExp) =>
  expect.objectContaining({ code: 'AUTH_FAILED', detail: expect.stringMatching(detail) })

test('vault §28.22: the published seed signs the published challenge', async () => {
  const signer = signerFromSeed(SEED)
  expect(await signs(signer)).toBe(SIGNATURE)
  const publicKey = publicKeyOfSeed(SEED)
  expect(publicKey.toString('hex')).toBe(
    '03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8',
  )
  expect(serverIdOf(publicKey).toString('hex').slice(0, 32)).toBe(
    '56475aa75463474c0285df5dbf2bcab7',
  )
})

test('vault §28.22: a signature with the group order added to its scalar does not verify', () => {
  const order = 2n ** 252n + 27742317777372353535851937790883648493n
  const bytes = Buffer.from(SIGNATURE, 'hex')
  const scalar = BigInt(`0x${Buffer.from(bytes.subarray(32)).reverse().toString('hex')}`) + order
  const malleated = Buffer.from(scalar.toString(16).padStart(64, '0'), 'hex').reverse()
  const publicKey = publicKeyOfSeed(SEED)
  expect(verifies(publicKey, CHALLENGE, bytes)).toBe(true)
  expect(verifies(publicKey, CHALLENGE, Buffer.concat([bytes.subarray(0, 32), malleated]))).toBe(
    false,
  )
})

test('the stronger handshake signs the published message', async () => {
  const message = agentMessage({
    serverId: Buffer.from(
      '76609dff7d588a047e05d46a5ce68a088c78d0793a74e6e9de938287689c42d2',
      'hex',
    ),
    agentName: 'scout',
    sessionId: 's-1',
    challenge: CHALLENGE,
  })
  expect(message.toString('hex')).toBe(
    '73616e6374756d2d617574682d763200002076609dff7d588a047e05d46a5ce6' +
      '8a088c78d0793a74e6e9de938287689c42d2000573636f75740003732d310020' +
      'a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebf',
  )
  expect(Buffer.from(await signerFromSeed(SEED)(message)).toString('hex')).toBe(
    '5f64f8cc7ac892d4e5a861b1b3587bc0bf43940494de4a49a014ce1ecb4d537a' +
      '1fa908b639ef3ed5de59434181a01e2e06df86c01aeedb7e68275e287a74b103',
  )
})

test.each([
  ['as it is', SEED_HEX],
  ['in upper case', SEED_HEX.toUpperCase()],
  ['with white space around it', `\r\n  ${SEED_HEX}\t\n`],
])('a plain key is read %s', async (_, text) => {
  await put('scout.key', text)
  expect(await signs(await loadKey('scout'))).toBe(SIGNATURE)
})

test('the published encrypted key opens with its passphrase, whatever form that takes', async () => {
  const keyPath = await put('scout.key.enc', `${SEALED}\n`)
  for (const passphrase of [PASSPHRASE, Buffer.from(PASSPHRASE), async () => PASSPHRASE]) {
    expect(await signs(await loadKey('scout', { passphrase }))).toBe(SIGNATURE)
    expect(await signs(await loadKey('other', { keyPath, passphrase }))).toBe(SIGNATURE)
  }
})

test('an encrypted key is recognised by its length when its name does not say so', async () => {
  const keyPath = await put('renamed', SEALED)
  expect(await signs(await loadKey('scout', { keyPath, passphrase: PASSPHRASE }))).toBe(SIGNATURE)
})

test('any other passphrase is an authentication error, not a foreign exception', async () => {
  await put('scout.key.enc', SEALED)
  for (const passphrase of ['', 'correct horse battery stapl', `${PASSPHRASE} `]) {
    await expect(loadKey('scout', { passphrase })).rejects.toThrow(AuthError)
    await expect(loadKey('scout', { passphrase })).rejects.toThrow(refusal(/wrong passphrase/))
  }
})

test('a flipped bit anywhere in an encrypted key is noticed', async () => {
  for (const at of [0, 20, 45, 87]) {
    const bytes = Buffer.from(SEALED, 'hex')
    bytes[at] = (bytes[at] ?? 0) ^ 1
    const keyPath = await put('bent.enc', bytes.toString('hex'))
    await expect(loadKey('scout', { keyPath, passphrase: PASSPHRASE })).rejects.toThrow(
      refusal(/did not open/),
    )
  }
})

test('a sealed key of our own opens again, and salt and nonce are fresh', async () => {
  const texts = [await encryptKey(SEED, 'p'), await encryptKey(SEED, 'p')]
  expect(texts[0]?.slice(0, 80)).not.toBe(texts[1]?.slice(0, 80))
  const keyPath = await put('own.key.enc', texts[0] ?? '')
  expect(await signs(await loadKey('scout', { keyPath, passphrase: 'p' }))).toBe(SIGNATURE)
})

test('the resolution order: passphrase and sealed file, else the plain file', async () => {
  const other = Buffer.alloc(32, 9)
  await put('scout.key', other.toString('hex'))
  await put('scout.key.enc', SEALED)
  expect(await signs(await loadKey('scout', { passphrase: PASSPHRASE }))).toBe(SIGNATURE)
  expect(await signs(await loadKey('scout'))).not.toBe(SIGNATURE)
  await put('plain.key', SEED_HEX)
  expect(await signs(await loadKey('plain', { passphrase: 'unused' }))).toBe(SIGNATURE)
  await put('sealed.key.enc', SEALED)
  await expect(loadKey('sealed')).rejects.toThrow(refusal(/passphrase required/))
})

test.each([
  ['too short', SEED_HEX.slice(2), /holds 62 characters/],
  ['too long', `${SEED_HEX}00`, /holds 66 characters/],
  ['empty', '', /holds 0 characters/],
  ['not hex', `zz${SEED_HEX.slice(2)}`, /not hex digits/],
  ['huge', 'a'.repeat(5_000), /too large/],
])('a key that is %s is refused and not quoted', async (_, text, detail) => {
  await put('scout.key', text)
  const error = await loadKey('scout').catch((thrown: unknown) => thrown)
  expect(error).toEqual(refusal(detail))
  expect(inspect(error, { depth: 9 })).not.toContain(SEED_HEX.slice(4, 40))
})

test('an encrypted key cut to 174 characters is a clear error', async () => {
  await put('scout.key.enc', SEALED.slice(0, 174))
  await expect(loadKey('scout', { passphrase: PASSPHRASE })).rejects.toThrow(
    refusal(/holds 174 characters; a key is 176/),
  )
})

test('a missing file, a directory and a named pipe are refused without waiting', async () => {
  await expect(loadKey('nobody')).rejects.toThrow(refusal(/does not exist/))
  await expect(loadKey('scout', { keyPath: keys })).rejects.toThrow(refusal(/not a regular file/))
  const pipe = join(keys, 'pipe')
  await promisify(execFile)('mkfifo', ['-m', '600', pipe])
  await expect(loadKey('scout', { keyPath: pipe })).rejects.toThrow(refusal(/not a regular file/))
})

test('a key others can read warns, and is refused when permissions are strict', async () => {
  const keyPath = await put('scout.key', SEED_HEX, 0o640)
  const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
  expect(await signs(await loadKey('scout', { keyPath }))).toBe(SIGNATURE)
  expect(warn).toHaveBeenCalledExactlyOnceWith(
    expect.stringContaining('mode 640'),
    expect.objectContaining({ code: 'VESTRY_KEY_PERMISSIONS' }),
  )
  warn.mockRestore()
  await expect(loadKey('scout', { keyPath, strictKeyPermissions: true })).rejects.toThrow(
    refusal(/opened by other users \(mode 640\)/),
  )
})
