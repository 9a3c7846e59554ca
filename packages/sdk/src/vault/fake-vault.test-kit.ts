/**
 * A vault daemon for tests: real sockets, real signatures, sessions and leases that end. It behaves
 * until a test tells it not to, for one request or for a whole connection.
 */
import { createHmac, createPrivateKey, randomBytes, sign } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { decodeBody, encodeFrame, FrameReader, type Message } from './frame.ts'
import { agentMessage, serverIdOf, serverMessage } from './handshake.ts'
import { publicKeyOfSeed, verifies } from './signer.ts'

/** The seed of the agent every fake vault knows: bytes 0, 1, 2 … 31. */
export const SCOUT_SEED: Uint8Array = Uint8Array.from({ length: 32 }, (_, index) => index)

export interface Request {
  id: unknown
  method: string
  params: Message
  peer: Peer
  reply(result: unknown): void
  fail(code: string, extra?: Message): void
}

/** Returns true when it dealt with the request, false to let the vault answer as usual. */
export type Handler = (request: Request) => boolean | undefined

/** One connection as the vault sees it. */
export class Peer {
  readonly socket: Socket
  readonly #reader = new FrameReader()
  session: string | undefined
  agent: string | undefined
  challenge: { name: string; bytes: Buffer; session: string; nonce: Buffer | undefined } | undefined

  constructor(socket: Socket) {
    this.socket = socket
  }

  take(chunk: Buffer): Message[] {
    this.#reader.push(chunk)
    const messages: Message[] = []
    for (let body = this.#reader.next(); body; body = this.#reader.next()) {
      messages.push(decodeBody(body))
    }
    return messages
  }

  send(message: Message): void {
    if (!this.socket.destroyed) this.socket.write(encodeFrame(message, 2 ** 31))
  }

  sendBytes(bytes: Uint8Array): void {
    if (!this.socket.destroyed) this.socket.write(bytes)
  }

  /** RST on TCP; on a Unix socket the peer sees the connection vanish. */
  reset(): void {
    if (this.socket.remoteAddress === undefined) this.socket.destroy()
    else this.socket.resetAndDestroy()
  }
}

interface Lease {
  agent: string
  endsMs: number
  state: 'live' | 'released' | 'revoked'
}

const SERVER_SEED = Uint8Array.from({ length: 32 }, (_, index) => 255 - index)

export class FakeVault {
  readonly agents = new Map<string, Uint8Array>([['scout', publicKeyOfSeed(SCOUT_SEED)]])
  readonly secrets = new Map<string, Uint8Array>([
    ['openai/api_key', Buffer.from('sk-test-0123456789')],
    ['signing/key', Buffer.from('whsec_demo_0001')],
    ['encryption/key', Buffer.from('correct-horse')],
  ])
  readonly leases = new Map<string, Lease>()
  /** Every request in order of arrival, handled or not. */
  readonly received: { method: string; params: Message }[] = []
  readonly peers = new Set<Peer>()
  sealed = false
  /** Entries per page of `list`. */
  pageSize = 100
  defaultTtl = 300
  serverSeed = SERVER_SEED
  /** False: a vault without the stronger handshake. */
  provesItself = true
  /** Told of every new connection, before it is read. */
  onConnection: ((peer: Peer) => void) | undefined
  readonly #overrides: { method: string; handler: Handler; left: number }[] = []
  #server: Server | undefined
  #address: { path: string } | { host: string; port: number } | undefined

  /** Listens on a fresh Unix socket, or on a TCP port; again after stop(), at the same address. */
  async start(kind: 'unix' | 'tcp' = 'unix'): Promise<this> {
    const server = createServer({ allowHalfOpen: true }, (socket) => this.#accept(socket))
    this.#address ??=
      kind === 'tcp' ? { host: '127.0.0.1', port: 0 } : { path: join(await directory(), 's.sock') }
    const address = this.#address
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(address, resolve)
    })
    const bound = server.address()
    if (typeof bound === 'object' && bound) this.#address = { host: '127.0.0.1', port: bound.port }
    this.#server = server
    return this
  }

  get socketPath(): string {
    if (this.#address && 'path' in this.#address) return this.#address.path
    throw new Error('This vault does not listen on a Unix socket')
  }

  get tcp(): { host: string; port: number } {
    if (this.#address && 'port' in this.#address) return this.#address
    throw new Error('This vault does not listen on TCP')
  }

  /** Drops every connection and stops listening. */
  async stop(): Promise<void> {
    for (const peer of this.peers) peer.socket.destroy()
    await new Promise<void>((resolve) => {
      if (this.#server) this.#server.close(() => resolve())
      else resolve()
    })
    this.#server = undefined
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
    if (this.#address && 'path' in this.#address) {
      await rm(join(this.#address.path, '..'), { recursive: true, force: true })
    }
  }

  /** Lets `handler` deal with the next `times` requests of a method. */
  once(method: string, handler: Handler, times = 1): void {
    this.#overrides.push({ method, handler, left: times })
  }

  always(method: string, handler: Handler): void {
    this.once(method, handler, Number.POSITIVE_INFINITY)
  }

  expireSessions(): void {
    for (const peer of this.peers) peer.session = undefined
  }

  count(method: string): number {
    return this.received.filter((request) => request.method === method).length
  }

  async until(condition: () => boolean, ms = 3_000): Promise<void> {
    const end = Date.now() + ms
    while (!condition()) {
      if (Date.now() > end) throw new Error('The awaited condition did not come true')
      await new Promise((resolve) => setTimeout(resolve, 2))
    }
  }

  #accept(socket: Socket): void {
    const peer = new Peer(socket)
    this.peers.add(peer)
    socket.on('error', () => {})
    socket.on('close', () => this.peers.delete(peer))
    socket.on('end', () => socket.end())
    socket.on('data', (chunk: Buffer) => {
      for (const { id, method, params } of peer.take(chunk)) {
        this.#handle(peer, id, String(method), (params ?? {}) as Message)
      }
    })
    this.onConnection?.(peer)
  }

  #handle(peer: Peer, id: unknown, method: string, params: Message): void {
    this.received.push({ method, params })
    const request: Request = {
      id,
      method,
      params,
      peer,
      reply: (result) => peer.send({ id, result }),
      fail: (code, extra = {}) =>
        peer.send({ id, error: { code, message: code, detail: null, context: {}, ...extra } }),
    }
    const override = this.#overrides.find((each) => each.method === method && each.left > 0)
    if (override) {
      override.left -= 1
      if (override.handler(request)) return
    }
    this.#answer(request)
  }

  #answer(request: Request): unknown {
    const { method, peer, fail } = request
    if (method === 'status') return this.#status(request)
    if (this.sealed) return fail('VAULT_LOCKED')
    if (method === 'authenticate') return this.#challenge(request)
    if (method === 'challenge_response') return this.#confirm(request)
    if (peer.session === undefined) return fail('SESSION_EXPIRED')
    const handler = METHODS[method]
    if (handler) handler(this, request)
    else fail('METHOD_NOT_FOUND')
  }

  #status({ reply }: Request): void {
    reply({
      initialized: true,
      sealed: this.sealed,
      version: '0.1.0',
      protocol: 'sanctum/1',
      features: ['sig-v2'],
      limits: { max_frame_bytes: 4_194_304 },
      server_time: new Date().toISOString(),
    })
  }

  #challenge({ params, peer, reply }: Request): void {
    const name = String(params['agent_name'])
    const nonce = params['client_nonce']
    const bytes = randomBytes(32)
    const session = `sess_${randomBytes(8).toString('hex')}`
    const clientNonce = typeof nonce === 'string' ? Buffer.from(nonce, 'hex') : undefined
    peer.challenge = { name, bytes, session, nonce: clientNonce }
    reply({
      session_id: session,
      challenge: bytes.toString('hex'),
      expires_in: 30,
      algorithm: 'ed25519',
      ...(clientNonce && this.provesItself && this.#proof(clientNonce, bytes, session, name)),
    })
  }

  #proof(clientNonce: Buffer, challenge: Buffer, sessionId: string, agentName: string): Message {
    const publicKey = publicKeyOfSeed(this.serverSeed)
    const message = serverMessage({ clientNonce, challenge, sessionId, agentName })
    return {
      features: ['sig-v2'],
      server_id: serverIdOf(publicKey).toString('hex'),
      server_public_key: publicKey.toString('hex'),
      server_signature: sign(null, message, serverKey(this.serverSeed)).toString('hex'),
    }
  }

  #confirm({ params, peer, reply, fail }: Request): unknown {
    const offer = peer.challenge
    peer.challenge = undefined
    const publicKey = offer && this.agents.get(offer.name)
    const signature = Buffer.from(String(params['signature']), 'hex')
    if (!offer || !publicKey || !verifies(publicKey, offer.bytes, signature)) {
      return fail('AUTH_FAILED', { message: 'Authentication failed' })
    }
    if (offer.nonce && this.provesItself && !this.#provesV2(offer, publicKey, params)) {
      return fail('AUTH_FAILED', { message: 'Authentication failed' })
    }
    peer.session = offer.session
    peer.agent = offer.name
    reply({ authenticated: true, session_id: offer.session, agent: offer.name, expires_in: 86_400 })
  }

  #provesV2(
    offer: { name: string; bytes: Buffer; session: string },
    publicKey: Uint8Array,
    params: Message,
  ): boolean {
    const message = agentMessage({
      serverId: serverIdOf(publicKeyOfSeed(this.serverSeed)),
      agentName: offer.name,
      sessionId: offer.session,
      challenge: offer.bytes,
    })
    return verifies(publicKey, message, Buffer.from(String(params['signature_v2']), 'hex'))
  }
}

const METHODS: Record<string, (vault: FakeVault, request: Request) => void> = {
  ping: (_, { reply }) => reply({ pong: true }),
  logout: (_, { peer, reply }) => {
    peer.session = undefined
    reply({})
  },
  whoami: (_, { peer, reply }) => reply({ agent: peer.agent, transport: 'unix', policies: [] }),
  check_access: (vault, { params, reply }) =>
    reply({ allowed: vault.secrets.has(String(params['path'])), reason_code: 'allowed' }),
  retrieve: (vault, { params, peer, reply, fail }) => {
    const path = String(params['path'])
    const secret = vault.secrets.get(path)
    if (path.startsWith('forbidden/')) return fail('ACCESS_DENIED', { detail: `${path} is closed` })
    if (!secret) return fail('CREDENTIAL_NOT_FOUND', { detail: `Nothing at ${path}` })
    const ttl = typeof params['ttl'] === 'number' ? params['ttl'] : vault.defaultTtl
    const leaseId = `lease_${randomBytes(8).toString('hex')}`
    const endsMs = Date.now() + ttl * 1_000
    vault.leases.set(leaseId, { agent: String(peer.agent), endsMs, state: 'live' })
    const value = Buffer.from(secret).toString('hex')
    reply({ value, lease_id: leaseId, ttl, path, version: 1, renewable: true })
  },
  list: (vault, { params, reply }) => {
    const prefix = String(params['prefix'] ?? '')
    const paths = [...vault.secrets.keys()].filter((path) => path.startsWith(prefix)).sort()
    const start = Number(params['cursor'] ?? 0)
    const end = start + vault.pageSize
    reply({
      credentials: paths.slice(start, end).map((path) => ({ path, type: 'api_key', tags: ['t'] })),
      ...(end < paths.length && { next_cursor: String(end), truncated: true }),
    })
  },
  release_lease: (vault, { params, reply, fail }) => {
    const id = String(params['lease_id'])
    const lease = vault.leases.get(id)
    if (!lease) return fail('LEASE_NOT_FOUND')
    if (lease.state === 'live' && lease.endsMs <= Date.now()) {
      return fail('LEASE_EXPIRED', { context: { lease_id: id } })
    }
    lease.state = 'released'
    reply({ released: true, lease_id: id, status: 'released' })
  },
  renew_lease: (vault, { params, reply, fail }) => {
    const lease = vault.leases.get(String(params['lease_id']))
    if (!lease) return fail('LEASE_NOT_FOUND')
    if (lease.endsMs <= Date.now()) return fail('LEASE_EXPIRED')
    const ttl = Number(params['ttl'] ?? vault.defaultTtl)
    lease.endsMs = Date.now() + ttl * 1_000
    reply({ lease_id: params['lease_id'], ttl, renewable: true })
  },
  lease_status: (vault, { reply }) =>
    reply({
      leases: [...vault.leases]
        .filter(([, lease]) => lease.state === 'live')
        .map(([lease_id, lease]) => ({ lease_id, agent: lease.agent })),
    }),
  use: (vault, request) => {
    const { path, operation, params } = request.params
    const secret = vault.secrets.get(String(path))
    if (!secret) return request.fail('CREDENTIAL_NOT_FOUND', { detail: `Nothing at ${path}` })
    const perform = OPERATIONS[String(operation)]
    if (!perform) return request.fail('OPERATION_NOT_SUPPORTED')
    perform(secret, (params ?? {}) as Message, request)
  },
}

const OPERATIONS: Record<string, (secret: Uint8Array, params: Message, to: Request) => void> = {
  http_header: (secret, _params, { reply }) => {
    const value = `Bearer ${Buffer.from(secret)}`
    reply({
      header_name: 'Authorization',
      header_value: value,
      header: `Authorization: ${value}`,
      lease_id: 'lease_header',
      ttl: 300,
    })
  },
  http_request: (_secret, params, { reply }) =>
    reply({
      status: 200,
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(params),
      body_encoding: 'utf8',
      truncated: false,
      url: params['url'],
      redirects: 0,
      elapsed_ms: 1,
      redactions: 0,
    }),
  sign: (secret, params, { reply }) => {
    const mac = macOf(secret, params)
    reply({
      signature: mac.toString('base64'),
      signature_hex: mac.toString('hex'),
      algorithm: 'hmac-sha256',
      encoding: 'base64',
      key_version: 1,
    })
  },
  verify: (secret, params, { reply }) =>
    reply({ valid: macOf(secret, params).toString('base64') === params['signature'] }),
  encrypt: (_secret, params, { reply }) => {
    const bytes = dataOf(params).toString('base64')
    reply({ ciphertext: `sanctum:v1:${bytes}`, algorithm: 'aes-256-gcm', key_version: 1 })
  },
  decrypt: (_secret, params, { reply, fail }) => {
    const [scheme, , bytes] = String(params['data']).split(':')
    if (scheme !== 'sanctum' || bytes === undefined) return fail('DECRYPT_FAILED')
    const plaintext = Buffer.from(bytes, 'base64').toString('utf8')
    reply({ plaintext, plaintext_encoding: 'utf8', key_version: 1 })
  },
}

const macOf = (secret: Uint8Array, params: Message): Buffer =>
  createHmac('sha256', secret).update(dataOf(params)).digest()

const dataOf = (params: Message): Buffer =>
  Buffer.from(String(params['data']), params['data_encoding'] === 'base64' ? 'base64' : 'utf8')

function serverKey(seed: Uint8Array) {
  const der = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), seed])
  return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
}

const directory = (): Promise<string> => mkdtemp(join(tmpdir(), 'fake-vault-'))
