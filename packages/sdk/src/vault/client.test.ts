import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { afterEach, expect, test, vi } from 'vitest'
import { SanctumClient } from './client.ts'
import { RpcConnection } from './connection.ts'
import {
  AccessDenied,
  AuthError,
  CredentialNotFound,
  LeaseExpired,
  RateLimited,
  SessionExpired,
  type VaultError,
  VaultLocked,
} from './errors.ts'
import { FakeVault, type Handler, SCOUT_SEED } from './fake-vault.test-kit.ts'
import { encryptKey } from './key-file.ts'
import type { ClientOptions } from './options.ts'
import { signerFromSeed } from './signer.ts'

const opened: { close(): Promise<void> }[] = []

afterEach(async () => {
  for (const each of opened.splice(0).reverse()) await each.close()
})

async function fakeVault(kind: 'unix' | 'tcp' = 'unix'): Promise<FakeVault> {
  const vault = await new FakeVault().start(kind)
  opened.push({ close: () => vault[Symbol.asyncDispose]() })
  return vault
}

async function connected(options: ClientOptions = {}) {
  const vault = await fakeVault()
  const client = new SanctumClient('scout', {
    socketPath: vault.socketPath,
    seed: SCOUT_SEED,
    reconnect: { retries: 20, minMs: 1, maxMs: 20 },
    ...options,
  })
  opened.push(client)
  await client.connect()
  return { vault, client }
}

const coded = (code: string, members: object = {}) => expect.objectContaining({ code, ...members })
const swallow: Handler = () => true
const dropped: Handler = ({ peer }) => {
  peer.socket.destroy()
  return true
}

test('the seed’s quick start: retrieve, list, use without params, and leases given back', async () => {
  const vault = await fakeVault()
  const seen = await SanctumClient.with(
    'scout',
    async (client) => {
      expect(client.connected).toBe(true)
      const apiKey = await client.retrieve('openai/api_key')
      const paths = (await client.list()).map(({ path, tags }) => `${path} ${tags.join()}`)
      const header = await client.use('openai/api_key', 'http_header')
      expect(client.leases.size).toBe(1)
      return { apiKey, paths, header: header['header'] }
    },
    { socketPath: vault.socketPath, seed: SCOUT_SEED },
  )
  expect(seen).toEqual({
    apiKey: 'sk-test-0123456789',
    paths: ['encryption/key t', 'openai/api_key t', 'signing/key t'],
    header: 'Authorization: Bearer sk-test-0123456789',
  })
  expect(vault.received.at(-1)).toMatchObject({ method: 'release_lease' })
  expect([...vault.leases.values()]).toMatchObject([{ state: 'released' }])
  await vault.until(() => vault.peers.size === 0)
})

test('every form of target reaches the vault', async () => {
  const unix = await fakeVault()
  const tcp = await fakeVault('tcp')
  const { host, port } = tcp.tcp
  const client = new SanctumClient('scout', { seed: SCOUT_SEED })
  opened.push(client)
  for (const target of [unix.socketPath, [host, port], { host, port }] as const) {
    expect(await client.connect(target)).toBe(client)
    expect(await client.whoami()).toMatchObject({ agent: 'scout' })
  }
  const direct = new SanctumClient('scout', { host, port, seed: SCOUT_SEED })
  opened.push(direct)
  await direct.connect()
  expect(await direct.status()).toMatchObject({ sealed: false, protocol: 'sanctum/1' })
})

test.each<[string, object, RegExp]>([
  ['a host without a port', { host: 'h' }, /host was given without port/],
  ['a port without a host', { port: 1 }, /port was given without host/],
  ['a socket and a host', { socketPath: '/s', host: 'h', port: 1 }, /not both/],
  ['two keys', { keyPath: '/k', seed: SCOUT_SEED }, /one of keyPath, seed and signer/],
  ['a short seed', { seed: new Uint8Array(31) }, /32 bytes/],
  ['a signer that is no function', { signer: 'x' }, /signer must be a function/],
  ['a timeout of zero', { requestTimeoutMs: 0 }, /requestTimeoutMs/],
  ['no retries', { reconnect: { retries: 0, minMs: 1, maxMs: 2 } }, /retries of 1/],
  ['half a retry', { rateLimitRetries: 0.5 }, /rateLimitRetries/],
  ['an unknown option', { socket_path: '/s' }, /Unknown option socket_path/],
])('the constructor refuses %s', (_, options, detail) => {
  expect(() => new SanctumClient('scout', options)).toThrow(
    coded('INVALID_PARAMS', { detail: expect.stringMatching(detail) }),
  )
})

test('a misspelt option is answered with the one that was meant', () => {
  expect(() => new SanctumClient('scout', { socket_path: '/s' } as object)).toThrow(
    coded('INVALID_PARAMS', { suggestion: 'Did you mean socketPath?' }),
  )
})

test.each(['', '../../etc/passwd', 'a b', '-x', 'x'.repeat(65), 'ä'])(
  'the agent name %j, which would become a file name, is refused',
  (name) => {
    expect(() => new SanctumClient(name)).toThrow(coded('INVALID_PARAMS'))
  },
)

test('ttl is a number or an option, and only a whole number of seconds is sent', async () => {
  const { vault, client } = await connected()
  await client.retrieve('openai/api_key', 300)
  await client.retrieve('openai/api_key', { ttl: 60, version: 1, reason: 'nightly report' })
  await client.retrieve('openai/api_key')
  const sent = vault.received.filter(({ method }) => method === 'retrieve')
  expect(sent.map(({ params }) => params)).toEqual([
    { path: 'openai/api_key', ttl: 300 },
    { path: 'openai/api_key', ttl: 60, version: 1, reason: 'nightly report' },
    { path: 'openai/api_key' },
  ])
  for (const ttl of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY]) {
    await expect(client.retrieve('openai/api_key', ttl)).rejects.toThrow(coded('INVALID_PARAMS'))
  }
})

test('bytes, text, hex: empty and non-UTF-8 secrets included', async () => {
  const { vault, client } = await connected()
  vault.secrets.set('bin/key', Uint8Array.of(0xff, 0x00, 0x80)).set('empty', new Uint8Array())
  vault.secrets.set('bom', Buffer.from('\uFEFFkey'))
  expect(await client.retrieveBytes('bin/key')).toEqual(Uint8Array.of(0xff, 0x00, 0x80))
  expect(await client.retrieveRaw('bin/key')).toMatchObject({ value: 'ff0080', ttl: 300 })
  await expect(client.retrieve('bin/key')).rejects.toThrow(coded('UNUSABLE_CREDENTIAL'))
  expect(await client.retrieve('empty')).toBe('')
  expect(await client.retrieve('bom')).toBe('\uFEFFkey')
})

test.each([
  [{ value: 'abc', lease_id: 'l', ttl: 1 }],
  [{ value: 'zz', lease_id: 'l', ttl: 1 }],
  [{ lease_id: 'l', ttl: 1 }],
  [{ value: 'ab', ttl: 1 }],
  [{ value: 'ab', lease_id: 'l' }],
])('a malformed retrieve reply %j is an error, not a wrong secret', async (result) => {
  const { vault, client } = await connected()
  vault.once('retrieve', ({ reply }) => {
    reply(result)
    return true
  })
  await expect(client.retrieve('x')).rejects.toThrow(coded('INTERNAL_ERROR'))
  if ('lease_id' in result) await vault.until(() => vault.count('release_lease') === 1)
  expect(client.leases.size).toBe(0)
})

test('a list of many pages is followed to its end, and an endless one is noticed', async () => {
  const { vault, client } = await connected()
  for (let n = 0; n < 25; n += 1) vault.secrets.set(`many/${n}`, new Uint8Array())
  vault.pageSize = 4
  expect(await client.list({ prefix: 'many/' })).toHaveLength(25)
  vault.always('list', ({ reply }) => {
    reply({ credentials: [], next_cursor: 'again' })
    return true
  })
  await expect(client.list()).rejects.toThrow(coded('INTERNAL_ERROR'))
})

test('list entries always have tags to join', async () => {
  const { vault, client } = await connected()
  vault.once('list', ({ reply }) => {
    reply({ credentials: [{ path: 'a' }, { path: 'b', tags: ['x', 'y'], type: 'token' }] })
    return true
  })
  const entries = await client.list()
  expect(entries.map(({ tags }) => tags.join('+'))).toEqual(['', 'x+y'])
  expect(entries[0]).toEqual({ path: 'a', type: null, description: null, tags: [] })
})

test('snake_case aliases do what their twins do', async () => {
  const { vault, client } = await connected()
  const { lease_id } = await client.retrieve_raw('openai/api_key', 9)
  await client.release_lease(lease_id)
  expect(client.leases.size).toBe(0)
  const params = { data: 'x' }
  const [one, two] = [
    await client.use_credential('signing/key', 'sign', params),
    await client.useCredential('signing/key', 'sign', params),
  ]
  expect(one).toEqual(two)
  expect(vault.count('use')).toBe(2)
})

test('the typed helpers send what the operations read', async () => {
  const { vault, client } = await connected()
  const signed = await client.sign('signing/key', 'payload-to-sign', { algorithm: 'hmac-sha256' })
  expect(signed.signature).toBe('7aodK5C6r2OjcWtprX9OTeePz9tVXsKPx5RIPZ14ABM=')
  const bytes = Buffer.from('payload-to-sign')
  expect((await client.sign('signing/key', bytes)).signature).toBe(signed.signature)
  expect(await client.verify('signing/key', bytes, signed.signature)).toBe(true)
  expect(await client.verify('signing/key', 'else', signed.signature)).toBe(false)
  const { ciphertext } = await client.encrypt('encryption/key', 'geheim', { context: 'row 7' })
  const opened = await client.decrypt('encryption/key', ciphertext, { context: 'row 7' })
  expect(opened.plaintext).toBe('geheim')
  expect((await client.httpHeader('openai/api_key', { headerType: 'bearer' })).header_name).toBe(
    'Authorization',
  )
  const response = await client.httpRequest('openai/api_key', {
    url: 'https://api.example/v1',
    method: 'POST',
    headers: [['x-a', '1']],
    query: { q: 'ü' },
    body: Uint8Array.of(1, 2),
    headerType: 'custom',
    headerName: 'x-key',
    timeoutMs: 1_000,
    followRedirects: true,
    maxResponseBytes: 10,
    responseEncoding: 'base64',
  })
  expect(JSON.parse(response.body)).toEqual({
    url: 'https://api.example/v1',
    method: 'POST',
    headers: [['x-a', '1']],
    query: { q: 'ü' },
    body_base64: 'AQI=',
    header_type: 'custom',
    header_name: 'x-key',
    timeout_ms: 1_000,
    follow_redirects: true,
    max_response_bytes: 10,
    response_encoding: 'base64',
  })
  expect(
    vault.received.find(({ params }) => params['operation'] === 'http_header')?.params,
  ).toEqual({ path: 'openai/api_key', operation: 'http_header', params: { header_type: 'bearer' } })
})

test('questions to the daemon: access, leases, renewal', async () => {
  const { client } = await connected()
  expect(await client.checkAccess('openai/api_key', 'retrieve')).toMatchObject({ allowed: true })
  expect(
    await client.checkAccess('no/such', { operation: 'sign', params: { data: 'x' } }),
  ).toMatchObject({ allowed: false })
  const { lease_id } = await client.retrieveRaw('openai/api_key', 1)
  expect(await client.renewLease(lease_id, 60)).toMatchObject({ lease_id, ttl: 60 })
  expect(await client.leaseStatus()).toMatchObject([{ lease_id }])
  expect([...client.leases]).toEqual([lease_id])
})

test('vault §28.53: each condition of the seed’s table is its own class', async () => {
  const { vault, client } = await connected({ autoReauth: false })
  await expect(client.retrieve('forbidden/x')).rejects.toThrow(AccessDenied)
  await expect(client.retrieve('no/such')).rejects.toThrow(CredentialNotFound)
  const { lease_id } = await client.retrieveRaw('openai/api_key')
  const lease = vault.leases.get(lease_id)
  if (lease) lease.endsMs = 0
  await expect(client.releaseLease(lease_id)).rejects.toThrow(LeaseExpired)
  expect(client.leases.size).toBe(0)
  vault.once('list', ({ fail }) => {
    fail('RATE_LIMITED', { context: { retry_after_ms: 7 } })
    return true
  })
  const limited = await client.list().catch((error: unknown) => error)
  expect(limited).toBeInstanceOf(RateLimited)
  expect(limited).toMatchObject({ retryAfterMs: 7 })
  vault.expireSessions()
  await expect(client.list()).rejects.toThrow(SessionExpired)
  vault.sealed = true
  await expect(client.list()).rejects.toThrow(VaultLocked)
  await expect(client.connect()).rejects.toThrow(VaultLocked)
  vault.sealed = false
  vault.agents.clear()
  await expect(client.connect()).rejects.toThrow(AuthError)
})

test('vault §28.53: a plain-text error of an old daemon is the base class with code UNKNOWN', async () => {
  const { vault, client } = await connected()
  vault.once('list', ({ id, peer }) => {
    peer.send({ id, error: 'something went wrong' })
    return true
  })
  await expect(client.list()).rejects.toThrow(
    coded('UNKNOWN', { message: 'something went wrong', name: 'VaultError' }),
  )
})

test('vault §28.53: a failed authentication destroys the socket', async () => {
  const vault = await fakeVault()
  const run = vi.fn()
  const options = { socketPath: vault.socketPath, seed: new Uint8Array(32).fill(7) }
  await expect(SanctumClient.with('scout', run, options)).rejects.toThrow(AuthError)
  expect(run).not.toHaveBeenCalled()
  await vault.until(() => vault.peers.size === 0)
})

test('vault §28.53: connect() on an open client closes the old socket first and keeps leases', async () => {
  const { vault, client } = await connected()
  const { lease_id } = await client.retrieveRaw('openai/api_key')
  await client.connect()
  await vault.until(() => vault.peers.size === 1)
  expect([...client.leases]).toEqual([lease_id])
  await client.close()
  expect(vault.leases.get(lease_id)?.state).toBe('released')
})

test('two connects at once: the later one wins, the earlier one is told', async () => {
  const { vault, client } = await connected()
  const [earlier, later] = await Promise.allSettled([client.connect(), client.connect()])
  expect(earlier).toEqual({ status: 'rejected', reason: coded('CONNECTION_CLOSED') })
  expect(later.status).toBe('fulfilled')
  expect(await client.whoami()).toMatchObject({ agent: 'scout' })
  await vault.until(() => vault.peers.size === 1)
})

test('a close() while connect() still asks for the passphrase leaves nothing open', async () => {
  const vault = await fakeVault()
  const directory = await mkdtemp(join(tmpdir(), 'slow-key-'))
  opened.push({ close: () => rm(directory, { recursive: true }) })
  const keyPath = join(directory, 'scout.key.enc')
  await writeFile(keyPath, await encryptKey(SCOUT_SEED, 'open sesame'), { mode: 0o600 })
  let answer = (_: string): void => {}
  const passphrase = () => new Promise<string>((resolve) => (answer = resolve))
  const { socketPath } = vault
  const client = new SanctumClient('scout', { socketPath, keyPath, passphrase })
  const connecting = client.connect().catch((error: VaultError) => error.code)
  await new Promise((resolve) => setTimeout(resolve, 30))
  await client.close()
  answer('open sesame')
  expect(await connecting).toBe('CONNECTION_CLOSED')
  expect(vault.received).toEqual([])
})

test('vault §28.53: SESSION_EXPIRED: one authentication for all callers, each call repeated', async () => {
  const { vault, client } = await connected()
  vault.expireSessions()
  const calls = Array.from({ length: 20 }, () => client.use('signing/key', 'sign', { data: 'x' }))
  expect(await Promise.all(calls)).toHaveLength(20)
  expect(vault.count('authenticate')).toBe(2)
  expect(vault.peers.size).toBe(1)
})

test('vault §28.53: an expiry that is reported late does not end the session that replaced it', async () => {
  const { vault, client } = await connected()
  const late: (() => void)[] = []
  vault.once('whoami', ({ fail }) => {
    late.push(() => fail('SESSION_EXPIRED'))
    return true
  })
  const slow = client.whoami()
  await vault.until(() => late.length === 1)
  vault.expireSessions()
  await client.list()
  for (const answer of late) answer()
  expect(await slow).toMatchObject({ agent: 'scout' })
  expect(vault.count('authenticate')).toBe(2)
})

test('vault §28.53: SESSION_EXPIRED again after re-authentication is thrown, not looped', async () => {
  const { vault, client } = await connected()
  vault.always('list', ({ fail }) => {
    fail('SESSION_EXPIRED')
    return true
  })
  await expect(client.list()).rejects.toThrow(SessionExpired)
  expect(vault.count('list')).toBe(2)
  expect(vault.count('authenticate')).toBe(2)
})

test('vault §28.53: an agent that was revoked is refused once, not on every call', async () => {
  const { vault, client } = await connected()
  vault.agents.clear()
  vault.expireSessions()
  await expect(client.list()).rejects.toThrow(AuthError)
  await expect(client.list()).rejects.toThrow(AuthError)
  expect(vault.count('authenticate')).toBe(2)
  expect(client.connected).toBe(false)
  await vault.until(() => vault.peers.size === 0)
})

test('vault §28.53: a vault sealed meanwhile is reported, and works on after unsealing', async () => {
  const { vault, client } = await connected()
  vault.sealed = true
  vault.expireSessions()
  await expect(client.list()).rejects.toThrow(VaultLocked)
  expect(vault.count('list')).toBe(1)
  vault.sealed = false
  expect(await client.list()).toHaveLength(3)
})

test('vault §28.53: a connection lost while idle comes back, and the next call waits for it', async () => {
  const { vault, client } = await connected()
  await vault.stop()
  await vault.until(() => !client.connected)
  await vault.start()
  expect(await client.use('signing/key', 'sign', { data: 'x' })).toMatchObject({ key_version: 1 })
  expect(client.connected).toBe(true)
})

test('vault §28.53: when every attempt fails the next call tries anew', async () => {
  const { vault, client } = await connected({ reconnect: { retries: 2, minMs: 1, maxMs: 2 } })
  await vault.stop()
  await vault.until(() => !client.connected)
  await expect(client.list()).rejects.toThrow(coded('DAEMON_UNREACHABLE'))
  await vault.start()
  expect(await client.list()).toHaveLength(3)
})

test('vault §28.53: a connection lost during a repeatable call: the call is repeated', async () => {
  const { vault, client } = await connected()
  for (const method of ['list', 'whoami', 'status', 'check_access', 'retrieve', 'lease_status']) {
    vault.once(method, dropped)
  }
  expect(await client.list()).toHaveLength(3)
  expect(await client.whoami()).toMatchObject({ agent: 'scout' })
  expect(await client.status()).toMatchObject({ sealed: false })
  expect(await client.checkAccess('openai/api_key', 'retrieve')).toMatchObject({ allowed: true })
  const { lease_id } = await client.retrieveRaw('openai/api_key')
  expect(await client.leaseStatus()).toHaveLength(1)
  vault.once('release_lease', dropped)
  await client.releaseLease(lease_id)
  expect(vault.leases.get(lease_id)?.state).toBe('released')
})

test('vault §28.53: a connection lost during use: only a call declared idempotent is repeated', async () => {
  const { vault, client } = await connected()
  vault.once('use', dropped)
  await expect(client.sign('signing/key', 'x')).rejects.toThrow(
    coded('CONNECTION_CLOSED', { context: { method: 'use', maybe_executed: true } }),
  )
  expect(vault.count('use')).toBe(1)
  vault.once('use', dropped)
  const signed = await client.sign('signing/key', 'x', {}, { idempotent: true })
  expect(signed.key_version).toBe(1)
  expect(vault.count('use')).toBe(3)
})

test('a call that loses the connection twice is given up', async () => {
  const { vault, client } = await connected()
  vault.always('list', dropped)
  await expect(client.list()).rejects.toThrow(coded('CONNECTION_CLOSED'))
  expect(vault.count('list')).toBe(2)
})

test('vault §28.53: without reconnect a lost connection stays lost', async () => {
  const { vault, client } = await connected({ reconnect: false })
  vault.once('list', dropped)
  await expect(client.list()).rejects.toThrow(coded('CONNECTION_CLOSED'))
  await expect(client.list()).rejects.toThrow(coded('CONNECTION_CLOSED'))
  expect(vault.count('list')).toBe(1)
  await client.connect()
  expect(await client.list()).toHaveLength(3)
})

test('vault §28.53: a locked vault ends the reconnecting', async () => {
  const { vault, client } = await connected()
  vault.sealed = true
  for (const peer of vault.peers) peer.reset()
  await expect(client.list()).rejects.toThrow(VaultLocked)
})

test('vault §28.53: RATE_LIMITED is waited out as often as rateLimitRetries says', async () => {
  const { vault, client } = await connected({ rateLimitRetries: 2 })
  const limit: Handler = ({ fail }) => {
    fail('RATE_LIMITED', { context: { retry_after_ms: 5 } })
    return true
  }
  vault.once('list', limit, 2)
  expect(await client.list()).toHaveLength(3)
  vault.once('list', limit, 3)
  await expect(client.list()).rejects.toThrow(RateLimited)
  vault.once('list', ({ fail }) => {
    fail('RATE_LIMITED', { context: { retry_after_ms: 3_600_000 } })
    return true
  })
  await expect(client.list()).rejects.toThrow(RateLimited)
})

test('vault §28.53: the timeout of a call bounds its repeats too', async () => {
  const { vault, client } = await connected({ reconnect: { retries: 99, minMs: 50, maxMs: 50 } })
  await vault.stop()
  await vault.until(() => !client.connected)
  await expect(client.list({ timeoutMs: 40 })).rejects.toThrow(
    coded('TIMEOUT', { context: expect.objectContaining({ maybe_executed: false }) }),
  )
})

test('vault §28.53: a signal gives up a call that waits for the connection', async () => {
  const { vault, client } = await connected({ reconnect: { retries: 99, minMs: 50, maxMs: 50 } })
  await vault.stop()
  await vault.until(() => !client.connected)
  const reason = new Error('changed my mind')
  const control = new AbortController()
  const call = client.list({ signal: control.signal })
  control.abort(reason)
  await expect(call).rejects.toBe(reason)
})

test('vault §28.53: a retrieve whose reply comes too late has its lease released', async () => {
  const { vault, client } = await connected()
  vault.once('retrieve', ({ reply }) => {
    vault.leases.set('late', { agent: 'scout', endsMs: Date.now() + 9_000, state: 'live' })
    setTimeout(() => reply({ value: 'ab', lease_id: 'late', ttl: 9 }), 30)
    return true
  })
  await expect(client.retrieve('openai/api_key', { timeoutMs: 5 })).rejects.toThrow(
    coded('TIMEOUT'),
  )
  await vault.until(() => vault.leases.get('late')?.state === 'released')
  expect(client.leases.size).toBe(0)
})

test('vault §28.53: an http_request is given 5 s more than the daemon itself takes', async () => {
  const { vault, client } = await connected({ requestTimeoutMs: 10 })
  vault.once('use', ({ reply }) => {
    setTimeout(() => reply({ status: 200 }), 60)
    return true
  })
  expect(
    await client.httpRequest('openai/api_key', { url: 'https://a.example', timeoutMs: 100 }),
  ).toMatchObject({ status: 200 })
  vault.once('use', swallow)
  await expect(client.sign('signing/key', 'x')).rejects.toThrow(coded('TIMEOUT'))
})

test('vault §28.53: close releases every lease at once', async () => {
  const { vault, client } = await connected()
  for (let n = 0; n < 10; n += 1) await client.retrieve('openai/api_key')
  const held: (() => void)[] = []
  vault.always('release_lease', ({ reply }) => {
    held.push(() => reply({ released: true }))
    if (held.length === 10) for (const answer of held) answer()
    return true
  })
  await client.close()
  expect(held).toHaveLength(10)
  expect(client.leases.size).toBe(0)
})

test('vault §28.53: close waits no longer than its bound for a server that hangs', async () => {
  const { vault, client } = await connected({ releaseOnCloseTimeoutMs: 50 })
  await client.retrieve('openai/api_key')
  vault.always('release_lease', swallow)
  const started = Date.now()
  await client.close()
  expect(Date.now() - started).toBeLessThan(5_000)
  expect(client.connected).toBe(false)
})

test('vault §28.53: close swallows refusals, expired leases, lost connections; twice is fine', async () => {
  const { vault, client } = await connected()
  const first = await client.retrieveRaw('openai/api_key')
  await client.retrieve('openai/api_key')
  const lease = vault.leases.get(first.lease_id)
  if (lease) lease.endsMs = 0
  vault.once('release_lease', ({ fail }) => {
    fail('INTERNAL_ERROR')
    return true
  })
  await Promise.all([client.close(), client.close()])
  await client.close()
  await client.connect()
  await client.retrieve('openai/api_key')
  vault.once('release_lease', dropped)
  await client.close()
  await client.connect()
  await client.retrieve('openai/api_key')
  await vault.stop()
  await client.close()
  expect(client.leases.size).toBe(0)
})

test('vault §28.53: close releases after a session expired, as leases belong to the agent', async () => {
  const { vault, client } = await connected()
  const { lease_id } = await client.retrieveRaw('openai/api_key')
  vault.expireSessions()
  await client.close()
  expect(vault.leases.get(lease_id)?.state).toBe('released')
})

test('vault §28.53: close rejects calls in flight, stops the reconnecting, and refuses later calls', async () => {
  const { vault, client } = await connected()
  vault.always('retrieve', swallow)
  const pending = client.retrieve('openai/api_key').catch((error: VaultError) => error.code)
  await vault.until(() => vault.count('retrieve') === 1)
  await client.close()
  expect(await pending).toBe('CONNECTION_CLOSED')
  expect(vault.count('retrieve')).toBe(1)
  await expect(client.list()).rejects.toThrow(coded('CONNECTION_CLOSED'))
  await client.connect()
  await vault.stop()
  await vault.until(() => !client.connected)
  const waiting = client.list().catch((error: VaultError) => error.code)
  await client.close()
  expect(await waiting).toBe('CONNECTION_CLOSED')
})

test('vault §28.53: a block that throws keeps its own error, whatever close meets', async () => {
  const vault = await fakeVault()
  vault.always('release_lease', dropped)
  const own = new Error('the agent’s own')
  const work = SanctumClient.with(
    'scout',
    async (client) => {
      await client.retrieve('openai/api_key')
      throw own
    },
    { socketPath: vault.socketPath, seed: SCOUT_SEED },
  )
  await expect(work).rejects.toBe(own)
})

test('await using closes the client', async () => {
  const { vault } = await connected()
  {
    await using client = new SanctumClient('scout', {
      socketPath: vault.socketPath,
      seed: SCOUT_SEED,
    })
    await client.connect()
    await client.retrieve('openai/api_key')
  }
  expect(vault.count('release_lease')).toBe(1)
})

test('logout ends the session and keeps it ended until connect()', async () => {
  const { vault, client } = await connected()
  await client.logout()
  expect(client.connected).toBe(false)
  await expect(client.list()).rejects.toThrow(SessionExpired)
  expect(vault.count('authenticate')).toBe(1)
  await client.connect()
  expect(await client.list()).toHaveLength(3)
})

test('a client that was never connected says so', async () => {
  const client = new SanctumClient('scout', { seed: SCOUT_SEED })
  await expect(client.list()).rejects.toThrow(
    coded('CONNECTION_CLOSED', { suggestion: 'Call connect() first.' }),
  )
  await client.close()
})

test('vault §28.53: a server that accepts and never answers is given up', async () => {
  const server = createServer(() => {})
  const directory = await mkdtemp(join(tmpdir(), 'mute-'))
  const socketPath = join(directory, 's.sock')
  await new Promise<void>((resolve) => server.listen(socketPath, resolve))
  const client = new SanctumClient('scout', { socketPath, seed: SCOUT_SEED, connectTimeoutMs: 30 })
  await expect(client.connect()).rejects.toThrow(coded('TIMEOUT'))
  server.close()
  await rm(directory, { recursive: true })
})

test('a signer held elsewhere can prove the agent', async () => {
  const { socketPath } = await fakeVault()
  const client = new SanctumClient('scout', { socketPath, signer: signerFromSeed(SCOUT_SEED) })
  opened.push(client)
  await client.connect()
  expect(await client.whoami()).toMatchObject({ agent: 'scout' })
  const broken = new Error('card removed')
  const signer = () => Promise.reject(broken)
  const failing = new SanctumClient('scout', { socketPath, signer })
  await expect(failing.connect()).rejects.toBe(broken)
})

test('nothing that prints a client, a result or an error shows a secret', async () => {
  const { client } = await connected({ seed: SCOUT_SEED })
  const secret = 'sk-test-0123456789'
  const hex = Buffer.from(secret).toString('hex')
  const raw = await client.retrieveRaw('openai/api_key')
  const header = await client.httpHeader('openai/api_key')
  expect(raw.value).toBe(hex)
  expect(header.header_value).toBe(`Bearer ${secret}`)
  const error = await client.retrieve('no/such').catch((thrown: unknown) => thrown)
  const seedText = Buffer.from(SCOUT_SEED).toString('hex')
  for (const thing of [client, raw, header, error]) {
    const prints = [
      inspect(thing, { depth: 20, showHidden: true }),
      String(thing),
      JSON.stringify(thing),
    ].join('\n')
    for (const text of [secret, hex, seedText]) expect(prints).not.toContain(text)
  }
  expect(JSON.parse(JSON.stringify(raw))).toMatchObject({ value: '[secret]', ttl: 300 })
  expect(inspect(header)).toContain('[secret]')
})

test('a pinned server is trusted on first use and refused on change', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'pins-'))
  opened.push({ close: () => rm(directory, { recursive: true }) })
  const pinServer = join(directory, 'sub', 'known_server')
  const { vault, client } = await connected({ pinServer })
  const line = await readFile(pinServer, 'utf8')
  expect(line).toMatch(new RegExp(`^unix:${vault.socketPath} [0-9a-f]{64}\n$`))
  await client.connect()
  expect(await readFile(pinServer, 'utf8')).toBe(line)
  expect(vault.received.at(-1)?.params).toHaveProperty('signature_v2')

  vault.serverSeed = new Uint8Array(32).fill(3)
  await expect(client.connect()).rejects.toThrow(
    coded('AUTH_FAILED', { detail: expect.stringContaining('not the one trusted before') }),
  )
  expect(vault.received.at(-1)?.method).toBe('authenticate')
  await writeFile(pinServer, '')
  await client.connect()
  vault.provesItself = false
  await expect(client.connect()).rejects.toThrow(
    coded('AUTH_FAILED', { detail: expect.stringContaining('no proof') }),
  )
  await writeFile(pinServer, 'no such line\n')
  vault.provesItself = true
  await expect(client.connect()).rejects.toThrow(
    coded('AUTH_FAILED', { detail: expect.stringContaining('malformed') }),
  )
})

test('a server that signs well but names another id is refused', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'pins-'))
  opened.push({ close: () => rm(directory, { recursive: true }) })
  const honest = await fakeVault()
  const liar = await fakeVault()
  const relay = await RpcConnection.open(honest.socketPath)
  opened.push(relay)
  liar.always('authenticate', ({ params, reply }) => {
    const forged = { server_id: 'ab'.repeat(32) }
    relay.call('authenticate', params).then((offer) => reply({ ...offer, ...forged }), reply)
    return true
  })
  const client = new SanctumClient('scout', {
    socketPath: liar.socketPath,
    seed: SCOUT_SEED,
    pinServer: join(directory, 'known_server'),
  })
  await expect(client.connect()).rejects.toThrow(
    coded('AUTH_FAILED', { detail: expect.stringContaining('does not verify') }),
  )
})

test('a server whose proof was made for another handshake is refused, and gets no signature', async () => {
  const { vault, client } = await connected()
  const directory = await mkdtemp(join(tmpdir(), 'pins-'))
  opened.push({ close: () => rm(directory, { recursive: true }) })
  let earlier: object = {}
  vault.always('authenticate', ({ peer, params, reply }) => {
    if (typeof params['client_nonce'] !== 'string') return false
    reply(earlier)
    peer.challenge = undefined
    return true
  })
  const honest = await RpcConnection.open((await fakeVault()).socketPath)
  earlier = await honest.call('authenticate', {
    agent_name: 'scout',
    client_nonce: '00'.repeat(32),
  })
  honest.destroy()
  const signer = vi.fn()
  const pinned = new SanctumClient('scout', {
    socketPath: vault.socketPath,
    signer,
    pinServer: join(directory, 'known_server'),
  })
  await expect(pinned.connect()).rejects.toThrow(
    coded('AUTH_FAILED', { detail: expect.stringContaining('does not verify') }),
  )
  expect(signer).not.toHaveBeenCalled()
  expect(client.connected).toBe(true)
})
