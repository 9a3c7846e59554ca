/**
 * A stand-in for the published Node client, for tests only.
 *
 * The package could not be installed where these tests were written, so this file is NOT that client: it
 * is written from the wire contract alone, from the statements marked as read from or observed in the
 * published client. Where that client is known to misbehave (replies found only by id, no limit and
 * quadratic buffering in the stream reader, no error listener after connecting, pending calls never
 * rejected), it misbehaves here too: the daemon has to live with it.
 *
 * Run as `node node-client.mjs SCRIPT [ARG...]`: SCRIPT is an async function's body with the client's names,
 * `tell(facts)` (prints one JSON line), `ask()` (waits for one line) and `caught(promise)` in scope.
 */
import { createPrivateKey, sign } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

export class VaultError extends Error {
  constructor(
    message,
    { code, detail = null, suggestion = null, docsUrl = null, context = {} } = {},
  ) {
    super(message)
    this.name = new.target.name
    this.code = code
    this.detail = detail
    this.suggestion = suggestion
    this.docsUrl = docsUrl
    this.context = context
  }
}
export class AuthError extends VaultError {}
export class AccessDenied extends VaultError {}
export class CredentialNotFound extends VaultError {}
export class VaultLocked extends VaultError {}
export class LeaseExpired extends VaultError {}
export class RateLimited extends VaultError {}
export class SessionExpired extends VaultError {}

const CLASSES = {
  AUTH_FAILED: AuthError,
  ACCESS_DENIED: AccessDenied,
  CREDENTIAL_NOT_FOUND: CredentialNotFound,
  VAULT_LOCKED: VaultLocked,
  LEASE_EXPIRED: LeaseExpired,
  RATE_LIMITED: RateLimited,
  SESSION_EXPIRED: SessionExpired,
}

function toError(error) {
  if (typeof error === 'string') return new VaultError(error, { code: 'UNKNOWN' })
  const code = error.code ?? 'INTERNAL_ERROR'
  const { message = 'Unknown error', detail, suggestion, docs_url: docsUrl, context } = error
  return new (CLASSES[code] ?? VaultError)(message, { code, detail, suggestion, docsUrl, context })
}

const MAX_FRAME = 4 * 1024 * 1024
const PKCS8 = Buffer.from('302e020100300506032b657004220420', 'hex')

export function encodeFrame(message) {
  const body = Buffer.from(JSON.stringify(message), 'utf8')
  const header = Buffer.alloc(4)
  header.writeUInt32BE(body.length)
  return Buffer.concat([header, body])
}

/** The stand-alone helper has the limit that the streaming reader lacks. */
export function decodeFrame(data) {
  const length = data.readUInt32BE(0)
  if (length > MAX_FRAME) throw new VaultError('frame too large', { code: 'INTERNAL_ERROR' })
  return JSON.parse(data.toString('utf8', 4, 4 + length))
}

export class SanctumClient {
  constructor(agentName, { socketPath, host, port, keyPath } = {}) {
    this.agentName = agentName
    this.target = { socketPath, host, port }
    this.keyPath = keyPath
    this.pending = new Map()
    this.leases = new Set()
    this.lastId = 0
  }

  async connect() {
    const { socketPath, host, port } = this.target
    const where =
      host !== undefined && port !== undefined
        ? { host, port }
        : { path: socketPath ?? join(homedir(), '.sanctum', 'vault.sock') }
    this.buffer = Buffer.alloc(0)
    this.socket = await new Promise((resolve, reject) => {
      const socket = connect(where)
      socket.once('error', reject)
      socket.once('connect', () => {
        socket.removeListener('error', reject) // from here on a reset ends the process
        resolve(socket)
      })
    })
    this.socket.on('data', (chunk) => this.receive(chunk))
    await this.authenticate(this.agentName, this.keyPath)
    return this
  }

  async authenticate(name, keyPath) {
    const path = keyPath ?? join(homedir(), '.sanctum', 'keys', `${name}.key`)
    const seed = Buffer.from(readFileSync(path, 'utf8').trim(), 'hex')
    const offer = await this.call('authenticate', { agent_name: name })
    this.sessionId = offer.session_id
    const key = createPrivateKey({
      key: Buffer.concat([PKCS8, seed]),
      format: 'der',
      type: 'pkcs8',
    })
    const signature = sign(null, Buffer.from(offer.challenge, 'hex'), key).toString('hex')
    const answer = await this.call('challenge_response', { session_id: this.sessionId, signature })
    if (!answer.authenticated) throw new AuthError('Authentication failed', { code: 'AUTH_FAILED' })
  }

  async retrieve(path, ttl) {
    const result = await this.call('retrieve', {
      session_id: this.sessionId,
      path,
      ...(ttl !== undefined && { ttl }),
    })
    if (result.lease_id) this.leases.add(result.lease_id)
    return Buffer.from(result.value, 'hex').toString('utf8')
  }

  async list() {
    return (await this.call('list', { session_id: this.sessionId })).credentials
  }

  use(path, operation, params = {}) {
    return this.call('use', { session_id: this.sessionId, path, operation, params })
  }

  async releaseLease(leaseId) {
    await this.call('release_lease', { lease_id: leaseId })
    this.leases.delete(leaseId)
  }

  async close() {
    for (const leaseId of this.leases) {
      try {
        await this.call('release_lease', { lease_id: leaseId })
      } catch {}
    }
    this.leases.clear()
    this.socket.end()
  }

  /** Settles when a reply with this id comes, and otherwise never. */
  call(method, params) {
    this.lastId += 1
    const id = this.lastId
    return new Promise((resolve, reject) => {
      this.pending.set(id, { resolve, reject })
      this.socket.write(encodeFrame({ id, method, params }))
    })
  }

  receive(chunk) {
    this.buffer = Buffer.concat([this.buffer, chunk])
    while (this.buffer.length >= 4) {
      const length = this.buffer.readUInt32BE(0)
      if (this.buffer.length < 4 + length) return
      const reply = JSON.parse(this.buffer.toString('utf8', 4, 4 + length))
      this.buffer = this.buffer.subarray(4 + length)
      const waiting = this.pending.get(reply.id)
      if (waiting === undefined) continue
      this.pending.delete(reply.id)
      if (reply.error) waiting.reject(toError(reply.error))
      else waiting.resolve(reply.result)
    }
  }
}

// ---- running a script -----------------------------------------------------------------------------

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()

const scope = {
  SanctumClient,
  VaultError,
  encodeFrame,
  decodeFrame,
  tell: (facts) => void process.stdout.write(`${JSON.stringify(facts)}\n`),
  ask: async () => (await lines.next()).value,
  caught: (promise) =>
    promise.then(
      () => null,
      (error) => ({
        class: error.name,
        isVaultError: error instanceof VaultError,
        code: error.code,
        detail: error.detail,
        suggestion: error.suggestion,
        docsUrl: error.docsUrl,
        context: error.context,
      }),
    ),
  args: process.argv.slice(3),
}
const AsyncFunction = (async () => {}).constructor
await new AsyncFunction(...Object.keys(scope), readFileSync(process.argv[2], 'utf8'))(
  ...Object.values(scope),
)
process.stdin.destroy()
