/**
 * The one chain of stations every protected action runs through: policy → existence → limits →
 * intent → effect → outcome. A wire brings the parsed call and the effect; nothing else may cause one.
 */
import { asVestryError, VestryError } from '@vestry/contract/errors'
import type { AuditLog } from '../audit/log.ts'
import type { AuditEntry } from '../audit/record.ts'
import { actorOf, type Caller } from '../identity/caller.ts'
import type { Limits } from '../limits/limits.ts'
import type { Decision, PolicyContext, PolicyEngine, PolicyRequest } from '../policy/engine.ts'
import type { Approvals } from './approval.ts'
import { chargePolicy } from './policy-limits.ts'

export interface Stations {
  readonly policy: PolicyEngine
  readonly limits: Limits
  readonly approvals: Approvals
  readonly audit: AuditLog
  /** Counts a refusal by rate limit, so that a flood leaves a summary and not a record each. */
  readonly refused: (actor: string, scope: string) => void
  readonly now: () => number
}

export interface ProtectedCall<T> {
  readonly caller: Caller
  readonly requestId: string
  /** What policy is asked, e.g. `vault:use:http_request`. */
  readonly action: string
  /** How the record names it, e.g. `credential.use`. */
  readonly event: string
  readonly source: AuditEntry['source']
  readonly resource: PolicyRequest['resource']
  readonly context: PolicyContext
  readonly reason?: string | undefined
  /** Recorded with every record of this call. No values, no secrets. */
  readonly data: Readonly<Record<string, unknown>>
  /** Changes nothing: one record after the fact instead of an intent before it. */
  readonly readOnly?: boolean
  /** Parameters an approval binds to. */
  readonly approvalParams?: unknown
  /** Throws when the resource is absent; only asked once policy has allowed the action. */
  readonly exists?: () => void | Promise<void>
  /** Settles what will be granted, before the intent is recorded. @returns more data for the intent. */
  readonly plan?: (decision: Decision) => Record<string, unknown> | Promise<Record<string, unknown>>
  /** The effect itself. `note` adds facts to the outcome record, also when the effect then fails. */
  readonly effect: (
    decision: Decision,
    note: (facts: Record<string, unknown>) => void,
  ) => T | Promise<T>
}

/**
 * @throws VestryError ACCESS_DENIED, APPROVAL_REQUIRED, RATE_LIMITED, AUDIT_UNAVAILABLE, and whatever
 *   `exists`, `plan` and `effect` throw. Nothing happened unless `effect` was reached.
 */
export async function perform<T>(stations: Stations, call: ProtectedCall<T>): Promise<T> {
  const started = stations.now()
  const decision = stations.policy.decide(policyRequest(call))
  try {
    assertAllowed(call, decision)
    await call.exists?.()
    await using charge = await chargePolicy(
      stations.limits,
      actorOf(call.caller.principal),
      decision.obligations,
    )
    await assertApproved(stations, call, decision) // last: a one-time yes is only spent when all else is well
    const planned = (await call.plan?.(decision)) ?? {}
    if (call.readOnly !== true) {
      await stations.audit.append(record(call, decision, 'intent', planned), 'synced')
    }
    await charge?.commit()
    return await effectThenOutcome(stations, call, decision, started)
  } catch (error) {
    if (error instanceof EffectFailed) throw error.cause
    await recordRefusal(stations, call, decision, started, error)
    throw error
  }
}

/** Tells a failed effect, whose outcome is already recorded, from a refusal, which is not yet. */
class EffectFailed extends Error {}

async function effectThenOutcome<T>(
  { audit, now }: Stations,
  call: ProtectedCall<T>,
  decision: Decision,
  started: number,
): Promise<T> {
  const facts: Record<string, unknown> = {}
  const note = (more: Record<string, unknown>): void => void Object.assign(facts, more)
  const outcome = (code: string): AuditEntry => ({
    ...record(call, decision, call.readOnly === true ? 'single' : 'outcome', {}),
    success: code === 'OK',
    outcome: { code, duration_ms: now() - started, ...facts },
  })
  let value: T
  try {
    value = await call.effect(decision, note)
  } catch (error) {
    await audit.append(outcome(asVestryError(error).code), 'written')
    throw new EffectFailed('', { cause: error })
  }
  try {
    await audit.append(outcome('OK'), 'written')
  } catch (error) {
    throw new EffectFailed('', { cause: error })
  }
  return value
}

function policyRequest<T>({ caller, action, resource, context }: ProtectedCall<T>): PolicyRequest {
  return { principal: principalOf(caller), action, resource, context }
}

export function principalOf({ principal }: Caller): PolicyRequest['principal'] {
  if (principal.kind === 'agent') {
    const { id, name, role, meta } = principal.agent
    return { kind: 'agent', id, name, role, meta }
  }
  const { id, name, role } = principal.operator
  return { kind: 'operator', id, name, role, meta: {} }
}

function assertAllowed<T>(call: ProtectedCall<T>, decision: Decision): void {
  if (!decision.allow) throw denied(call, decision)
  if (decision.obligations.requireReason && call.context.hasReason !== true) {
    throw new VestryError('ACCESS_DENIED', 'a reason is required for this action', {
      hint: 'Send a "reason" of up to 256 characters',
      context: deniedContext(call, 'reason_required'),
    })
  }
}

function denied<T>(call: ProtectedCall<T>, decision: Decision): VestryError {
  const who = actorOf(call.caller.principal).replace(':', " '")
  const what = call.action.replace(/^vault:/, '')
  const where = call.resource.kind === 'credential' ? ` on '${call.resource.path}'` : ''
  const { target } = call.context
  const towards = target === undefined ? '' : ` towards '${target.host}'`
  return new VestryError(
    'ACCESS_DENIED',
    `${who.charAt(0).toUpperCase()}${who.slice(1)}' may not ${what}${where}${towards}: ${decision.reason}`,
    {
      hint: suggestion(decision),
      context: { ...deniedContext(call, decision.reasonCode), decision: decision.id },
    },
  )
}

function deniedContext<T>(
  { action, resource }: ProtectedCall<T>,
  reasonCode: string,
): Record<string, unknown> {
  return {
    action: action.replace(/^vault:/, ''),
    ...(resource.kind === 'credential' && { path: resource.path }),
    reason_code: reasonCode,
    legacy_code: 'POLICY_DENIED',
  }
}

const SUGGESTIONS: Readonly<Record<string, string>> = {
  no_matching_rule: 'Ask an operator for a policy that covers this agent, path and action',
  host_not_allowed:
    'Ask an operator to add the host to "hosts" of the policy or to the credential’s allowed hosts',
  outside_hours: 'Try again within the hours of the policy',
  denied_by_rule: 'A deny rule forbids this; ask an operator why',
}

function suggestion({ id, reasonCode }: Decision): string {
  const what = SUGGESTIONS[reasonCode] ?? 'Ask an operator to review the policy'
  return `${what}; "vestry why ${id}" explains the decision`
}

async function assertApproved<T>(
  { approvals }: Stations,
  call: ProtectedCall<T>,
  decision: Decision,
): Promise<void> {
  if (decision.obligations.approve.length === 0) return
  if (call.caller.principal.kind !== 'agent') return
  await approvals.assertGranted({
    agentId: call.caller.principal.agent.id,
    action: call.action,
    resource: call.resource.kind === 'credential' ? call.resource.path : call.resource.kind,
    params: call.approvalParams ?? {},
    policies: decision.obligations.approve.map(({ policy }) => policy),
  })
}

const REFUSAL_EVENTS: Readonly<Record<string, string>> = {
  ACCESS_DENIED: 'policy.deny',
  APPROVAL_REQUIRED: 'approval.request',
}

async function recordRefusal<T>(
  stations: Stations,
  call: ProtectedCall<T>,
  decision: Decision,
  started: number,
  error: unknown,
): Promise<void> {
  const { code, context } = asVestryError(error)
  if (code === 'AUDIT_UNAVAILABLE') return // there is nowhere to write it
  if (code === 'RATE_LIMITED') {
    stations.refused(actorOf(call.caller.principal), String(context['scope'] ?? 'policy'))
    return
  }
  const entry: AuditEntry = {
    ...record(call, decision, 'single', {}),
    action: REFUSAL_EVENTS[code] ?? call.event,
    success: false,
    outcome: { code, duration_ms: stations.now() - started },
  }
  await stations.audit.append(entry, 'written')
}

/** The members every record of one call shares. */
function record<T>(
  call: ProtectedCall<T>,
  decision: Decision,
  phase: AuditEntry['phase'],
  planned: Record<string, unknown>,
): AuditEntry {
  const { caller } = call
  const path = call.resource.kind === 'credential' ? { path: call.resource.path } : {}
  return {
    action: call.event,
    phase,
    detail: detailOf(call),
    success: decision.allow,
    actor: actorOf(caller.principal),
    source: call.source,
    ...(caller.principal.kind === 'agent' && { agent: caller.principal.agent.name }),
    ...(caller.peer.pid !== undefined && { pid: caller.peer.pid }),
    ...(caller.peer.uid !== undefined && { uid: caller.peer.uid }),
    request_id: call.requestId,
    txn: caller.txn,
    span: {
      trace_id: caller.trace.traceId,
      span_id: caller.trace.spanId,
      parent_span_id: caller.trace.parentSpanId,
    },
    ...(phase !== 'outcome' && { decision: recordedDecision(decision) }),
    data: {
      operation: call.action.replace(/^vault:/, ''),
      ...path,
      ...call.data,
      ...planned,
      ...(call.reason !== undefined && { reason: call.reason }),
    },
  }
}

function detailOf<T>({ action, resource, context }: ProtectedCall<T>): string {
  const what = action.replace(/^vault:/, '')
  const where = resource.kind === 'credential' ? ` ${resource.path}` : ''
  const { target, method } = context
  return target === undefined ? what + where : `${what}${where} ${method ?? ''} ${target.host}`
}

function recordedDecision(decision: Decision): NonNullable<AuditEntry['decision']> {
  return {
    id: decision.id,
    allow: decision.allow,
    policies: decision.allow ? decision.permits : [...decision.forbids, ...decision.errors],
    reason: decision.reason,
    reason_code: decision.reasonCode,
    policy_set: decision.policySet,
    ...(decision.closest !== undefined && { closest: decision.closest }),
  }
}
