/** What every protected method of the agent wire shares: reading common params, asking policy. */
import { VestryError } from '@vestry/contract/errors'
import type { ProtectedCall, Unseen } from '../../call/perform.ts'
import type { CountedUse } from '../../call/policy-limits.ts'
import type { Agent } from '../../identity/agent.ts'
import type { Caller } from '../../identity/caller.ts'
import type { PolicyContext, PolicyRequest } from '../../policy/engine.ts'
import { assertPath, type Credential } from '../credential.ts'
import { optionalString } from '../operations/params.ts'
import type { AgentCall } from '../vault.ts'

const COMMON = ['session_id', 'reason', 'traceparent']

/** The path and the metadata behind it, if anything is there. Existence is not told yet. */
export async function readPath(
  call: AgentCall,
): Promise<{ path: string; found: Credential | undefined }> {
  const { path } = call.params
  assertPath(path)
  return { path, found: await call.vault.credentials.find(path) }
}

/** @throws VestryError SESSION_EXPIRED: this wire logs agents in and nobody else. */
export function agentOf({ session }: Pick<AgentCall, 'session'>): Agent {
  if (session.principal.kind === 'agent') return session.principal.agent
  throw new VestryError('SESSION_EXPIRED', 'the session is not an agent’s', {
    hint: 'Authenticate as an agent',
    context: { reauthenticate: true },
  })
}

/** What `max_uses` counts: uses of this credential. */
export function useOf({ vault }: AgentCall, path: string): CountedUse {
  return { of: path, lifetime: vault.settings.leases.maxLifetime }
}

export function callerOf({ vault, session, params }: AgentCall): Caller {
  const traceparent = params['traceparent']
  return vault.sessions.caller(session, typeof traceparent === 'string' ? traceparent : undefined)
}

export function reasonOf({ params }: AgentCall): string | undefined {
  return optionalString(params, 'reason', 256)
}

/** The reason as every record of the call carries it. */
export function reasonData(call: AgentCall): Record<string, unknown> {
  const reason = reasonOf(call)
  return reason === undefined ? {} : { reason }
}

export function baseContext(
  { session, vault }: AgentCall,
  reason: string | undefined,
): PolicyContext {
  const { peer } = session
  return {
    nowMs: vault.now(),
    transport: peer.transport,
    hasReason: reason !== undefined && reason !== '',
    ...(peer.address !== undefined && { sourceIp: peer.address }),
  }
}

/** What policy sees of a credential; an absent one has neither type nor tags. */
export function resourceOf(path: string, found: Credential | undefined): PolicyRequest['resource'] {
  return { kind: 'credential', path, type: found?.type ?? null, tags: found?.tags ?? [] }
}

/** Names of params nobody reads, for the record: a misspelt one is worth finding. */
export function unknownParams(
  { params }: Pick<AgentCall, 'params'>,
  known: readonly string[],
): Record<string, unknown> {
  const unknown = Object.keys(params).filter(
    (name) => !known.includes(name) && !COMMON.includes(name),
  )
  return unknown.length === 0 ? {} : { unknown_params: printableNames(unknown) }
}

/** A few of them, and only those that look like names: the rest is text of the agent's. */
export function printableNames(names: readonly string[]): string[] {
  return names
    .slice(0, 16)
    .map((name) => (/^[A-Za-z][A-Za-z_]{0,31}$/.test(name) ? name : '(no name)'))
}

export function assertExists(
  path: string,
  found: Credential | undefined,
): asserts found is Credential {
  if (found !== undefined && found.version > 0) return
  throw new VestryError('CREDENTIAL_NOT_FOUND', `there is no credential '${path}'`, {
    hint: 'List what is available, or ask an operator to add it',
    context: { path, legacy_code: 'NOT_FOUND' },
  })
}

/** The members of a protected call that are the same for every method. */
export function protectedCall(
  call: AgentCall,
  path: string,
  found: Credential | undefined,
): Pick<ProtectedCall<unknown>, 'caller' | 'requestId' | 'source' | 'reason'> &
  Unseen & { unseen: () => Unseen } {
  const reason = reasonOf(call)
  const context = baseContext(call, reason)
  return {
    caller: callerOf(call),
    requestId: call.requestId,
    source: 'vault',
    resource: resourceOf(path, found),
    reason,
    context,
    unseen: () => ({ resource: resourceOf(path, undefined), context }),
  }
}
