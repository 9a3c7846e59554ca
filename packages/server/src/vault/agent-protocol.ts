/**
 * The agents' wire: which methods there are, in which state each may be called, and the second
 * dialect's names for them (wire contract §4.2, §6, §24). Rules live in the methods.
 */
import { type ErrorCode, VestryError } from '@vestry/contract/errors'
import type { Peer } from '../identity/caller.ts'
import { sourceKey, tcpPeer, unixPeer } from '../identity/peer.ts'
import { ping, status, whoami } from './methods/about.ts'
import { checkAccess } from './methods/check-access.ts'
import { leaseStatus, releaseLease, renewLease } from './methods/leases.ts'
import { list } from './methods/list.ts'
import {
  type Asked,
  authenticate,
  challengeResponse,
  type LoginCall,
  logout,
} from './methods/login.ts'
import { retrieve } from './methods/retrieve.ts'
import { store } from './methods/store.ts'
import { use } from './methods/use.ts'
import type { AgentCall, Vault } from './vault.ts'
import type { Connection } from './wire/connection.ts'
import type { Protocol, Running } from './wire/protocol.ts'
import type { Reply } from './wire/reply.ts'
import type { Request } from './wire/request.ts'

const DEADLINE_MS = 30_000
/** `use http_request` may take as long as its own largest timeout, and then needs to say so. */
const USE_DEADLINE_MS = 125_000

type AgentMethod = (
  call: AgentCall & { secretValue: Uint8Array | undefined },
) => Promise<Reply> | Reply

const METHODS: ReadonlyMap<string, AgentMethod> = new Map<string, AgentMethod>([
  ['retrieve', retrieve],
  ['list', list],
  ['release_lease', releaseLease],
  ['renew_lease', renewLease],
  ['lease_status', leaseStatus],
  ['use', use],
  ['whoami', whoami],
  ['check_access', checkAccess],
  ['store', store],
  ['unwrap', (call) => call.vault.wraps.unwrap(call)],
])

/** The second dialect's names; results that differ in shape are bent in {@link inDialect}. */
const DIALECT: ReadonlyMap<string, string> = new Map([
  ['auth.challenge', 'authenticate'],
  ['auth.verify', 'challenge_response'],
  ['credential.retrieve', 'retrieve'],
  ['credential.list', 'list'],
  ['lease.release', 'release_lease'],
  ['credential.use', 'use'],
])

const NOT_ASKED: Asked = { claimed: '', txnToken: undefined }
const BARRIERS = new Set([
  'authenticate',
  'challenge_response',
  'logout',
  'auth.challenge',
  'auth.verify',
])
const SECRET_MEMBERS: ReadonlySet<string> = new Set(['value'])

export interface AgentPeer {
  readonly connection: Connection<AgentPeer>
  readonly peer: Peer
  readonly source: string
  /** The open challenge; the second dialect does not send its session id back. */
  challenge: ({ readonly sessionId: string } & Asked) | undefined
  loggedIn: boolean
}

export interface AgentListenerOptions {
  /** Names the listener, for limits of peers the kernel does not tell us about. */
  readonly name: string
  readonly onlyAgents?: ReadonlySet<string>
  readonly docsBaseUrl?: string | undefined
  readonly onInternalError?: (requestId: string, error: unknown) => void
  /** Set once the daemon drains: whatever arrives from then on is told so. */
  readonly draining: () => boolean
}

export function agentProtocol(vault: Vault, options: AgentListenerOptions): Protocol<AgentPeer> {
  return {
    secretMembers: SECRET_MEMBERS,
    docsBaseUrl: options.docsBaseUrl,
    ...(options.onInternalError !== undefined && { onInternalError: options.onInternalError }),
    open: (connection) => {
      const { socket } = connection
      const peer = socket.remoteAddress === undefined ? unixPeer(socket) : tcpPeer(socket)
      return {
        connection,
        peer,
        source: sourceKey(peer, options.name),
        challenge: undefined,
        loggedIn: false,
      }
    },
    // An expired session still counts: its connection may stay open and log in again.
    authenticated: (state) => state.loggedIn,
    isBarrier: (method) => BARRIERS.has(method),
    deadlineMs: ({ method }) =>
      method === 'use' || method === 'credential.use' ? USE_DEADLINE_MS : DEADLINE_MS,
    handle: async (state, running) => {
      try {
        return await vault.limits.inFlight(() => handle(vault, options, state, running))
      } catch (error) {
        throw forAgents(error)
      }
    },
    closed: ({ connection }) => vault.sessions.endConnection(connection),
  }
}

async function handle(
  vault: Vault,
  options: AgentListenerOptions,
  state: AgentPeer,
  running: Running,
): Promise<Reply> {
  const { request } = running
  const dialect = vault.settings.compatRust ? DIALECT.get(request.method) : undefined
  const method = dialect ?? request.method
  if (method === 'ping') return ping()
  if (method === 'status') return status(vault)
  const login = method === 'authenticate' || method === 'challenge_response' || method === 'logout'
  const agentMethod = login ? undefined : METHODS.get(method)
  if (!login && agentMethod === undefined) throw unknownMethod(request)
  if (options.draining()) throw new VestryError('SHUTTING_DOWN', 'the daemon is shutting down')
  assertUnsealed(vault)
  const reply = login
    ? await handleLogin(vault, options, state, running, method)
    : await handleAgent(vault, state, running, agentMethod as AgentMethod)
  return dialect === undefined ? reply : inDialect(method, reply)
}

async function handleLogin(
  vault: Vault,
  options: AgentListenerOptions,
  state: AgentPeer,
  { request, requestId }: Running,
  method: string,
): Promise<Reply> {
  const call: LoginCall = {
    vault,
    connection: state.connection,
    peer: state.peer,
    source: state.source,
    onlyAgents: options.onlyAgents,
    requestId,
    params: request.params,
  }
  if (method === 'logout') return logout(call)
  if (method === 'authenticate') {
    const reply = authenticate(call)
    const { session_id: sessionId } = reply.result as { session_id: string }
    const { agent_name, agent, txn_token: token } = request.params
    const txnToken = typeof token === 'string' ? token : undefined
    state.challenge = { sessionId, claimed: String(agent_name ?? agent), txnToken }
    return reply
  }
  const { challenge } = state
  state.challenge = undefined
  const sessionId =
    request.method === 'auth.verify' ? challenge?.sessionId : request.params['session_id']
  try {
    // Without a session id the answer is as wrong as with a foreign one.
    const given = typeof sessionId === 'string' ? sessionId : ''
    const reply = await challengeResponse(call, given, challenge ?? NOT_ASKED)
    // The peer may have gone meanwhile; then nobody is left to end its session.
    if (state.connection.socket.destroyed) vault.sessions.endConnection(state.connection)
    state.loggedIn = true
    return reply
  } catch (error) {
    const spent = error instanceof VestryError && error.context['attempts_left'] === 0
    // After the answer left: a peer that failed three times in a row is shown out.
    if (spent) setImmediate(() => state.connection.closeGracefully())
    throw error
  }
}

async function handleAgent(
  vault: Vault,
  state: AgentPeer,
  running: Running,
  method: AgentMethod,
): Promise<Reply> {
  const { request, requestId } = running
  const { params } = request
  const claimed = params['session_id']
  if (claimed !== undefined && claimed !== null && typeof claimed !== 'string') throw notActive()
  const session = vault.sessions.current(state.connection, claimed as string | null | undefined)
  vault.limits.takeRequest(session)
  const reply = await method({
    vault,
    session,
    requestId,
    params,
    get signal() {
      return running.signal
    },
    secretValue: request.secrets.get('value')?.bytes,
  })
  vault.sessions.touch(session)
  return reply
}

/** The second dialect wants a bare array of entries and a wrapped result of `use`. */
function inDialect(method: string, reply: Reply): Reply {
  if (method === 'list') {
    const { credentials } = reply.result as { credentials: readonly unknown[] }
    return { ...reply, result: credentials }
  }
  return method === 'use' ? { ...reply, wrapped: true } : reply
}

function assertUnsealed({ seal }: Vault): void {
  switch (seal.state) {
    case 'unsealed':
      return
    case 'sealed':
      throw new VestryError('VAULT_LOCKED', 'the vault is sealed', {
        hint: 'Ask an operator to run "vestry unseal"',
        context: { unseal_progress: seal.shamirProgress() },
      })
    case 'uninitialized':
      throw new VestryError('NOT_INITIALIZED', 'the vault has not been set up', {
        hint: 'Ask an operator to run "vestry init"',
      })
  }
}

/** The codes agents may meet (wire contract §9.2). Others tell of the inside: paths, stores, set-up. */
const AGENT_CODES: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'AUTH_FAILED',
  'ACCESS_DENIED',
  'CREDENTIAL_NOT_FOUND',
  'VAULT_LOCKED',
  'LEASE_EXPIRED',
  'RATE_LIMITED',
  'SESSION_EXPIRED',
  'LEASE_EXHAUSTED',
  'SSRF_BLOCKED',
  'INVALID_REQUEST',
  'METHOD_NOT_FOUND',
  'INVALID_PARAMS',
  'REQUEST_TOO_LARGE',
  'RESPONSE_TOO_LARGE',
  'LEASE_NOT_FOUND',
  'OPERATION_NOT_SUPPORTED',
  'UNUSABLE_CREDENTIAL',
  'DECRYPT_FAILED',
  'REDIRECT_BLOCKED',
  'UPSTREAM_ERROR',
  'UPSTREAM_TIMEOUT',
  'BACKEND_UNAVAILABLE',
  'APPROVAL_REQUIRED',
  'WRAP_INVALID',
  'CONFLICT',
  'NOT_INITIALIZED',
  'AUDIT_UNAVAILABLE',
  'TIMEOUT',
  'SHUTTING_DOWN',
  'TXN_MISSING',
  'TXN_INVALID',
  'TXN_EXPIRED',
  'IDENTITY_TXN_MISMATCH',
  'RUN_CLOSED',
])

/** Keeps the daemon's own troubles inside: the agent learns that there was one, our log which. */
function forAgents(error: unknown): unknown {
  if (!(error instanceof VestryError) || AGENT_CODES.has(error.code)) return error
  if (error.code === 'STORE_UNAVAILABLE') {
    return new VestryError('BACKEND_UNAVAILABLE', 'the store cannot be reached just now', {
      hint: 'Try again in a moment',
      cause: error,
    })
  }
  return new VestryError('INTERNAL_ERROR', undefined, { cause: error })
}

function unknownMethod({ method }: Request): VestryError {
  return new VestryError('METHOD_NOT_FOUND', 'there is no such method', {
    hint: `Use one of ${[...METHODS.keys(), 'authenticate', 'challenge_response', 'logout', 'status', 'ping'].join(', ')}`,
    ...(method.length <= 64 && method.isWellFormed() && { context: { method } }),
  })
}

function notActive(): VestryError {
  return new VestryError('SESSION_EXPIRED', 'session_id must be a string', {
    hint: 'Authenticate again on this connection',
    context: { reauthenticate: true },
  })
}
