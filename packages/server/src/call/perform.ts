/**
 * The one chain of stations every protected action runs through: policy → existence → limits →
 * intent → effect → outcome. A wire brings the parsed call and the effect; nothing else may cause one.
 */
import { asVestryError, VestryError } from '@vestry/contract/errors'
import type { AuditLog } from '../audit/log.ts'
import type { AuditEntry } from '../audit/record.ts'
import { actorOf, type Caller } from '../identity/caller.ts'
import type { Limit, Limits } from '../limits/limits.ts'
import type { WindowCharge } from '../limits/window.ts'
import type { Decision, PolicyContext, PolicyEngine, PolicyRequest } from '../policy/engine.ts'
import type { Approvals, Approved } from './approval.ts'
import { callSummary } from './call-summary.ts'
import { type CountedUse, chargePolicy } from './policy-limits.ts'
import type { Taint } from './taint.ts'

export interface Stations {
  readonly policy: PolicyEngine
  readonly limits: Limits
  readonly approvals: Approvals
  readonly taint: Taint
  readonly audit: AuditLog
  /** Counts a refusal by rate limit, so that a flood leaves a summary and not a record each. */
  readonly refused: (actor: string, scope: string) => void
  readonly now: () => number
}

/** Adds facts to the outcome record: numbers, names of ours, never values. */
export type Note = (facts: Record<string, unknown>) => void

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
  /**
   * The same question about a resource of which nothing is known. A refusal tells its reason, so that
   * "not allowed" reads the same whether or not something is there.
   */
  readonly unseen?: (() => Unseen) | undefined
  readonly reason?: string | undefined
  /** What it is, in a few words of ours, for who reads the record; made of the question if absent. */
  readonly detail?: string
  /** Recorded with every record of this call. No values, no secrets. */
  readonly data: Readonly<Record<string, unknown>>
  /** Changes nothing: one record after the fact instead of an intent before it. */
  readonly readOnly?: boolean
  /** Parameters an approval binds to: all that change what will happen. */
  readonly approvalParams?: unknown
  /** Counts towards `max_uses`. */
  readonly use?: CountedUse
  /** Charged together with what policy asks for: all, or none. */
  readonly limits?: readonly Limit[]
  /** Where "no policy permits it" stands among the ranks of fired forbids; absent: after all of them. */
  readonly unpermittedRank?: number
  /** What is wrong with the call itself; told unless policy refuses it with a lower rank. */
  readonly held?: { readonly rank: number; readonly error: VestryError } | undefined
  /** Was charged and approved when it was accepted; now it is only decided again, and done. */
  readonly accepted?: true
  /** Throws when the resource is absent; only asked once policy has allowed the action. */
  readonly exists?: () => void | Promise<void>
  /** Settles what will be done, before the intent is recorded. Changes nothing yet. */
  readonly settle: (decision: Decision) => Settled<T> | Promise<Settled<T>>
}

export type Unseen = Pick<PolicyRequest, 'resource' | 'context'>

/** What will be done once the intent is on disk. */
export interface Settled<T> {
  /** More for the intent. */
  readonly data?: Readonly<Record<string, unknown>>
  /** @param charged What this call used up of its windows, for work that goes on after it. */
  readonly effect: (note: Note, charged: readonly WindowCharge[]) => T | Promise<T>
  /** Takes back what the effect made: its outcome could not be recorded, so nobody will get it. */
  readonly undo?: (made: T) => void
  /** Whether an effect that failed so has used nothing of what was charged; that is then given back. */
  readonly unused?: (error: unknown) => boolean
  /**
   * What the work took of each budget it reserved, by key; asked once, when the effect has ended, however it did.
   * A budget that is not named is settled at the amount that was held.
   */
  readonly spent?: () => Readonly<Record<string, number>>
  /** Given back when the call is over, however it ended. */
  readonly held?: Disposable
}

/**
 * @throws VestryError ACCESS_DENIED, APPROVAL_REQUIRED, RATE_LIMITED, LEASE_EXHAUSTED,
 *   AUDIT_UNAVAILABLE, and whatever `exists`, `settle` and the effect throw. Nothing happened unless
 *   the effect was reached.
 */
export async function perform<T>(stations: Stations, asked: ProtectedCall<T>): Promise<T> {
  const call = withTaint(stations, asked)
  const { policy, limits, audit, now } = stations
  const startedMs = now()
  const decision = policy.decide(question(call))
  try {
    assertAllowed(call, decision, policy)
    await call.exists?.()
    const who = actorOf(call.caller.principal)
    await using charge =
      call.accepted === true
        ? undefined
        : await chargePolicy(limits, who, decision.obligations, call.use, call.limits)
    const settled = await call.settle(decision)
    using _held = settled.held
    await using approved = await approval(stations, call, decision)
    if (call.readOnly !== true) {
      await audit.append(record(call, decision, 'intent', settled.data), 'synced')
    }
    approved?.commit()
    const charged = charge?.windows ?? []
    const begin = async (note: Note): Promise<T> => {
      const { unused, spent, effect } = settled
      if (unused === undefined && spent === undefined) {
        await charge?.commit()
        return effect(note, charged)
      }
      let used = true
      try {
        return await effect(note, charged)
      } catch (error) {
        used = unused?.(error) !== true
        throw error
      } finally {
        // A hold that cannot be settled now counts in full once it expires: nothing is lost by going on.
        if (used) await charge?.commit(spent?.()).catch(() => undefined)
      }
    }
    return await effectThenOutcome(stations, call, decision, startedMs, { ...settled, begin })
  } catch (error) {
    if (error instanceof EffectFailed) throw error.cause
    await recordRefusal(stations, call, decision, startedMs, error)
    throw error
  }
}

/** What the transaction had read when it was decided is part of every record of the call. */
function withTaint<T>({ taint }: Stations, call: ProtectedCall<T>): ProtectedCall<T> {
  const labels = taint.of(call.caller.txn)
  return labels.length === 0 ? call : { ...call, data: { ...call.data, taint: labels } }
}

/** Tells a failed effect, whose outcome is already recorded, from a refusal, which is not yet. */
class EffectFailed extends Error {}

async function effectThenOutcome<T>(
  { audit, now }: Stations,
  call: ProtectedCall<T>,
  decision: Decision,
  startedMs: number,
  { begin, undo }: { begin: (note: Note) => T | Promise<T>; undo?: Settled<T>['undo'] },
): Promise<T> {
  const facts: Record<string, unknown> = {}
  const outcome = (code: string): AuditEntry => ({
    ...record(call, decision, call.readOnly === true ? 'single' : 'outcome'),
    success: code === 'OK',
    outcome: { code, duration_ms: now() - startedMs, ...facts },
  })
  let value: T
  try {
    value = await begin((more) => void Object.assign(facts, more))
  } catch (error) {
    await audit.append(outcome(asVestryError(error).code), 'written')
    throw new EffectFailed('', { cause: error })
  }
  try {
    await audit.append(outcome('OK'), 'written')
  } catch (error) {
    undo?.(value)
    throw new EffectFailed('', { cause: error })
  }
  return value
}

function question<T>({
  caller,
  action,
  resource,
  context,
  unpermittedRank,
}: Pick<
  ProtectedCall<T>,
  'caller' | 'action' | 'resource' | 'context' | 'unpermittedRank'
>): PolicyRequest {
  return {
    principal: principalOf(caller),
    action,
    resource,
    context,
    ...(unpermittedRank !== undefined && { unpermittedRank }),
  }
}

export function principalOf({ principal, txn, holds }: Caller): PolicyRequest['principal'] {
  const about = { txn, ...(holds !== undefined && { holds }) }
  if (principal.kind === 'agent') {
    const { id, name, role, meta } = principal.agent
    return { kind: 'agent', id, name, role, meta, ...about }
  }
  const { id, name, role } = principal.operator
  return { kind: 'operator', id, name, role, meta: {}, ...about }
}

function assertAllowed<T>(call: ProtectedCall<T>, decision: Decision, policy: PolicyEngine): void {
  const { held } = call
  if (held !== undefined && (decision.allow || held.rank < decision.rank)) throw held.error
  if (!decision.allow) throw denied(call, decision, toldReason(policy, call, decision))
  if (decision.obligations.requireReason && call.context.hasReason !== true) {
    throw new VestryError('ACCESS_DENIED', 'a reason is required for this action', {
      hint: 'Send a "reason" of up to 256 characters',
      context: deniedContext(call, 'reason_required'),
    })
  }
}

/**
 * Why not, in words the caller may hear. Whoever would be allowed if nothing were there may know that
 * something is; everybody else hears what holds in either case.
 */
export function toldReason(
  policy: PolicyEngine,
  call: Pick<ProtectedCall<unknown>, 'caller' | 'action' | 'unseen'>,
  decision: Decision,
): Pick<Decision, 'reason' | 'reasonCode'> {
  const unseen = call.unseen?.()
  if (unseen === undefined) return decision
  const blind = policy.decide(question({ ...call, ...unseen }))
  return blind.allow ? decision : blind
}

function denied<T>(
  call: ProtectedCall<T>,
  { id }: Decision,
  told: Pick<Decision, 'reason' | 'reasonCode'>,
): VestryError {
  const who = actorOf(call.caller.principal).replace(':', " '")
  const what = call.action.replace(/^(?:vault|tool):/, '')
  const name = resourceName(call.resource)
  const where = name === undefined ? '' : ` ${name.joint}'${name.text}'`
  const { target } = call.context
  const towards = target === undefined ? '' : ` towards '${target.host}'`
  return new VestryError(
    'ACCESS_DENIED',
    `${who.charAt(0).toUpperCase()}${who.slice(1)}' may not ${what}${where}${towards}: ${told.reason}`,
    {
      hint: suggestion(id, told.reasonCode),
      context: { ...deniedContext(call, told.reasonCode), decision: id },
    },
  )
}

/** How a sentence names what is acted on. */
function resourceName(
  resource: PolicyRequest['resource'],
): { joint: string; text: string } | undefined {
  if (resource.kind === 'credential') return { joint: 'on ', text: resource.path }
  if (resource.kind === 'tool') return { joint: '', text: `${resource.tool}:${resource.action}` }
  if (resource.kind === 'model')
    return { joint: '', text: `${resource.provider}:${resource.model}` }
  if (resource.kind === 'agent') return { joint: '', text: resource.name }
  if (resource.kind === 'workflow') return { joint: '', text: resource.id }
  return undefined
}

function deniedContext<T>(
  { action, resource }: ProtectedCall<T>,
  reasonCode: string,
): Record<string, unknown> {
  return {
    action: action.replace(/^vault:/, ''),
    ...(resource.kind === 'credential' && { path: resource.path }),
    ...(resource.kind === 'tool' && { tool: `${resource.tool}:${resource.action}` }),
    ...(resource.kind === 'model' && { model: `${resource.provider}:${resource.model}` }),
    ...(resource.kind === 'agent' && { agent: resource.name }),
    ...(resource.kind === 'workflow' && { workflow: resource.id }),
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

function suggestion(id: string, reasonCode: string): string {
  const what = SUGGESTIONS[reasonCode] ?? 'Ask an operator to review the policy'
  return `${what}; "vestry why ${id}" explains the decision`
}

/** Asked for last: a one-time yes is only spent when all else is well. */
function approval<T>(
  { approvals }: Stations,
  call: ProtectedCall<T>,
  decision: Decision,
): Promise<Approved> | undefined {
  const { approve } = decision.obligations
  if (approve.length === 0 || call.accepted === true) return undefined
  if (call.caller.principal.kind !== 'agent') return undefined
  const { id, name } = call.caller.principal.agent
  return approvals.claim({
    agentId: id,
    agentName: name,
    summary: callSummary(call),
    reason: call.reason,
    action: call.action,
    resource: resourceName(call.resource)?.text ?? call.resource.kind,
    params: call.approvalParams ?? {},
    policies: approve.map(({ policy }) => policy),
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
  startedMs: number,
  error: unknown,
): Promise<void> {
  const { code, context } = asVestryError(error)
  if (code === 'AUDIT_UNAVAILABLE') return // there is nowhere to write it
  if (code === 'RATE_LIMITED') {
    stations.refused(actorOf(call.caller.principal), String(context['scope'] ?? 'policy'))
    return
  }
  const entry: AuditEntry = {
    ...record(call, decision, 'single', approvalData(context)),
    action: REFUSAL_EVENTS[code] ?? call.event,
    success: false,
    outcome: { code, duration_ms: stations.now() - startedMs },
  }
  await stations.audit.append(entry, code === 'APPROVAL_REQUIRED' ? 'synced' : 'written')
}

/** What an operator is asked about is looked up in the log by the question's id. */
function approvalData({ approval_id: id }: Record<string, unknown>): Record<string, unknown> {
  return typeof id === 'string' ? { approval: id } : {}
}

/** The members every record of one call shares. */
function record<T>(
  call: ProtectedCall<T>,
  decision: Decision,
  phase: AuditEntry['phase'],
  more: Readonly<Record<string, unknown>> = {},
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
      ...more,
      ...(call.reason !== undefined && { reason: call.reason }),
    },
  }
}

function detailOf<T>({ action, resource, context, detail }: ProtectedCall<T>): string {
  if (detail !== undefined) return detail
  const name = resourceName(resource)
  // Which tool says what was done; of a credential it takes the action to know.
  const what = resource.kind === 'tool' ? '' : action.replace(/^vault:/, '')
  const where = name === undefined ? '' : `${what === '' ? '' : ' '}${name.text}`
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
