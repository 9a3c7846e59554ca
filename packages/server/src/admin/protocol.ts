/**
 * The operators' wire: the same frames on a socket of its own. Verbs are named `admin.<noun>.<verb>`;
 * every one walks the chain of stations with an operator as the caller.
 */
import { asVestryError, VestryError } from '@vestry/contract/errors'
import { newCaller, type Peer } from '../identity/caller.ts'
import { LoginRefused } from '../identity/login.ts'
import { sourceKey, unixPeer } from '../identity/peer.ts'
import { status } from '../vault/methods/about.ts'
import { recordFailure } from '../vault/methods/login.ts'
import { invalid, optionalString } from '../vault/operations/params.ts'
import { callerRecord } from '../vault/record.ts'
import type { Connection } from '../vault/wire/connection.ts'
import type { Protocol, Running } from '../vault/wire/protocol.ts'
import type { Reply } from '../vault/wire/reply.ts'
import type { Request } from '../vault/wire/request.ts'
import { agentVerbs } from './agents.ts'
import { auditVerbs } from './audit.ts'
import { credentialVerbs } from './credentials.ts'
import type { AdminDeps } from './deps.ts'
import { keyVerbs } from './keys.ts'
import { leaseVerbs } from './leases.ts'
import { policyVerbs } from './policies.ts'
import { ALREADY_OPEN, sealVerbs, unseal } from './seal.ts'
import { type AdminVerb, callVerb } from './verb.ts'

const DEADLINE_MS = 120_000
const STREAM_DEADLINE_MS = 7 * 24 * 3_600_000

/** The verbs of the vault; other parts bring their own. */
export const VERBS: readonly AdminVerb[] = [
  ...agentVerbs,
  ...auditVerbs,
  ...credentialVerbs,
  ...keyVerbs,
  ...leaseVerbs,
  ...policyVerbs,
  ...sealVerbs,
]

/** Members whose values are lifted out of the frame before it is parsed. */
const SECRET_MEMBERS: ReadonlySet<string> = new Set([
  'value_base64',
  'passphrase_base64',
  'new_passphrase_base64',
  'keyfile_base64',
  'new_keyfile_base64',
  'share',
])

/** Lockouts count all operators as one: colon is in no agent's name. */
const OPERATORS = 'operator:'
/** Verbs that can go on for as long as somebody watches. */
const FOLLOWING: ReadonlySet<string> = new Set(['admin.audit.tail', 'admin.trace'])
const BARRIERS = new Set(['authenticate', 'challenge_response', 'logout'])

export interface AdminPeer {
  readonly connection: Connection<AdminPeer>
  readonly peer: Peer
  loggedIn: boolean
}

export function adminProtocol(
  deps: AdminDeps,
  verbs: readonly AdminVerb[],
  onInternalError: (requestId: string, error: unknown) => void,
): Protocol<AdminPeer> {
  const byMethod: Verbs = new Map(verbs.map((verb) => [`admin.${verb.name}`, verb]))
  return {
    onInternalError,
    secretMembers: SECRET_MEMBERS,
    open: (connection) => ({ connection, peer: unixPeer(connection.socket), loggedIn: false }),
    authenticated: (state) => state.loggedIn,
    isBarrier: (method) => BARRIERS.has(method),
    isEndless: isFollowing,
    deadlineMs: (request) => (isFollowing(request) ? STREAM_DEADLINE_MS : DEADLINE_MS),
    handle: (state, running, emit) => handle({ deps, verbs: byMethod }, state, running, emit),
    closed: ({ connection }) => deps.vault.sessions.endConnection(connection),
  }
}

type Verbs = ReadonlyMap<string, AdminVerb>

async function handle(
  { deps, verbs }: { deps: AdminDeps; verbs: Verbs },
  state: AdminPeer,
  running: Running,
  emit: (reply: Reply) => Promise<void>,
): Promise<Reply> {
  const { request } = running
  const { vault } = deps
  switch (request.method) {
    case 'ping':
      return { result: { pong: true } }
    case 'status':
      return status(vault)
    case 'admin.unseal':
      return recordUnseal(deps, state, running)
    case 'admin.unseal_reset':
      vault.seal.resetShares()
      return { result: { sealed: vault.seal.state !== 'unsealed' } }
    case 'authenticate':
      return authenticate(deps, state, running)
    case 'challenge_response':
      return challengeResponse(deps, state, running)
    case 'logout':
      vault.sessions.logout(state.connection)
      return { result: {} }
    default:
      return runVerb({ deps, verbs }, state, running, emit)
  }
}

function authenticate(
  { vault, authenticator }: AdminDeps,
  state: AdminPeer,
  { request }: Running,
): Reply {
  const name = request.params['operator_name'] ?? request.params['agent_name']
  if (typeof name !== 'string') throw invalid('operator_name', 'is required')
  void vault.seal.keys // sealed: nobody can be told from anybody else
  vault.limits.takeAuthenticate(sourceKey(state.peer, 'admin'))
  return { result: { ...authenticator.begin(state.connection, name) } }
}

async function challengeResponse(
  { vault, authenticator }: AdminDeps,
  state: AdminPeer,
  { request, requestId }: Running,
): Promise<Reply> {
  const signature = request.params['signature']
  const sessionId = optionalString(request.params, 'session_id', 128) ?? ''
  const source = sourceKey(state.peer, 'admin')
  vault.limits.assertNotLocked(source, OPERATORS)
  const session = await authenticator
    .answer(state.connection, state.peer, {
      sessionId,
      ...(typeof signature === 'string' && { signature }),
    })
    .catch(async (error: unknown) => {
      if (error instanceof LoginRefused) {
        const call = { vault, peer: state.peer, source, requestId }
        const how = { ...call, door: 'admin', counted: OPERATORS } as const
        await recordFailure(how, error.reason, error.claimed ?? '')
      }
      throw error
    })
  vault.limits.loginSucceeded(source, OPERATORS)
  const operator = session.principal.kind === 'operator' ? session.principal.operator : undefined
  const entry = callerRecord(newCaller(session), {
    action: 'admin.login',
    detail: 'operator authenticated',
    requestId,
    data: { role: operator?.role, key: session.keyFingerprint },
  })
  try {
    await vault.stations.audit.append(entry, 'synced')
  } catch (error) {
    // An identity nobody recorded must not act.
    vault.sessions.endConnection(state.connection, 'ended_by_operator')
    throw error
  }
  state.loggedIn = true
  return {
    result: {
      authenticated: true,
      session_id: session.id,
      operator: operator?.name,
      role: operator?.role,
    },
  }
}

async function runVerb(
  { deps, verbs }: { deps: AdminDeps; verbs: Verbs },
  state: AdminPeer,
  running: Running,
  emit: (reply: Reply) => Promise<void>,
): Promise<Reply> {
  const { vault } = deps
  const { request, requestId } = running
  const verb = verbs.get(request.method)
  if (verb === undefined) {
    throw new VestryError('METHOD_NOT_FOUND', `there is no method '${request.method.slice(0, 64)}'`)
  }
  void vault.seal.keys // throws VAULT_LOCKED or NOT_INITIALIZED before anything else is said
  const session = vault.sessions.current(state.connection)
  const caller = vault.sessions.caller(session)
  const by = session.principal.kind === 'operator' ? session.principal.operator.name : ''
  const { session_id: _, ...given } = request.params
  const reply = await callVerb(deps, verb, {
    caller,
    by,
    requestId,
    given,
    secrets: request.secrets,
    signal: () => running.signal,
    emit: (more) => emit({ result: { ...more, more: true } }),
  })
  vault.sessions.touch(session)
  return reply
}

/** Attempts to unseal are recorded too, while nobody is logged in. */
async function recordUnseal(
  deps: AdminDeps,
  { peer }: AdminPeer,
  running: Running,
): Promise<Reply> {
  // Nothing is opened, so nothing is recorded: no stranger writes to the log of an open vault.
  if (deps.vault.seal.state === 'unsealed') return { result: ALREADY_OPEN }
  const { audit } = deps.vault.stations
  const entry = (success: boolean, action: string, extra: Record<string, unknown>) => ({
    action,
    phase: 'single' as const,
    detail: success ? 'unseal' : 'unseal failed',
    success,
    actor: 'anonymous',
    source: 'admin' as const,
    ...(peer.pid !== undefined && { pid: peer.pid }),
    ...(peer.uid !== undefined && { uid: peer.uid }),
    request_id: running.requestId,
    data: extra,
  })
  try {
    const result = await unseal(deps, running.request.secrets)
    const complete = result['sealed'] === false
    await audit.append(
      entry(true, complete ? 'vault.unseal' : 'vault.unseal_progress', {}),
      'synced',
    )
    return { result }
  } catch (error) {
    const { code } = asVestryError(error)
    // Nobody has logged in: what is no attempt leaves no record, and a flood of them one summary.
    if (code === 'RATE_LIMITED') deps.vault.stations.refused('anonymous', 'unseal')
    else if (code !== 'INVALID_PARAMS')
      await audit.append(entry(false, 'vault.unseal_failed', { code }), 'written')
    throw error
  }
}

/** A followed log has no end of its own. */
function isFollowing({ method, params }: Request): boolean {
  return FOLLOWING.has(method) && params['follow'] === true
}
