import { argon2Sync, createCipheriv, randomBytes } from 'node:crypto'
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { VestryError } from '@vestry/contract/errors'
import { afterAll, afterEach, beforeEach, expect, test } from 'vitest'
import { takeWriterLock } from '../../audit/writer-lock.ts'
import { Secret } from '../../seal/secret.ts'
import { codeOf, putText, signal, textOf } from '../testing/conformance.test-kit.ts'
import { FileBackend, type FileBackendOptions } from './file-backend.ts'

const PLACE = { agent: 'scout', name: 'db/password' }
const PASSPHRASE = 'correct horse battery staple'
const RAW_KEY = Buffer.alloc(32, 7).toString('base64')
const base = mkdtempSync(join(tmpdir(), 'file-'))
afterAll(() => rmSync(base, { recursive: true }))

let directory: string
let path: string
const opened: FileBackend[] = []
beforeEach(() => {
  directory = mkdtempSync(join(base, 'd-'))
  path = join(directory, 'secrets.enc')
})
afterEach(async () => {
  for (const backend of opened.splice(0)) await backend.close()
})

function open(key: string, more: Partial<FileBackendOptions> = {}): FileBackend {
  const backend = new FileBackend({
    path,
    key: async () => Secret.copy(Buffer.from(key)),
    backups: 0,
    importAgent: undefined,
    now: Date.now,
    ...more,
  })
  opened.push(backend)
  return backend
}

async function made(key = RAW_KEY, more: Partial<FileBackendOptions> = {}): Promise<FileBackend> {
  const backend = open(key, more)
  await backend.probe(signal, { create: true })
  return backend
}

async function thrown(work: Promise<unknown>): Promise<VestryError> {
  const error: unknown = await work.catch((reason: unknown) => reason)
  if (error instanceof VestryError) return error
  throw new Error(`expected an error, got ${String(error)}`)
}

/** As another program writes such a file, with nothing of ours. */
function container(kdf: string, key: Uint8Array, salt: Uint8Array, plain: string): string {
  const nonce = randomBytes(12)
  const cipher = createCipheriv('aes-256-gcm', key, nonce)
  const sealed = Buffer.concat([cipher.update(plain), cipher.final(), cipher.getAuthTag()])
  return JSON.stringify({
    ciphertext: sealed.toString('base64'),
    nonce: nonce.toString('base64'),
    salt: Buffer.from(salt).toString('base64'),
    algorithm: 'AES-256-GCM',
    kdf,
  })
}

const DOCUMENT = JSON.stringify({
  version: 1,
  agents: {
    scout: {
      'db/password': {
        value: 'from elsewhere',
        description: null,
        created_at: '2031-04-05T07:10:00.000Z',
        updated_at: null,
        version: 3,
      },
    },
  },
})
const SALT = Buffer.alloc(32, 9)
const argon = (memory: number, passes: number) =>
  argon2Sync('argon2id', {
    message: PASSPHRASE,
    nonce: SALT,
    parallelism: 1,
    tagLength: 32,
    memory,
    passes,
  })

test.each([
  ['Argon2id-m65536-t3-p1', () => argon(65_536, 3)],
  ['Argon2', () => argon(19_456, 2)],
])(
  'runtime §20.14: a file of another program, made with %s, is read and goes on with the strongest',
  async (kdf, key) => {
    writeFileSync(path, container(kdf, key(), SALT, DOCUMENT), { mode: 0o600 })
    const backend = await made(PASSPHRASE)
    expect(await textOf(backend, PLACE)).toBe('from elsewhere')
    expect(await backend.get(PLACE, signal)).toMatchObject({
      version: 3,
      createdAtMs: Date.parse('2031-04-05T07:10:00Z'),
    })
    await putText(backend, PLACE, 'ours')
    const file = JSON.parse(readFileSync(path, 'utf8')) as Record<string, string>
    expect(Object.keys(file)).toEqual(['ciphertext', 'nonce', 'salt', 'algorithm', 'kdf'])
    expect(file).toMatchObject({ algorithm: 'AES-256-GCM', kdf: 'Argon2id-m65536-t3-p1' })
    expect(Buffer.from(file['salt'] ?? '', 'base64')).toHaveLength(32)
    expect(await textOf(backend, PLACE)).toBe('ours')
    expect(await backend.get(PLACE, signal)).toMatchObject({ version: 4 })
  },
)

test('a key of 32 bytes in base64 is used as it is, and a file that has one needs one', async () => {
  const backend = await made()
  await putText(backend, PLACE, 'v')
  expect(JSON.parse(readFileSync(path, 'utf8'))).toMatchObject({ kdf: 'none' })
  expect(await textOf(open(RAW_KEY), PLACE)).toBe('v')
  expect((await thrown(textOf(open(PASSPHRASE), PLACE))).code).toBe('BACKEND_AUTH_FAILED')
})

test('runtime §20.15: on disk there is no plain text, one nonce per write, and mode 0600 whatever the umask', async () => {
  const before = process.umask(0)
  try {
    const backend = await made()
    const nonces = new Set<unknown>()
    for (let round = 0; round < 5; round += 1) {
      await putText(backend, { agent: 'night-owl', name: `smtp-${round}` }, 'hunter2-zzz', {
        description: 'mailbox',
      })
      nonces.add(JSON.parse(readFileSync(path, 'utf8')).nonce)
    }
    expect(nonces.size).toBe(5)
    const all = readdirSync(directory)
    expect(all).toEqual(['secrets.enc'])
    const text = readFileSync(path, 'latin1')
    for (const word of ['hunter2', 'night-owl', 'smtp-', 'mailbox', RAW_KEY]) {
      expect(text).not.toContain(word)
      expect(text).not.toContain(Buffer.from(word).toString('base64').slice(0, 8))
    }
    expect(statSync(path).mode & 0o777).toBe(0o600)
  } finally {
    process.umask(before)
  }
})

test('runtime §20.15: a wrong key or an altered byte fails, and nothing on disk changes', async () => {
  await putText(await made(), PLACE, 'v')
  const before = readFileSync(path)
  const wrong = open(Buffer.alloc(32, 8).toString('base64'))
  for (const work of [
    () => wrong.probe(signal, { create: true }),
    () => putText(wrong, PLACE, 'x'),
    () => wrong.delete(PLACE, signal),
    () => wrong.list('scout', signal),
  ]) {
    expect(await thrown(work())).toMatchObject({ code: 'BACKEND_AUTH_FAILED', status: 502 })
  }
  expect(readFileSync(path)).toEqual(before)
  const file = JSON.parse(before.toString()) as { ciphertext: string }
  const bytes = Buffer.from(file.ciphertext, 'base64')
  bytes[3] = (bytes[3] ?? 0) ^ 1
  writeFileSync(path, JSON.stringify({ ...file, ciphertext: bytes.toString('base64') }))
  expect(await codeOf(putText(open(RAW_KEY), PLACE, 'x'))).toBe('BACKEND_AUTH_FAILED')
})

test('runtime §20.15: a file that others may read, a link, a directory or a pipe is refused', async () => {
  await putText(await made(), PLACE, 'v')
  for (const mode of [0o640, 0o604, 0o660, 0o602]) {
    chmodSync(path, mode)
    expect(await thrown(textOf(open(RAW_KEY), PLACE))).toMatchObject({
      code: 'BACKEND_ERROR',
      hint: expect.stringContaining('chmod 600'),
    })
  }
  chmodSync(path, 0o600)
  const real = join(directory, 'real')
  renameSync(path, real)
  symlinkSync(real, path)
  expect((await thrown(textOf(open(RAW_KEY), PLACE))).message).toContain('is a link')
  rmSync(path)
  mkdirSync(path)
  expect((await thrown(textOf(open(RAW_KEY), PLACE))).code).toMatch(/^BACKEND_/)
})

test('a file that has gone is an error, and never an empty set that the next write makes true', async () => {
  const backend = await made()
  await putText(backend, PLACE, 'v')
  rmSync(path)
  for (const work of [
    () => textOf(backend, PLACE),
    () => putText(backend, PLACE, 'x'),
    () => backend.probe(signal, { create: false }),
  ])
    expect((await thrown(work())).code).toBe('BACKEND_UNAVAILABLE')
  expect(readdirSync(directory)).toEqual([])
})

test.each([
  ['no JSON', 'x'],
  ['another object', '{"a":1}'],
  ['an unknown derivation', container('PBKDF2', Buffer.alloc(32, 7), SALT, DOCUMENT)],
  [
    'another cipher',
    container('none', Buffer.alloc(32, 7), SALT, DOCUMENT).replace('AES-256-GCM', 'ChaCha20'),
  ],
  ['content that is no JSON', container('none', Buffer.alloc(32, 7), SALT, 'hunter2')],
  [
    'content of another layout',
    container('none', Buffer.alloc(32, 7), SALT, '{"version":2,"agents":{}}'),
  ],
  [
    'an incomplete entry',
    container(
      'none',
      Buffer.alloc(32, 7),
      SALT,
      '{"version":1,"agents":{"a":{"b":{"value":"hunter2"}}}}',
    ),
  ],
])('a file with %s is told, without its content', async (_, content) => {
  writeFileSync(path, content, { mode: 0o600 })
  const error = await thrown(textOf(open(RAW_KEY), PLACE))
  expect(error.code).toBe('BACKEND_ERROR')
  expect(`${error.message} ${error.hint} ${error.stack}`).not.toContain('hunter2')
})

test('a flat file of another runtime belongs to the agent that is named for it', async () => {
  const flat = JSON.stringify({ 'api-key': 'k', 'db/password': 'p' })
  writeFileSync(path, container('none', Buffer.alloc(32, 7), SALT, flat), { mode: 0o600 })
  expect(await thrown(open(RAW_KEY).owners(signal))).toMatchObject({
    hint: expect.stringContaining('import_agent'),
  })
  const backend = open(RAW_KEY, { importAgent: 'scout' })
  expect(await backend.list('scout', signal)).toEqual(['api-key', 'db/password'])
  await putText(backend, PLACE, 'newer')
  expect(await textOf(open(RAW_KEY), { agent: 'scout', name: 'api-key' })).toBe('k')
})

test('older contents are kept, as many as were asked for', async () => {
  const backend = await made(RAW_KEY, { backups: 2 })
  for (const text of ['one', 'two', 'three', 'four']) await putText(backend, PLACE, text)
  expect(readdirSync(directory).sort()).toEqual(['secrets.enc', 'secrets.enc.1', 'secrets.enc.2'])
  expect(await textOf(open(RAW_KEY, { path: `${path}.1` }), PLACE)).toBe('three')
  expect(await textOf(open(RAW_KEY, { path: `${path}.2` }), PLACE)).toBe('two')
})

test('writers of two programs wait for each other, and lose nothing', async () => {
  const one = await made()
  const other = open(RAW_KEY)
  await Promise.all(
    Array.from({ length: 10 }, (_, at) =>
      putText(at % 2 === 0 ? one : other, { agent: 'scout', name: `n${at}` }, `v${at}`),
    ),
  )
  expect(await one.list('scout', signal)).toHaveLength(10)
})

test('a lock that is held elsewhere is waited for, as long as the caller waits', async () => {
  const backend = await made()
  const lock = takeWriterLock(directory, 'secrets.enc.lock')
  const controller = new AbortController()
  const writing = putText(backend, PLACE, 'v', { signal: controller.signal })
  controller.abort(new VestryError('CANCELLED'))
  await expect(writing).rejects.toThrow()
  const second = putText(backend, PLACE, 'w')
  lock[Symbol.dispose]()
  await second
  expect(await textOf(backend, PLACE)).toBe('w')
})

test('what a killed writer left beside the file goes when the back end is configured again', async () => {
  await made()
  const left = `${path}.${'ab'.repeat(8)}.tmp`
  writeFileSync(left, 'x')
  const other = `${path}.mine.tmp`
  writeFileSync(other, 'x')
  await open(RAW_KEY).probe(signal, { create: true })
  expect(readdirSync(directory).sort()).toEqual(['secrets.enc', 'secrets.enc.mine.tmp'])
})

test('runtime §20.15: a file that would grow too large to be read again is not written', async () => {
  // In base64 a little less than 16 MiB.
  const value = 'x'.repeat(12_550_000)
  const entry = { value, created_at: '2031-04-05T07:10:00.000Z', version: 1 }
  const document = JSON.stringify({ version: 1, agents: { owl: { large: entry } } })
  writeFileSync(path, container('none', Buffer.alloc(32, 7), SALT, document), { mode: 0o600 })
  const backend = await made()
  const before = readFileSync(path)
  expect(await thrown(putText(backend, PLACE, 'x'.repeat(65_536)))).toMatchObject({
    code: 'BACKEND_ERROR',
    message: expect.stringContaining('is full'),
  })
  expect(readFileSync(path).equals(before)).toBe(true)
  expect(readdirSync(directory)).toEqual(['secrets.enc'])
})

test('one that was closed says so, and opens nothing any more', async () => {
  const backend = await made()
  await backend.close()
  expect(await codeOf(textOf(backend, PLACE))).toBe('BACKEND_UNAVAILABLE')
  expect(await codeOf(putText(backend, PLACE, 'x'))).toBe('BACKEND_UNAVAILABLE')
})

test('no error names the directory the file is in', async () => {
  const backend = await made()
  chmodSync(path, 0o644)
  const error = await thrown(textOf(backend, PLACE))
  expect(error.hint).toBe('chmod 600 secrets.enc')
  expect(JSON.stringify([error.message, error.hint, error.context])).not.toContain(directory)
})
