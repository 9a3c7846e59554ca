/** `authenticate`, `challenge_response` and `logout` (wire contract §5). */
import { newCaller, type Peer } from '../../identity/caller.ts'
import { lineageFacts } from '../../identity/lineage.ts'
import { LoginRefused, type RefusalReason } from '../../identity/login.ts'
import type { Session } from '../../identity/session.ts'
import { invalid, optionalString } from '../operations/params.ts'
import { callerRecord } from '../record.ts'
import type { Vault } from '../vault.ts'
import type { Reply } from '../wire/reply.ts'
import { isoTime } from './granting.ts'

/** No name can be empty, so nobody can log in under it. */
const NOBODY = ''
/** No agent's name is longer; the rest of a longer one is not worth remembering. */
const MAX_NAME_CHARS = 65
const MAX_TXN_TOKEN_CHARS = 32_768

/** A login in progress on one connection. */
export interface LoginCall {
  readonly vault: Vault
  readonly connection: object
  readonly peer: Peer
  /** What limits and lockouts count by. */
  readonly source: string
  /** Names this listener accepts; undefined accepts all. */
  readonly onlyAgents: ReadonlySet<string> | undefined
  readonly requestId: string
  readonly params: Readonly<Record<string, unknown>>
}

export function authenticate(call: LoginCall): Reply {
  const { vault, params, source, onlyAgents, connection } = call
  vault.limits.takeAuthenticate(source)
  const claimed = params['agent_name'] ?? params['agent']
  if (typeof claimed !== 'string') throw invalid('agent_name', 'is required')
  // Whoever is asked for, a challenge is opened: only the answer tells, and then nothing more than "no".
  const agentName = onlyAgents === undefined || onlyAgents.has(claimed) ? claimed : NOBODY
  const nonce = optionalString(params, 'client_nonce', 64)
  // Read when the login has succeeded: strangers learn nothing of tokens.
  optionalString(params, 'txn_token', MAX_TXN_TOKEN_CHARS)
  return { result: { ...vault.authenticator.begin(connection, agentName, nonce) } }
}

/** What the challenge was asked with. */
export interface Asked {
  /** The name that lockouts count, whatever became of the challenge. */
  readonly claimed: string
  /** Of the run the session joins. */
  readonly txnToken: string | undefined
}

/** Opens the session; the connection belongs to it from here on. */
export async function challengeResponse(
  call: LoginCall,
  sessionId: string,
  asked: Asked,
): Promise<Reply> {
  const { vault, params, source, connection } = call
  const claimed = asked.claimed.slice(0, MAX_NAME_CHARS)
  const { txnToken } = asked
  vault.limits.assertNotLocked(source, claimed)
  const signature = textOrNothing(params['signature'])
  const signatureV2 = textOrNothing(params['signature_v2'])
  try {
    const session = await vault.authenticator.answer(
      connection,
      call.peer,
      {
        sessionId,
        ...(signature !== undefined && { signature }),
        ...(signatureV2 !== undefined && { signatureV2 }),
      },
      txnToken === undefined ? undefined : (agent) => vault.runs.join(txnToken, agent.id),
    )
    await stillOpen(vault, session)
    vault.limits.loginSucceeded(source, claimed)
    await recordSuccess(call, session)
    return loggedIn(vault, session)
  } catch (error) {
    if (error instanceof LoginRefused)
      await recordFailure({ ...call, door: 'vault', counted: claimed }, error.reason, claimed)
    throw error
  }
}

/** A run that was closed while its session was being opened found no session to end. */
async function stillOpen(vault: Vault, session: Session): Promise<void> {
  try {
    await vault.runs.assertOpen(session.txn)
  } catch (error) {
    vault.sessions.endWhere((live) => live.id === session.id, 'run_closed')
    throw error
  }
}

/** @throws VestryError SESSION_EXPIRED when there is none, or `session_id` names another. */
export function logout({ vault, connection, params }: LoginCall): Reply {
  const claimed = params['session_id'] ?? undefined
  vault.sessions.current(connection, claimed === undefined ? undefined : String(claimed))
  vault.sessions.logout(connection)
  return { result: {} }
}

function loggedIn(vault: Vault, session: Session): Reply {
  const nowMs = vault.now()
  const agent = session.principal.kind === 'agent' ? session.principal.agent.name : ''
  return {
    result: {
      authenticated: true,
      session_id: session.id,
      agent,
      expires_at: isoTime(session.expiresAt),
      expires_in: Math.floor((session.expiresAt - nowMs) / 1000),
      idle_timeout: vault.sessions.limits.idleSeconds,
      server_time: isoTime(nowMs),
      txn: session.txn,
    },
  }
}

async function recordSuccess({ vault, requestId }: LoginCall, session: Session): Promise<void> {
  const entry = callerRecord(newCaller(session), {
    action: 'auth.success',
    detail: 'agent authenticated',
    requestId,
    data: { key: session.keyFingerprint, ...lineageFacts(session.peer) },
  })
  try {
    await vault.stations.audit.append(entry, 'synced')
  } catch (error) {
    // An identity nobody recorded must not act.
    vault.sessions.endWhere((live) => live.id === session.id, 'ended_by_operator')
    throw error
  }
}

/** Counts and records a login that failed; `counted` is the name lockouts count it under. */
export async function recordFailure(
  {
    vault,
    peer,
    source,
    requestId,
    door,
    counted,
  }: Pick<LoginCall, 'vault' | 'peer' | 'source' | 'requestId'> & {
    door: 'vault' | 'admin'
    counted: string
  },
  reason: RefusalReason,
  claimed: string,
): Promise<void> {
  const { lockedNow, alert } = vault.limits.loginFailed(source, counted)
  const name = printableName(claimed)
  const base = {
    phase: 'single' as const,
    success: false,
    actor: 'anonymous',
    source: door,
    request_id: requestId,
    ...peerOf(peer),
  }
  await vault.stations.audit.append(
    {
      ...base,
      action: 'auth.failure',
      detail: 'authentication failed',
      outcome: { code: 'AUTH_FAILED', duration_ms: 0 },
      data: { reason, claimed: name, from: source, ...(alert && { alert: true }) },
    },
    'written',
  )
  if (!lockedNow) return
  await vault.stations.audit.append(
    {
      ...base,
      action: 'auth.lockout',
      detail: 'too many failures',
      data: { claimed: name, from: source },
    },
    'written',
  )
}

function peerOf({ pid, uid }: Peer): { pid?: number; uid?: number } {
  return { ...(pid !== undefined && { pid }), ...(uid !== undefined && { uid }) }
}

/** What a stranger calls itself is only written down when it looks like a name. */
function printableName(claimed: string): string {
  return /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/.test(claimed) ? claimed : '(malformed)'
}

/** A malformed signature is a wrong one, not a wrong parameter (wire contract §5.2). */
function textOrNothing(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}
