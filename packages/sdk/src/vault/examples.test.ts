import {
  copyFile,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import { retrieveAll } from '../../../../examples/vault/batch.ts'
import { customSocket, defaultSocket, overTcp } from '../../../../examples/vault/connections.ts'
import { retrieveOrExplain } from '../../../../examples/vault/errors.ts'
import { careful, withPassphrase, withSigner } from '../../../../examples/vault/identity.ts'
import { leases } from '../../../../examples/vault/leases.ts'
import { header, operations } from '../../../../examples/vault/operations.ts'
import { quickStart } from '../../../../examples/vault/quick-start.ts'
import { targetOf } from '../../../../examples/vault/target.ts'
import { follow, frames, sealKey, singleCalls } from '../../../../examples/vault/wire.ts'
import { RpcConnection } from './connection.ts'
import { FakeVault, SCOUT_SEED } from './fake-vault.test-kit.ts'
import { signerFromSeed } from './signer.ts'

const root = join(dirname(fileURLToPath(import.meta.url)), '../../../..')

let home: string
let unix: FakeVault
let tcp: FakeVault
let target: ReturnType<typeof targetOf>

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'examples-'))
  unix = await new FakeVault().start()
  tcp = await new FakeVault().start('tcp')
  const keyPath = join(home, 'scout.key')
  await writeFile(keyPath, Buffer.from(SCOUT_SEED).toString('hex'), { mode: 0o600 })
  target = targetOf({
    SANCTUM_AGENT: 'scout',
    SANCTUM_SOCKET: unix.socketPath,
    SANCTUM_KEY: keyPath,
    SANCTUM_PORT: String(tcp.tcp.port),
  })
})

beforeEach(() => {
  vi.stubEnv('HOME', home)
})

afterAll(async () => {
  vi.unstubAllEnvs()
  await unix[Symbol.asyncDispose]()
  await tcp[Symbol.asyncDispose]()
  await rm(home, { recursive: true })
})

test('the quick start runs', async () => {
  expect(await quickStart(target)).toMatchObject({
    length: 18,
    paths: ['encryption/key', 'openai/api_key', 'signing/key'],
    result: { header_name: 'Authorization' },
  })
})

test('the three connection forms run', async () => {
  expect(await customSocket(target)).toBe('unix')
  expect(await overTcp(target)).toBeDefined()
  await expect(defaultSocket(target)).rejects.toMatchObject({ code: 'AUTH_FAILED' })
  await mkdir(join(home, '.sanctum/keys'), { recursive: true })
  await copyFile(target.keyPath, join(home, '.sanctum/keys/scout.key'))
  await symlink(unix.socketPath, join(home, '.sanctum/vault.sock'))
  expect(await defaultSocket(target)).toBe('unix')
})

test('the error example tells failures apart', async () => {
  expect(await retrieveOrExplain(target, 'openai/api_key')).toBe('openai/api_key has 18 characters')
  expect(await retrieveOrExplain(target, 'no/such')).toMatch(/^Path not found/)
  expect(await retrieveOrExplain(target, 'forbidden/x')).toMatch(/^No access/)
  unix.sealed = true
  expect(await retrieveOrExplain(target, 'openai/api_key')).toMatch(/sealed/)
  unix.sealed = false
  expect(await retrieveOrExplain({ ...target, agent: 'nobody' }, 'x')).toMatch(/^Authentication/)
  expect(await retrieveOrExplain({ ...target, socketPath: '/no/vault' }, 'x')).toMatch(
    /^\[DAEMON_UNREACHABLE\]/,
  )
})

test('the batch example keeps what succeeded', async () => {
  const { found, failed } = await retrieveAll(target, ['openai/api_key', 'no/such', 'forbidden/x'])
  expect([...found]).toEqual([['openai/api_key', 'sk-test-0123456789']])
  expect(Object.fromEntries(failed)).toEqual({
    'no/such': 'CREDENTIAL_NOT_FOUND',
    'forbidden/x': 'ACCESS_DENIED',
  })
})

test('the operations and leases examples run', async () => {
  expect(await operations(target, 'https://api.example/v1')).toEqual({
    valid: true,
    plaintext: 'sensitive data',
    allowed: true,
    status: 200,
  })
  expect((await header(target)).has('authorization')).toBe(true)
  expect(await leases(target)).toMatchObject({ granted: 60, renewed: 120, tracked: 1 })
})

test('the identity examples connect', async () => {
  await writeFile(`${target.keyPath}.enc`, await sealKey(SCOUT_SEED, 'open sesame'), {
    mode: 0o600,
  })
  const clients = [
    withPassphrase(target, async () => 'open sesame'),
    withSigner(target, signerFromSeed(SCOUT_SEED)),
    careful(target),
  ]
  for (const client of clients) {
    await client.connect()
    expect(await client.whoami()).toMatchObject({ agent: 'scout' })
    await client.close()
  }
})

test('the wire example runs', async () => {
  expect(await singleCalls(target)).toEqual({ sealed: false, session: 86_400, me: 'scout' })
  const ping = { id: 1, method: 'ping', params: {} }
  expect(frames()).toEqual([ping, 0, ping])
  unix.once('admin.audit.tail', ({ id, peer }) => {
    for (const n of [1, 2, 3]) peer.send({ id, result: { n, more: n < 3 } })
    return true
  })
  const connection = await RpcConnection.open(unix.socketPath)
  const print = vi.fn()
  await follow(connection, print, new AbortController().signal)
  expect(print).toHaveBeenCalledTimes(2)
  await connection.close()
})

test('every code block of the manual is part of a file that runs', async () => {
  const folder = join(root, 'examples/vault')
  const files = (await readdir(folder)).filter((name) => name.endsWith('.ts'))
  const sources = await Promise.all(files.map((name) => readFile(join(folder, name), 'utf8')))
  const packed = sources.map(unindented)
  const manual = await readFile(join(root, 'docs/api/vault.md'), 'utf8')
  const blocks = [...manual.matchAll(/```ts\n([\s\S]*?)```/g)].map(([, code]) => code ?? '')
  expect(blocks.length).toBeGreaterThan(10)
  for (const block of blocks) {
    const excerpt = unindented(block)
    expect(packed.some((source) => source.includes(excerpt)) ? '' : block).toBe('')
  }
})

function unindented(code: string): string {
  const lines = code.split('\n').map((line) => line.trim())
  return lines.filter((line) => line !== '').join('\n')
}
