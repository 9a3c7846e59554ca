/**
 * Runs one call through the chain of stations, with the provider as its effect. What must not happen twice is
 * reserved in the journal first.
 */
import { randomBytes } from 'node:crypto'
import { type ProtectedCall, perform, type Settled } from '../../call/perform.ts'
import type { Held } from '../../journal/held.ts'
import { TOOL_RANKS } from '../../policy/tool-ranks.ts'
import { hmacTag } from '../../seal/hash.ts'
import { type Gateway, JOURNAL_KIND } from '../gateway.ts'
import { isConfigured, isMocked } from '../mode.ts'
import { effectOf } from './call-effect.ts'
import { AlreadyReserved, isDurable, isRepeatable, retainMs } from './duplicates.ts'
import type { Identity } from './idempotency.ts'
import type { Answer } from './outcome.ts'
import { type PreparedCall, requestLimit } from './tool-call.ts'
import { notConfigured } from './tool-credential.ts'

/**
 * Walks the stations.
 *
 * @param signal Ends what is under way; only for calls without a key, which nobody else may wait for.
 * @throws AlreadyReserved, and VestryError as the stations and the effect do; the signal's reason.
 */
export async function runCall(
  gateway: Gateway,
  prepared: PreparedCall,
  identity: Identity,
  signal?: AbortSignal,
): Promise<Answer> {
  const { call } = prepared
  const startedMs = gateway.now()
  return perform<Answer>(gateway.stations, {
    ...protectedCall(gateway, prepared),
    event: 'tool.call',
    limits: requestLimit(gateway.settings, { dev: gateway.dev, agentId: call.agentId }),
    data: { ...prepared.data, ...keyData(identity) },
    settle: async (decision) => {
      const held = await reserveInline(gateway, prepared, identity)
      const effect = effectOf(gateway, prepared, {
        decision,
        held,
        startedMs,
        ...(signal !== undefined && { signal }),
      })
      const data = await usedCredential(gateway, prepared)
      if (held === undefined) return { ...effect, data }
      const kept = reserved(gateway, held, effect)
      return { ...effect, ...kept, data: { ...data, ...kept.data } }
    },
  })
}

/** The path under which an operator finds every use of a credential. */
export async function usedCredential(
  gateway: Gateway,
  { found }: PreparedCall,
): Promise<Record<string, unknown>> {
  const path = found?.tool.credential?.path
  if (found === undefined || path === undefined || (await isMocked(gateway, found.tool))) return {}
  return { path }
}

/** The members that a synchronous call, a submission and the run of a job share. */
export function protectedCall(
  gateway: Gateway,
  prepared: PreparedCall,
): Pick<
  ProtectedCall<never>,
  | 'caller'
  | 'requestId'
  | 'action'
  | 'source'
  | 'resource'
  | 'context'
  | 'reason'
  | 'unpermittedRank'
  | 'held'
  | 'approvalParams'
  | 'exists'
> {
  const { call, found, params, resource, context, held } = prepared
  return {
    caller: call.caller,
    requestId: call.requestId,
    action: 'tool:call',
    source: 'gateway',
    resource,
    context,
    reason: call.reason,
    unpermittedRank: TOOL_RANKS.unpermitted,
    held,
    approvalParams: {
      tool: call.tool,
      action: call.action,
      digest: found?.tool.digest ?? '',
      params,
    },
    exists: async () => {
      if (found === undefined || (await isMocked(gateway, found.tool))) return
      const { tool } = found
      if (tool.credential !== undefined && !(await isConfigured(gateway, tool)))
        throw notConfigured(tool)
    },
  }
}

/** @returns undefined when the call need not be durable: it may run twice, and nobody named it. */
async function reserveInline(
  gateway: Gateway,
  { call, found }: PreparedCall,
  identity: Identity,
): Promise<Held | undefined> {
  if (found === undefined || !isDurable(identity, found.action)) return undefined
  const reserved = await gateway.journal.reserve({
    id: newExecutionId(),
    kind: JOURNAL_KIND,
    ...(identity.key !== undefined && { key: identity.key }),
    fingerprint: identity.fingerprint,
    agentId: call.agentId,
    subject: `${call.tool}:${call.action}`,
    mode: 'inline',
    repeatable: isRepeatable(found.action, identity),
    retainMs: retainMs(gateway, identity),
    // It goes straight to the provider: one commit says both.
    sent: true,
  })
  if (reserved.state === 'held') return reserved.execution
  throw new AlreadyReserved(reserved.execution)
}

/** An execution that is refused after it was reserved has reached nobody, so a retry may run it. */
function reserved(
  gateway: Gateway,
  held: Held,
  { effect }: Pick<Settled<Answer>, 'effect'>,
): Pick<Settled<Answer>, 'data' | 'effect' | 'held'> {
  let begun = false
  return {
    data: { execution: executionTag(gateway, held.id) },
    effect: (note, charged) => {
      begun = true
      return effect(note, charged)
    },
    held: {
      [Symbol.dispose]: () => {
        if (begun) return
        held.fail({ code: 'ACCESS_DENIED', reached: false }).catch(() => undefined)
      },
    },
  }
}

/** As the record shows that a call had a key. */
export function keyData({ explicit }: Identity): Record<string, unknown> {
  return explicit === undefined ? {} : { keyed: true }
}

/** At least 128 random bits in an alphabet that needs no escaping: the id is the right to read the result. */
export function newExecutionId(): string {
  return `job_${randomBytes(18).toString('base64url')}`
}

/** As the log names an execution: whoever reads the log must not be able to ask for results. */
export function executionTag({ seal }: Pick<Gateway, 'seal'>, id: string): string {
  return hmacTag(seal.keys.hashKey, id)
}
