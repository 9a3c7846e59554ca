/**
 * Who may do what with whose secrets, and the record of it: an attempt before, an outcome after, for every operation.
 * Operators go through the common stations. An agent's own key is its grant for its own secrets; policies may still
 * forbid, asked as if the secret were the credential `secrets/<agent>/<name>`. Without a record nothing is done.
 */
import { asVestryError, VestryError } from '@vestry/contract/errors'
import { newRequestId } from '@vestry/contract/ids'
import type { AuditEntry } from '../audit/record.ts'
import { type Note, perform, principalOf, type Stations } from '../call/perform.ts'
import type { Agent } from '../identity/agent.ts'
import { actorOf, type Caller } from '../identity/caller.ts'
import type { Decision } from '../policy/engine.ts'

export type SecretOperation = 'store' | 'read' | 'list' | 'delete' | 'configure' | 'status'

/** What operators need for it: whoever may only look sees names, never values. */
const OPERATOR_ACTIONS: Readonly<Record<SecretOperation, 'admin:read' | 'admin:write'>> = {
  store: 'admin:write',
  read: 'admin:write',
  list: 'admin:read',
  delete: 'admin:write',
  configure: 'admin:write',
  status: 'admin:read',
}
const AGENT_ACTIONS: Readonly<Record<SecretOperation, string>> = {
  store: 'vault:store',
  read: 'vault:retrieve',
  list: 'vault:list',
  delete: 'vault:store',
  configure: 'admin:write',
  status: 'admin:read',
}

export interface SecretCall<T> {
  readonly caller: Caller
  readonly requestId: string
  readonly operation: SecretOperation
  /** Whose secrets; absent for what concerns all of them. */
  readonly agent?: string
  readonly name?: string
  /** What an agent is told that asks for what is not its own; ADMIN_REQUIRED unless given. */
  readonly absent?: VestryError
  readonly effect: (note: Note) => Promise<T>
}

/** @throws VestryError ADMIN_REQUIRED, ACCESS_DENIED, AUDIT_UNAVAILABLE, and what the effect throws. */
export async function performOnSecrets<T>(stations: Stations, call: SecretCall<T>): Promise<T> {
  const { caller, operation, requestId, effect } = call
  if (caller.principal.kind === 'agent') return asAgent(stations, call, caller.principal.agent)
  try {
    return await perform(stations, {
      caller,
      requestId,
      action: OPERATOR_ACTIONS[operation],
      event: `secret.${operation}`,
      source: 'runtime',
      resource: { kind: 'system' },
      context: { nowMs: stations.now(), transport: caller.peer.transport },
      detail: detailOf(call),
      data: dataOf(call),
      settle: () => ({ effect }),
    })
  } catch (error) {
    if (!(error instanceof VestryError) || error.code !== 'ACCESS_DENIED') throw error
    throw new VestryError('ADMIN_REQUIRED', error.message, { cause: error })
  }
}

/** For parts of the daemon that use an agent's secret in its place. */
export async function recordedUse<T extends Disposable>(
  stations: Pick<Stations, 'audit' | 'now'>,
  use: { readonly owner: string; readonly name: string },
  effect: () => Promise<T>,
): Promise<T> {
  const entry: Parts = {
    action: 'secret.resolve',
    detail: `resolve ${use.owner} ${use.name}`,
    actor: 'system',
    source: 'runtime',
    request_id: newRequestId(),
    data: { operation: 'resolve', agent_id: use.owner, secret_key: use.name },
  }
  return recorded(stations, entry, effect, (made) => made[Symbol.dispose]())
}

async function asAgent<T>(stations: Stations, call: SecretCall<T>, own: Agent): Promise<T> {
  const { caller, operation, agent = '', name, requestId, effect } = call
  const { principal, peer, txn, trace } = caller
  const entry: Parts = {
    action: `secret.${operation}`,
    detail: detailOf(call),
    actor: actorOf(principal),
    source: 'runtime',
    agent: own.name,
    request_id: requestId,
    txn,
    span: {
      trace_id: trace.traceId,
      span_id: trace.spanId,
      parent_span_id: trace.parentSpanId,
    },
    ...(peer.pid !== undefined && { pid: peer.pid }),
    ...(peer.uid !== undefined && { uid: peer.uid }),
    data: dataOf(call),
  }
  if (own.name !== agent) {
    const refusal = call.absent ?? new VestryError('ADMIN_REQUIRED')
    await recordRefusal(stations, entry, refusal)
    throw refusal
  }
  const decision = stations.policy.decide({
    principal: principalOf(caller),
    action: AGENT_ACTIONS[operation],
    resource: {
      kind: 'credential',
      // Not what the vault may make of it: a rule for `secrets/scout/prod/**` is for all that is below.
      path: ['secrets', agent, ...(name === undefined ? [] : [name])].join('/'),
      type: null,
      tags: [],
    },
    context: { nowMs: stations.now(), transport: peer.transport },
  })
  const allow = decision.forbids.length === 0 && decision.errors.length === 0
  const judged = { ...entry, decision: decided(decision, allow) }
  if (!allow) {
    const refusal = new VestryError('ACCESS_DENIED', `A policy forbids this: ${decision.reason}`, {
      context: { decision: decision.id },
    })
    await recordRefusal(stations, { ...judged, action: 'policy.deny' }, refusal)
    throw refusal
  }
  return recorded(stations, judged, effect).catch((error: unknown) => {
    throw forAgents(error)
  })
}

/** Where the back end is and why it refused is for operators; an agent hears that it did, and when to come again. */
function forAgents(error: unknown): unknown {
  if (!(error instanceof VestryError) || !error.code.startsWith('BACKEND_')) return error
  const { retry_after_ms: retryAfterMs } = error.context
  return new VestryError(error.code, undefined, {
    cause: error,
    ...(retryAfterMs !== undefined && { context: { retry_after_ms: retryAfterMs } }),
  })
}

async function recordRefusal(
  { audit }: Pick<Stations, 'audit'>,
  entry: Parts,
  { code }: VestryError,
): Promise<void> {
  const outcome = { code, duration_ms: 0 }
  await audit.append({ ...entry, phase: 'single', success: false, outcome }, 'written')
}

type Parts = Omit<AuditEntry, 'phase' | 'success'>

async function recorded<T>(
  { audit, now }: Pick<Stations, 'audit' | 'now'>,
  entry: Parts,
  effect: (note: Note) => Promise<T>,
  undo?: (made: T) => void,
): Promise<T> {
  const startedMs = now()
  await audit.append({ ...entry, phase: 'intent', success: true }, 'synced')
  const { decision: _, ...rest } = entry
  const facts: Record<string, unknown> = {}
  const outcome = (code: string): AuditEntry => ({
    ...rest,
    phase: 'outcome',
    success: code === 'OK',
    outcome: { code, duration_ms: now() - startedMs, ...facts },
  })
  let result: T
  try {
    result = await effect((more) => void Object.assign(facts, more))
  } catch (error) {
    await audit.append(outcome(asVestryError(error).code), 'written')
    throw error
  }
  try {
    await audit.append(outcome('OK'), 'written')
  } catch (error) {
    undo?.(result)
    throw error
  }
  return result
}

function decided(decision: Decision, allow: boolean): NonNullable<AuditEntry['decision']> {
  return {
    id: decision.id,
    allow,
    policies: allow ? ['builtin:own-secrets'] : [...decision.forbids, ...decision.errors],
    reason: allow ? 'the secrets are its own' : decision.reason,
    policy_set: decision.policySet,
  }
}

function detailOf({ operation, agent, name }: SecretCall<unknown>): string {
  return [operation, agent, name].filter((part) => part !== undefined).join(' ')
}

function dataOf({ operation, agent, name }: SecretCall<unknown>): Record<string, unknown> {
  return {
    operation,
    ...(agent !== undefined && { agent_id: agent }),
    ...(name !== undefined && { secret_key: name }),
  }
}
