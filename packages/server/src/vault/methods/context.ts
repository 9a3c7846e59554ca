/** What every protected method of the agent wire shares: reading common params, asking policy. */
import { VestryError } from '@vestry/contract/errors'
import type { ProtectedCall } from '../../call/perform.ts'
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

export function callerOf({ vault, session, params }: AgentCall): Caller {
  const traceparent = params['traceparent']
  return vault.sessions.caller(session, typeof traceparent === 'string' ? traceparent : undefined)
}

export function reasonOf({ params }: AgentCall): string | undefined {
  return optionalString(params, 'reason', 256)
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
export function unknownParams(call: AgentCall, known: readonly string[]): Record<string, unknown> {
  const unknown = Object.keys(call.params).filter(
    (name) => !known.includes(name) && !COMMON.includes(name),
  )
  return unknown.length === 0 ? {} : { unknown_params: unknown.slice(0, 16).map(printable) }
}

function printable(name: string): string {
  return /^[\w.-]{1,64}$/.test(name) ? name : '(not printable)'
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
): Pick<ProtectedCall<unknown>, 'caller' | 'requestId' | 'source' | 'resource' | 'reason'> & {
  context: PolicyContext
} {
  const reason = reasonOf(call)
  return {
    caller: callerOf(call),
    requestId: call.requestId,
    source: 'vault',
    resource: resourceOf(path, found),
    reason,
    context: baseContext(call, reason),
  }
}
