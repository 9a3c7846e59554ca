import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { inspect } from 'node:util'
import {
  AccessDenied,
  AuthError,
  CredentialNotFound,
  encryptKey,
  LeaseExpired,
  RateLimited,
  SanctumClient,
  SessionExpired,
  VaultError,
  VaultLocked,
} from '@vestry/sdk/vault'
import { expect, test, vi } from 'vitest'
import { newAgentKeys } from '../harness/keys.ts'
import { clientHome, keyFile, writeKey } from '../old-clients/client-process.ts'
import { SECRET, startWorld, type World } from '../old-clients/world.ts'

/** A client of this world's agent, over its Unix socket. */
function clientOf(world: World, options: ConstructorParameters<typeof SanctumClient>[1] = {}) {
  const where = options.host === undefined ? { socketPath: world.vestry.home.vaultSocket } : {}
  return new SanctumClient('my-agent', { ...where, seed: world.agent.seed, ...options })
}

const PATIENT = { timeout: 10_000 }

function holdTheLoop(ms: number): void {
  const end = performance.now() + ms
  while (performance.now() < end);
}

const held = async (world: World) =>
  (await world.vestry.admin.call('admin.lease.list', { agent: 'my-agent' })).leases.length

test('the quick start and the three connection forms of the manual work as typed', async () => {
  await using world = await startWorld()
  const { host, port } = world.tcp
  const { vaultSocket: socketPath } = world.vestry.home
  const home = world.home()
  vi.stubEnv('HOME', home)
  try {
    // Quick start
    const { apiKey, creds, result } = await SanctumClient.with('my-agent', async (client) => {
      // Retrieve a credential
      const apiKey = await client.retrieve('openai/api_key')

      // List available credentials
      const creds = await client.list()

      // Use-not-retrieve (credential never leaves the vault)
      const result = await client.use('openai/api_key', 'http_header')
      return { apiKey, creds, result }
    })
    expect(apiKey).toBe(SECRET)
    expect(creds.map(({ path }) => path)).toContain('openai/api_key')
    expect(result).toMatchObject({ header_name: 'Authorization', lease_id: expect.any(String) })
    expect(await held(world)).toBe(1) // the header's: nobody can give that one back

    const transport = async (client: SanctumClient) => {
      const me = await client.whoami()
      await client.close()
      return me.transport
    }
    // Unix socket (default: ~/.sanctum/vault.sock)
    const first = new SanctumClient('my-agent')
    await first.connect()
    expect(await transport(first)).toBe('unix')

    // Custom socket path
    const second = new SanctumClient('my-agent', { socketPath })
    await second.connect()
    expect(await transport(second)).toBe('unix')

    // TCP connection
    const third = new SanctumClient('my-agent', { host, port })
    await third.connect()
    expect(await transport(third)).toBe('tcp')

    for (const [target, expected] of [
      [socketPath, 'unix'],
      [[host, port], 'tcp'],
      [{ host, port }, 'tcp'],
    ] as const) {
      expect(await transport(await new SanctumClient('my-agent').connect(target))).toBe(expected)
    }
  } finally {
    vi.unstubAllEnvs()
  }
})

test('vault §27.11: half an address is an error, never another address', () => {
  expect(() => new SanctumClient('my-agent', { host: '127.0.0.1' })).toThrow(/INVALID_PARAMS|param/)
  expect(() => new SanctumClient('my-agent', { port: 8200 })).toThrow(VaultError)
})

test('vault §27.7: encrypted keys open by content or suffix; a wrong passphrase is an AuthError', async () => {
  await using world = await startWorld()
  const home = clientHome()
  const { seed } = world.agent
  const text = await encryptKey(seed, 'correct horse battery staple')
  const enc = `${keyFile(home, 'my-agent')}.enc`
  const unmarked = join(home, 'unmarked')
  writeFileSync(enc, text, { mode: 0o600 })
  writeFileSync(unmarked, text, { mode: 0o600 })
  const login = async (options: object) => {
    const { vaultSocket: socketPath } = world.vestry.home
    await using client = new SanctumClient('my-agent', { socketPath, ...options })
    await client.connect()
    return (await client.whoami()).agent
  }
  const passphrase = 'correct horse battery staple'
  expect(await login({ keyPath: enc, passphrase })).toBe('my-agent')
  expect(await login({ keyPath: unmarked, passphrase: async () => passphrase })).toBe('my-agent')
  expect(await login({ keyPath: enc, passphrase: Buffer.from(passphrase) })).toBe('my-agent')
  vi.stubEnv('HOME', home)
  expect(await login({ passphrase })).toBe('my-agent')
  await expect(login({})).rejects.toThrow(expect.objectContaining({ code: 'AUTH_FAILED' }))
  await expect(login({ passphrase: 'wrong' })).rejects.toBeInstanceOf(AuthError)
  vi.unstubAllEnvs()

  const plain = keyFile(home, 'plain')
  writeKey(plain, seed)
  chmodSync(plain, 0o644)
  await expect(login({ keyPath: plain, strictKeyPermissions: true })).rejects.toMatchObject({
    code: 'AUTH_FAILED',
    suggestion: `Run: chmod 600 ${plain}`,
  })
})

test('an agent that must prove itself to one daemon logs in with a pin only, and the pin holds', async () => {
  const socket = join(clientHome(), 'vault.sock')
  const at = { vault: { socket, listen_tcp: undefined } }
  await using world = await startWorld(at)
  const { vestry } = world
  await vestry.admin.call('admin.agent.amend', { name: 'my-agent', require_sig_v2: true })
  const pinServer = join(clientHome(), 'known_server')
  const { seed } = world.agent
  const plain = new SanctumClient('my-agent', { socketPath: socket, seed })
  await expect(plain.connect()).rejects.toBeInstanceOf(AuthError)
  const client = new SanctumClient('my-agent', { socketPath: socket, seed, pinServer })
  await client.connect()
  expect(await client.retrieve('openai/api_key')).toBe(SECRET)

  // The vault is another one now, at the same address: the first proof fails on our side.
  await client.close()
  await vestry.stop()
  await using other = await startWorld(at)
  const again = new SanctumClient('my-agent', {
    socketPath: socket,
    seed: other.agent.seed,
    pinServer,
  })
  await expect(again.connect()).rejects.toMatchObject({
    code: 'AUTH_FAILED',
    detail: expect.stringContaining('is not the one trusted before'),
  })
})

test('vault §28.53: an expired session is renewed once for all callers, on the same connection', async () => {
  await using world = await startWorld({ vault: { session_idle: 1 } })
  await using client = await clientOf(world).connect()
  const before = (await client.whoami()).session?.created_at
  await sleep(1_400)
  const values = await Promise.all(
    Array.from({ length: 10 }, () => client.retrieve('openai/api_key')),
  )
  expect(values).toEqual(Array(10).fill(SECRET))
  expect((await client.whoami()).session?.created_at).not.toBe(before)
  const logins = world.vestry.auditLines().filter((line) => line.includes('"auth.success"'))
  expect(logins).toHaveLength(2)

  await using strict = await clientOf(world, { autoReauth: false }).connect()
  await sleep(1_400)
  await expect(strict.list()).rejects.toBeInstanceOf(SessionExpired)
  await strict.connect()
  expect((await strict.list()).length).toBeGreaterThan(0)
})

test('vault §28.53: the client comes back after the daemon was restarted', async () => {
  await using world = await startWorld()
  const config = { egress: { allow_cidrs: ['127.0.0.1/32'] } }
  const reconnect = { retries: 20, minMs: 20, maxMs: 200 }
  await using client = await clientOf(world, { reconnect }).connect()
  await using stubborn = await clientOf(world, { reconnect: false }).connect()
  await client.retrieve('openai/api_key')
  expect(client.leases.size).toBe(1)
  await world.vestry.restart(config)
  expect(await client.retrieve('openai/api_key')).toBe(SECRET)
  expect(await client.whoami()).toMatchObject({ agent: 'my-agent' })
  await expect(stubborn.list()).rejects.toMatchObject({ code: 'CONNECTION_CLOSED' })
  // The first lease ended with the daemon that gave it; giving it back disturbs nobody.
  await client.close()
  expect(await held(world)).toBe(0)
})

test('vault §28.53: a use that was under way when the daemon went is not sent twice', async () => {
  await using world = await startWorld()
  await using client = await clientOf(world).connect()
  const url = `${world.upstream.url}/slow/400/once`
  const [answered] = await Promise.all([
    client.httpRequest('web/token', { url }),
    sleep(100).then(() => world.vestry.restart()),
  ])
  expect(answered.status).toBe(200)
  expect(world.upstream.requests.filter(({ path }) => path.endsWith('/once'))).toHaveLength(1)
})

test('vault §28.53: close() gives every lease back at once, and again is harmless', async () => {
  await using world = await startWorld()
  const client = await clientOf(world).connect()
  await Promise.all(Array.from({ length: 50 }, () => client.retrieve('openai/api_key')))
  const { lease_id } = await client.retrieve_raw('openai/api_key', { ttl: 60 })
  await client.release_lease(lease_id)
  await client.retrieve('openai/api_key', 1)
  expect(client.leases.size).toBe(51)
  expect(await held(world)).toBe(51)
  await sleep(1_100)
  await client.close()
  await client.close()
  expect(client.leases.size).toBe(0)
  await expect.poll(() => held(world), PATIENT).toBe(0)

  await expect(
    SanctumClient.with(
      'my-agent',
      async (inner) => {
        await inner.retrieve('openai/api_key')
        throw new RangeError('mine')
      },
      { socketPath: world.vestry.home.vaultSocket, seed: world.agent.seed },
    ),
  ).rejects.toThrow(new RangeError('mine'))
  expect(await held(world)).toBe(0)
})

test('every class of the error table comes from the real daemon, with what a person can act on', async () => {
  await using world = await startWorld({}, { rate: { per_second: 0.01, burst: 3 } })
  const { vestry } = world
  const failure = (promise: Promise<unknown>): Promise<VaultError> =>
    promise.then(
      () => expect.unreachable('it worked'),
      (error: VaultError) => error,
    )
  const client = await clientOf(world).connect()
  const stranger = clientOf(world, { seed: newAgentKeys('x').seed })
  const lease = (await client.retrieveRaw('openai/api_key', { ttl: 1 })).lease_id
  await sleep(1_300)
  const errors = {
    AuthError: await failure(stranger.connect()),
    LeaseExpired: await failure(client.releaseLease(lease)),
    AccessDenied: await failure(client.retrieve('other/secret')),
    CredentialNotFound: await failure(client.retrieve('openai/absent')),
    RateLimited: await failure(
      (async () => {
        for (let n = 0; n < 4; n += 1) await client.retrieve('openai/api_key')
      })(),
    ),
    SessionExpired: await failure(client.logout().then(() => client.list())),
    VaultLocked: await failure(vestry.seal().then(() => clientOf(world).connect())),
  }
  const classes = {
    AuthError,
    LeaseExpired,
    AccessDenied,
    CredentialNotFound,
    RateLimited,
    SessionExpired,
    VaultLocked,
  }
  for (const [name, error] of Object.entries(errors)) {
    expect(error, `${name}: ${inspect(error)}`).toBeInstanceOf(
      classes[name as keyof typeof classes],
    )
    expect(error).toMatchObject({
      detail: expect.any(String),
      suggestion: expect.any(String),
      docsUrl: null,
      docs_url: null,
      context: expect.any(Object),
    })
  }
  expect((errors.RateLimited as RateLimited).retryAfterMs).toBeGreaterThan(0)
  await client.close()
})

test('http_request reaches a local service that the operator opened, and shows the agent no secret', async () => {
  await using world = await startWorld()
  await using client = await clientOf(world).connect()
  const response = await client.httpRequest('web/token', {
    url: `${world.upstream.url}/v1`,
    method: 'PUT',
    query: { q: 'a b', n: [1, 2] },
    headers: { 'x-note': 'hello', authorization: 'Bearer forged' },
    body: new Uint8Array([0xff, 0x00]),
    headerType: 'custom',
    headerName: 'X-Token',
    headerPrefix: 'T ',
  })
  expect(response).toMatchObject({ status: 200, body_encoding: 'utf8', truncated: false })
  expect(world.upstream.requests.at(-1)).toMatchObject({
    method: 'PUT',
    path: '/v1?q=a+b&n=1&n=2',
    headers: { 'x-token': 'T tok-ascii-0123456789', 'x-note': 'hello' },
  })
  expect(world.upstream.requests.at(-1)?.headers.authorization).toBeUndefined()
  const echo = await client.httpRequest('web/token', {
    url: `${world.upstream.url}/echo`,
    method: 'POST',
    body: 'my key is tok-ascii-0123456789',
  })
  expect(JSON.stringify(echo)).not.toContain('tok-ascii-0123456789')
  expect(echo).toMatchObject({ redactions: 1, body: expect.stringContaining('[REDACTED]') })
})

test('vault §28.53: timeouts and aborts give up one call and keep the connection', async () => {
  await using world = await startWorld()
  await using client = await clientOf(world, { requestTimeoutMs: 10_000 }).connect()
  const slow = `${world.upstream.url}/slow/1200/`
  await expect(
    client.httpRequest('web/token', { url: slow, timeoutMs: 300 }),
  ).rejects.toMatchObject({ code: 'UPSTREAM_TIMEOUT' })

  const stop = new AbortController()
  const reason = new Error('no longer needed')
  const aborted = client.httpRequest('web/token', { url: slow }, { signal: stop.signal })
  setTimeout(() => stop.abort(reason), 50)
  await expect(aborted).rejects.toBe(reason)
  await expect(client.list({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason)

  const late = client.retrieve('openai/api_key', { timeoutMs: 5 })
  await new Promise((resolve) => process.nextTick(resolve)) // it is sent
  holdTheLoop(50) // the daemon runs in this process too, so its answer cannot come in time
  await expect(late).rejects.toMatchObject({ code: 'TIMEOUT' })
  expect(client.connected).toBe(true)
  expect(await client.retrieve('openai/api_key')).toBe(SECRET)
  // The lease of the reply that came too late was given back.
  await expect.poll(() => held(world), PATIENT).toBe(1)
})

test('vault §28.53: nothing the client shows holds a secret', async () => {
  await using world = await startWorld()
  await using client = await clientOf(world).connect()
  const raw = await client.retrieveRaw('web/token')
  const header = await client.httpHeader('web/token')
  const failed = await client.retrieve('other/secret').catch((error: unknown) => error)
  const shown = [client, raw, header, failed].map(
    (value) => inspect(value, { depth: 9, showHidden: true }) + JSON.stringify(value),
  )
  for (const hidden of [
    'tok-ascii-0123456789',
    Buffer.from('tok-ascii-0123456789').toString('hex'),
    world.agent.seed.toString('hex'),
  ]) {
    expect(shown.join('\n')).not.toContain(hidden)
  }
  expect(Buffer.from(raw.value, 'hex').toString()).toBe('tok-ascii-0123456789')
  expect(header.header).toBe('Authorization: Bearer tok-ascii-0123456789')
})
