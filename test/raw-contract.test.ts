/**
 * An outsider's client: a socket, the wire as vault.md describes it, and the command line. Nothing of ours is
 * imported, so that what this proves does not lean on our own reading of the contract.
 */
import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process'
import { createPrivateKey, sign } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

/** wire contract §13.1, to the letter. */
const CONTRACT_RULES = `version: 1
policies:
  - name: research-openai
    effect: allow                     # allow (default) | deny
    principals: ["agent:research-*"]  # "principal" (single string) also accepted
    resources: ["openai/*"]
    actions: [list, "use:http_request"]
    hosts: ["api.openai.com"]
    methods: [GET, POST]
    max_ttl: 900
    default_ttl: 300
    rate: { per_second: 5, burst: 20, per_day: 5000 }
    conditions:
      not_before: 2026-01-01T00:00:00Z
      not_after: 2026-12-31T00:00:00Z
      hours: { days: [mon, tue, wed, thu, fri], from: "07:00", to: "19:00", tz: Europe/Berlin }
      transports: [unix]
      require_reason: true
    enabled: true
  - name: scratch-space
    principals: ["agent:*"]
    resources: ["agents/{{agent.name}}/**"]
    actions: [list, retrieve, use]
    hosts: ["*.example.com"]
`

/** What the contract's own rules leave out: a rule for every refusal. */
const ownRules = (upstream: number, closed: number): string => `version: 1
policies:
  - { name: local, principals: ["agent:research-1"], resources: ["local/*"], actions: ["use:http_request"],
      hosts: ["127.0.0.1:${upstream}", "127.0.0.1:${closed}", "10.1.2.3"], allow_http: true, allow_redirects: true }
  - { name: daily, principals: ["agent:research-1"], resources: ["daily/*"], actions: [retrieve], rate: { per_day: 1 } }
  - { name: once, principals: ["agent:research-1"], resources: ["once/*"], actions: [retrieve], max_uses: 1 }
  - { name: asks, principals: ["agent:research-1"], resources: ["asks/*"], actions: [retrieve], require_approval: true }
  - { name: keys, principals: ["agent:research-1"], resources: ["keys/*"], actions: [use, retrieve, unwrap] }
  - { name: new, principals: ["agent:research-1"], resources: ["new/*"], actions: [store] }
`

interface Failure {
  code: string
  message: string
  detail: string | null
  suggestion: string | null
  docs_url: string | null
  context: Record<string, unknown>
}
interface Frame {
  id: number | string | null
  // biome-ignore lint/suspicious/noExplicitAny: a reply is whatever the other side sent
  result?: Record<string, any>
  error?: Failure
}

const MAX_FRAME = 4_194_304

/** wire contract §2 and §3: a length, then JSON; replies found by their id. */
class Outsider {
  readonly #socket: Socket
  readonly #frames: Frame[] = []
  #rest = Buffer.alloc(0)
  #next = 1

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.on('error', () => {}) // a closed connection shows as an end
    socket.on('data', (chunk: Buffer) => {
      this.#rest = Buffer.concat([this.#rest, chunk])
      while (this.#rest.length >= 4) {
        const length = this.#rest.readUInt32BE(0)
        expect(length).toBeLessThanOrEqual(MAX_FRAME)
        if (this.#rest.length < 4 + length) return
        this.#frames.push(JSON.parse(this.#rest.subarray(4, 4 + length).toString('utf8')))
        this.#rest = this.#rest.subarray(4 + length)
        socket.emit('frame')
      }
    })
  }

  static async open(path: string): Promise<Outsider> {
    const socket = connect({ path })
    await once(socket, 'connect')
    return new Outsider(socket)
  }

  send(body: string | Uint8Array): void {
    const bytes = Buffer.from(body)
    const header = Buffer.alloc(4)
    header.writeUInt32BE(bytes.length)
    this.#socket.write(Buffer.concat([header, bytes]))
  }

  /** The first frame that `wanted` accepts, now or later. */
  async frame(wanted: (frame: Frame) => boolean): Promise<Frame> {
    const signal = AbortSignal.timeout(15_000)
    for (;;) {
      const at = this.#frames.findIndex(wanted)
      if (at >= 0) return this.#frames.splice(at, 1)[0] as Frame
      await once(this.#socket, 'frame', { signal })
    }
  }

  async exchange(method: string, params: object = {}): Promise<Frame> {
    const id = this.#next++
    this.send(JSON.stringify({ id, method, params }))
    const frame = await this.frame((one) => one.id === id)
    // §3.2: exactly one of the two, and a result is an object.
    expect([frame.result !== undefined, frame.error != null].filter(Boolean)).toHaveLength(1)
    if (frame.error == null) expect(frame.result).toBeTypeOf('object')
    return frame
  }

  // biome-ignore lint/suspicious/noExplicitAny: as above
  async call(method: string, params: object = {}): Promise<Record<string, any>> {
    const { result, error } = await this.exchange(method, params)
    expect(error, `${method} failed`).toBeUndefined()
    return result ?? {}
  }

  /** The error of a call that must fail, checked against §9.1. */
  async failure(method: string, params: object = {}): Promise<Failure> {
    const { error } = await this.exchange(method, params)
    return wellFormed(error)
  }

  /** §5.1: the key file holds the seed in hex; the raw challenge bytes are signed. */
  async authenticate(agent: string, keyFile: string, spoil = (bytes: Buffer) => bytes) {
    const { session_id, challenge } = await this.call('authenticate', { agent_name: agent })
    const seed = Buffer.from(readFileSync(keyFile, 'utf8').trim(), 'hex')
    const key = createPrivateKey({
      key: Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), seed]),
      format: 'der',
      type: 'pkcs8',
    })
    const signature = spoil(sign(null, Buffer.from(challenge, 'hex'), key)).toString('hex')
    return this.exchange('challenge_response', { session_id, signature })
  }

  close(): void {
    this.#socket.destroy()
  }
}

/** §9.1: every member, always; and the message that §9.2 gives the code. */
function wellFormed(error: Failure | undefined): Failure {
  if (error === undefined) throw new Error('the call should have failed')
  expect(error).toMatchObject({ code: expect.any(String), context: expect.any(Object) })
  for (const name of ['detail', 'suggestion', 'docs_url'] as const)
    expect(error[name] === null || typeof error[name] === 'string', name).toBe(true)
  expect(error.context['request_id']).toBeTypeOf('string')
  expect({ [error.code]: error.message }).toEqual({ [error.code]: MESSAGES[error.code] })
  return error
}

/**
 * Of §9.2 without those that no agent of a sound daemon meets: NOT_INITIALIZED (it does not start without a
 * vault), TIMEOUT (a method that hangs for 30 s), INTERNAL_ERROR, and the two of operators.
 */
const MESSAGES: Readonly<Record<string, string>> = {
  AUTH_FAILED: 'Authentication failed',
  ACCESS_DENIED: 'Access denied by policy',
  CREDENTIAL_NOT_FOUND: 'Credential not found',
  VAULT_LOCKED: 'Vault is locked',
  LEASE_EXPIRED: 'Lease has expired',
  RATE_LIMITED: 'Too many requests',
  SESSION_EXPIRED: 'Session is not active',
  LEASE_EXHAUSTED: 'Lease use limit reached',
  SSRF_BLOCKED: 'Target address is not allowed',
  INVALID_REQUEST: 'Malformed request',
  METHOD_NOT_FOUND: 'Unknown method',
  INVALID_PARAMS: 'Invalid parameters',
  REQUEST_TOO_LARGE: 'Request is too large',
  RESPONSE_TOO_LARGE: 'Response is too large',
  LEASE_NOT_FOUND: 'Lease not found',
  OPERATION_NOT_SUPPORTED: 'Operation is not supported',
  UNUSABLE_CREDENTIAL: 'Credential cannot be used for this operation',
  DECRYPT_FAILED: 'Decryption failed',
  REDIRECT_BLOCKED: 'Redirect is not allowed',
  UPSTREAM_ERROR: 'Upstream request failed',
  UPSTREAM_TIMEOUT: 'Upstream request timed out',
  BACKEND_UNAVAILABLE: 'Secret backend is unavailable',
  APPROVAL_REQUIRED: 'Operator approval is required',
  WRAP_INVALID: 'Wrapping token is not valid',
  CONFLICT: 'Resource already exists or has changed',
  AUDIT_UNAVAILABLE: 'Audit log is not writable',
  SHUTTING_DOWN: 'Daemon is shutting down',
}

const ROOT = resolve(import.meta.dirname, '..')
const home = mkdtempSync(join(tmpdir(), 'vestry-raw-'))
const keyFile = join(home, 'keys', 'research-1.key')
const API_KEY = 'sk-raw-0123456789'
let daemon: ChildProcess
let socketPath: string
let upstream: Server
let port: number
let closed: number
let client: Outsider

/** As a person types it; the sources, so that nothing depends on when they were built last. */
async function vestry(words: string[], input?: string): Promise<string> {
  const running = promisify(execFile)(
    process.execPath,
    ['--conditions=source', join(ROOT, 'packages/server/src/cli/main.ts'), ...words],
    {
      env: {
        PATH: process.env['PATH'],
        NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'],
        VESTRY_HOME: home,
      },
    },
  )
  running.child.stdin?.end(input)
  return (await running).stdout
}

async function listening(server: Server): Promise<number> {
  await once(server.listen(0, '127.0.0.1'), 'listening')
  return (server.address() as AddressInfo).port
}

beforeAll(async () => {
  upstream = createServer((request, reply) => {
    if (request.url === '/silent') return
    if (request.url === '/away') reply.writeHead(302, { location: 'http://elsewhere.example/' })
    reply.end(`seen ${request.headers.authorization === `Bearer ${API_KEY}`}`)
  })
  port = await listening(upstream)
  const unused = createServer()
  closed = await listening(unused)
  unused.close()

  writeFileSync(join(home, 'vestry.yaml'), 'egress: {allow_cidrs: ["127.0.0.1/32"]}\n')
  daemon = spawn(
    process.execPath,
    [
      ...['--conditions=source', join(ROOT, 'packages/server/src/cli/main.ts')],
      ...['up', '--home', home, '--dev', '--port', '0'],
    ],
    {
      env: { PATH: process.env['PATH'], NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'] },
      stdio: ['ignore', 'ignore', 'pipe'],
    },
  )
  let said = ''
  daemon.stderr?.on('data', (chunk: Buffer) => {
    said += chunk.toString()
  })
  while (!existsSync(join(home, 'run/ready.json'))) {
    expect(daemon.exitCode, said).toBeNull()
    await new Promise((done) => setTimeout(done, 50))
  }
  socketPath = JSON.parse(readFileSync(join(home, 'run/ready.json'), 'utf8')).vault_socket

  const added = JSON.parse(await vestry(['agent', 'add', 'research-1', '--json']))
  expect(added).toMatchObject({ name: 'research-1', key_file: keyFile })
  const stored = JSON.parse(
    await vestry(
      ['cred', 'add', 'local/api', '--value-stdin', '--host', `127.0.0.1:${port}`, '--json'],
      API_KEY,
    ),
  )
  expect(stored).toMatchObject({ path: 'local/api', version: 1 })
  const values = {
    'agents/research-1/note': 'remember the milk',
    'agents/other/note': 'not for everybody',
    'openai/api_key': 'sk-not-a-real-key',
    'local/anywhere': API_KEY,
    'local/tiny': 'x',
    'daily/a': 'value',
    'once/a': 'value',
    'asks/a': 'value',
    'keys/a': 'k'.repeat(32),
  }
  const files = { values: join(home, 'values.json'), rules: join(home, 'rules.yaml') }
  writeFileSync(files.values, JSON.stringify(values))
  await vestry(['cred', 'import', files.values])
  writeFileSync(files.rules, CONTRACT_RULES)
  await vestry(['policy', 'add', files.rules])
  writeFileSync(files.rules, ownRules(port, closed))
  await vestry(['policy', 'add', files.rules])

  client = await Outsider.open(socketPath)
  const { result } = await client.authenticate('research-1', keyFile)
  expect(result).toMatchObject({ authenticated: true, agent: 'research-1' })
}, 60_000)

afterAll(async () => {
  client?.close()
  upstream?.closeAllConnections()
  upstream?.close()
  if (daemon?.exitCode === null) {
    daemon.kill('SIGTERM')
    await once(daemon, 'exit')
  }
  rmSync(home, { recursive: true, force: true })
}, 30_000)

const request = (path: string, url: string, more: object = {}) => ({
  path,
  operation: 'http_request',
  params: { url, ...more },
})

describe('the path of every agent', () => {
  test('list shows what the agent may use, with the members of §6.5, and no more', async () => {
    const { credentials } = await client.call('list')
    const paths = credentials.map(({ path }: { path: string }) => path)
    expect(paths).toEqual(paths.toSorted())
    expect(paths).toContain('agents/research-1/note')
    expect(paths).not.toContain('agents/other/note')
    expect(credentials[0]).toMatchObject({
      path: 'agents/research-1/note',
      tags: [],
      version: 1,
      metadata: {},
      operations: expect.arrayContaining(['list', 'retrieve']),
    })
  })

  test('retrieve gives hex and a lease; releasing it twice is one release', async () => {
    const got = await client.call('retrieve', { path: 'agents/research-1/note', ttl: 300 })
    expect(Buffer.from(got['value'], 'hex').toString()).toBe('remember the milk')
    expect(got).toMatchObject({ ttl: 300, path: 'agents/research-1/note', version: 1 })
    const { lease_id } = got
    expect(await client.call('release_lease', { lease_id })).toMatchObject({ status: 'released' })
    expect(await client.call('release_lease', { lease_id })).toMatchObject({
      status: 'already_released',
    })
  })

  test('use makes the call with the key that the agent does not see', async () => {
    const url = `http://127.0.0.1:${port}/`
    expect(await client.call('use', request('local/api', url))).toMatchObject({
      status: 200,
      body: 'seen true',
      redactions: 0,
    })
    const signed = await client.call('use', {
      path: 'agents/research-1/note',
      operation: 'sign',
      params: { data: 'x' },
    })
    expect(signed).toMatchObject({ algorithm: 'hmac-sha256', encoding: 'base64' })
  })
})

describe('every error of §9.2 that concerns an agent', () => {
  const expectFailure = async (
    code: string,
    method: string,
    params: object,
    context: Record<string, unknown> = {},
  ) => {
    const error = await client.failure(method, params)
    expect({ code: error.code, context: error.context }).toMatchObject({ code, context })
    return error
  }

  test('AUTH_FAILED and SESSION_EXPIRED', async () => {
    const stranger = await Outsider.open(socketPath)
    expect(await stranger.failure('list')).toMatchObject({
      code: 'SESSION_EXPIRED',
      context: { reauthenticate: true },
    })
    const spoiled = await stranger.authenticate('research-1', keyFile, (bytes) =>
      bytes.fill(0, 0, 1),
    )
    expect(wellFormed(spoiled.error).code).toBe('AUTH_FAILED')
    stranger.close()
  })

  test('ACCESS_DENIED, whether or not the path exists; CREDENTIAL_NOT_FOUND where a rule allows it', async () => {
    for (const path of ['agents/other/note', 'agents/other/nothing']) {
      await expectFailure(
        'ACCESS_DENIED',
        'retrieve',
        { path },
        {
          action: 'retrieve',
          path,
          legacy_code: 'POLICY_DENIED',
        },
      )
    }
    const path = 'agents/research-1/nothing'
    await expectFailure(
      'CREDENTIAL_NOT_FOUND',
      'retrieve',
      { path },
      {
        path,
        legacy_code: 'NOT_FOUND',
      },
    )
  })

  test('LEASE_EXPIRED, LEASE_NOT_FOUND, LEASE_EXHAUSTED', async () => {
    const path = 'agents/research-1/note'
    const { lease_id } = await client.call('retrieve', { path, ttl: 1 })
    await new Promise((done) => setTimeout(done, 1_500))
    await expectFailure(
      'LEASE_EXPIRED',
      'release_lease',
      { lease_id },
      {
        lease_id,
        expired_at: expect.stringMatching(/Z$/),
      },
    )
    const unknown = `lease_${'0'.repeat(32)}`
    await expectFailure('LEASE_NOT_FOUND', 'release_lease', { lease_id: unknown })
    await client.call('retrieve', { path: 'once/a' })
    await expectFailure('LEASE_EXHAUSTED', 'retrieve', { path: 'once/a' })
  })

  test('RATE_LIMITED and APPROVAL_REQUIRED say what to wait for', async () => {
    await client.call('retrieve', { path: 'daily/a' })
    await expectFailure(
      'RATE_LIMITED',
      'retrieve',
      { path: 'daily/a' },
      {
        retry_after_ms: expect.any(Number),
        scope: expect.any(String),
      },
    )
    await expectFailure(
      'APPROVAL_REQUIRED',
      'retrieve',
      { path: 'asks/a' },
      {
        approval_id: expect.any(String),
      },
    )
  })

  test('METHOD_NOT_FOUND, INVALID_PARAMS, OPERATION_NOT_SUPPORTED', async () => {
    await expectFailure('METHOD_NOT_FOUND', 'admin.agent.list', {})
    await expectFailure('INVALID_PARAMS', 'retrieve', { path: '/a//b' })
    await expectFailure('INVALID_PARAMS', 'retrieve', { path: 'keys/a', ttl: 0 })
    await expectFailure(
      'OPERATION_NOT_SUPPORTED',
      'use',
      { path: 'keys/a', operation: 'SIGN' },
      {
        supported: expect.arrayContaining(['http_request', 'sign']),
      },
    )
  })

  test('INVALID_REQUEST, with the id when it can be read, on a connection that goes on', async () => {
    client.send('')
    expect(wellFormed((await client.frame(({ id }) => id === null)).error).code).toBe(
      'INVALID_REQUEST',
    )
    client.send('{"id":777,"method":"list","params":{"a":NaN}}')
    expect(wellFormed((await client.frame(({ id }) => id === 777)).error).code).toBe(
      'INVALID_REQUEST',
    )
    expect(await client.call('ping')).toEqual({ pong: true })
  })

  test('REQUEST_TOO_LARGE and RESPONSE_TOO_LARGE, on a connection that goes on', async () => {
    const frame = Buffer.alloc(MAX_FRAME + 1, ' ')
    frame.write('{"id":778,"method":"list"}')
    client.send(frame)
    expect(wellFormed((await client.frame(({ id }) => id === 778)).error).code).toBe(
      'REQUEST_TOO_LARGE',
    )
    const data = Buffer.alloc(1_000_000, 1).toString('base64')
    const encrypted = await client.call('use', {
      path: 'keys/a',
      operation: 'encrypt',
      params: { data, data_encoding: 'base64' },
    })
    await expectFailure('RESPONSE_TOO_LARGE', 'use', {
      path: 'keys/a',
      operation: 'decrypt',
      params: { data: encrypted['ciphertext'], output_encoding: 'utf8' },
    })
    expect(await client.call('ping')).toEqual({ pong: true })
  })

  test('BACKEND_UNAVAILABLE while somebody else holds the store', async () => {
    using db = new DatabaseSync(join(home, 'data', 'vestry.db'))
    db.exec('begin immediate')
    await expectFailure('BACKEND_UNAVAILABLE', 'store', { path: 'new/b', value: 'aa' })
    db.exec('rollback')
    await client.call('store', { path: 'new/b', value: 'aa' })
  })

  test('UNUSABLE_CREDENTIAL and DECRYPT_FAILED', async () => {
    const use = (operation: string, params: object) => ({ path: 'keys/a', operation, params })
    const asRsa = use('sign', { data: 'x', algorithm: 'rsa-pss-sha256' })
    await expectFailure('UNUSABLE_CREDENTIAL', 'use', asRsa)
    const { ciphertext } = await client.call('use', use('encrypt', { data: 'x', context: 'a' }))
    await expectFailure('DECRYPT_FAILED', 'use', use('decrypt', { data: ciphertext, context: 'b' }))
    await expectFailure('DECRYPT_FAILED', 'use', use('decrypt', { data: 'nonsense' }))
    await expectFailure(
      'UNUSABLE_CREDENTIAL',
      'use',
      request('local/tiny', `http://127.0.0.1:${port}/`),
    )
  })

  test('SSRF_BLOCKED, REDIRECT_BLOCKED, UPSTREAM_ERROR, UPSTREAM_TIMEOUT', async () => {
    await expectFailure('SSRF_BLOCKED', 'use', request('local/anywhere', 'https://10.1.2.3/'))
    const away = request('local/api', `http://127.0.0.1:${port}/away`, { follow_redirects: true })
    await expectFailure('REDIRECT_BLOCKED', 'use', away)
    const nobody = request('local/anywhere', `http://127.0.0.1:${closed}/`)
    await expectFailure('UPSTREAM_ERROR', 'use', nobody)
    const silent = request('local/api', `http://127.0.0.1:${port}/silent`, { timeout_ms: 200 })
    await expectFailure('UPSTREAM_TIMEOUT', 'use', silent)
  })

  test('WRAP_INVALID and CONFLICT: what is done once is done once', async () => {
    const wrapped = await client.call('retrieve', { path: 'keys/a', wrap_ttl: 60 })
    expect(wrapped).toMatchObject({ wrapped: true, path: 'keys/a' })
    expect(wrapped['value']).toBeUndefined()
    const { wrap_token } = wrapped
    const { value } = await client.call('unwrap', { wrap_token })
    expect(Buffer.from(value, 'hex').toString()).toBe('k'.repeat(32))
    await expectFailure('WRAP_INVALID', 'unwrap', { wrap_token })
    await client.call('store', { path: 'new/a', value: 'aa' })
    await expectFailure('CONFLICT', 'store', { path: 'new/a', value: 'bb' })
  })

  test('AUDIT_UNAVAILABLE while the log cannot be written, and no longer', async (context) => {
    const limit = (bytes: string) =>
      execFileSync('prlimit', ['--pid', String(daemon.pid), `--fsize=${bytes}:`])
    try {
      limit('1')
    } catch {
      return context.skip('needs prlimit(1)')
    }
    const sign = { path: 'keys/a', operation: 'sign', params: { data: 'x' } }
    await expectFailure('AUDIT_UNAVAILABLE', 'use', sign)
    limit('unlimited')
    const code = async () => (await client.exchange('use', sign)).error?.code ?? 'ok'
    await expect.poll(code, { timeout: 10_000 }).toBe('ok')
  })

  test('VAULT_LOCKED for everything but status and ping, on the same connection', async () => {
    await vestry(['seal'])
    await expect.poll(async () => (await client.call('status'))['sealed']).toBe(true)
    expect(await client.failure('list')).toMatchObject({
      code: 'VAULT_LOCKED',
      context: { unseal_progress: expect.anything() },
    })
    const stranger = await Outsider.open(socketPath)
    const asked = await stranger.failure('authenticate', { agent_name: 'research-1' })
    expect(asked.code).toBe('VAULT_LOCKED')
    stranger.close()
    await vestry(['unseal', '--keyfile', join(home, 'unseal.key')])
    expect((await client.failure('list')).code).toBe('SESSION_EXPIRED')
    expect((await client.authenticate('research-1', keyFile)).result).toMatchObject({
      authenticated: true,
    })
  })

  test('SHUTTING_DOWN for what comes while the daemon finishes what it has begun', async () => {
    const silent = request('local/api', `http://127.0.0.1:${port}/silent`, { timeout_ms: 3_000 })
    client.send(JSON.stringify({ id: 900, method: 'use', params: silent }))
    await once(upstream, 'request')
    daemon.kill('SIGTERM')
    const late = async () => (await client.exchange('list')).error?.code
    await expect.poll(late).toBe('SHUTTING_DOWN')
    const { error } = await client.frame(({ id }) => id === 900)
    expect(['UPSTREAM_TIMEOUT', 'SHUTTING_DOWN', 'UPSTREAM_ERROR']).toContain(error?.code)
    const [code] = daemon.exitCode === null ? await once(daemon, 'exit') : [daemon.exitCode]
    expect(code).toBe(0)
    expect(existsSync(join(home, 'run/ready.json'))).toBe(false)
  })
})
