/**
 * A model call on its way through the stations: policy with the run's own claims, limits and budgets, the intent on
 * disk, the provider, and a record of what came of it before anybody has the whole answer.
 */

import { hash } from 'node:crypto'
import { asVestryError, VestryError } from '@vestry/contract/errors'
import { randomHex } from '@vestry/contract/ids'
import { perform } from '../../call/perform.ts'
import { wasSent } from '../../egress/failure.ts'
import { spentOf, toldExhausted } from '../budget.ts'
import type { Llm } from '../llm.ts'
import { costOf } from '../prices/prices.ts'
import type { Backend, Work } from '../providers/backend.ts'
import { asLlmError } from '../providers/faults.ts'
import { findKey } from '../providers/provider-key.ts'
import type { KnownProvider } from '../providers/provider-table.ts'
import { remoteBackend } from '../providers/remote.ts'
import { wireError } from '../wire/error-body.ts'
import { toldDenial } from './denied.ts'
import { budgetsOf, requestLimits } from './limits.ts'
import { Meter } from './meter.ts'
import { callData, callerOf, type ModelCall } from './model-call.ts'
import { recordRefusal } from './single-records.ts'

export interface Running {
  readonly backend: Backend
  readonly work: Work
  readonly meter: Meter
}

/** What the caller of {@link protect} knows of the answer's way out, for the record. */
export type Facts = () => Readonly<Record<string, unknown>>

/**
 * @param includeUsage The client asked for the usage event of a stream.
 * @throws VestryError in the codes of this wire.
 */
export async function protect<T>(
  llm: Llm,
  call: ModelCall,
  signal: AbortSignal,
  effect: (running: Running) => Promise<T>,
  { facts = () => ({}), includeUsage = false }: { facts?: Facts; includeUsage?: boolean } = {},
): Promise<T> {
  const { target, proof } = call
  const budgets = budgetsOf(llm, call)
  const meter = new Meter(call.size)
  const cost = () => costOf(meter.use, target, llm.prices)
  try {
    return await perform(llm.stations, {
      ...question(llm, call),
      get approvalParams() {
        return { model: target.ref, content: call.content() }
      },
      limits: [...requestLimits(llm, call), ...budgets],
      settle: async () => {
        const backend = await backendFor(llm, call)
        return {
          unused: () => !meter.wasSent,
          spent: () => spentOf(budgets, meter.use, cost()),
          effect: async (note) => {
            const work: Work = {
              org: proof.claims.tctx.org_id,
              scope: scopeOf(llm, call, includeUsage),
              signal,
              note,
              onSend: () => meter.sent(),
              onRefused: () => meter.free(),
              onPartly: (usage) => meter.counted(usage, { estimated: true }),
            }
            try {
              const made = await effect({ backend, work, meter })
              note({ status: 200 })
              return made
            } catch (thrown) {
              if (!wasSent(thrown)) meter.notSent()
              const error = toldFailure(thrown, signal)
              const { code, context, cause } = asVestryError(error)
              // For operators: what the client is told names no host and no rule of ours.
              if (cause instanceof VestryError) note({ cause: cause.code })
              const { status, code: told } = wireError(error)
              // The client has the beginning of an answer, and not its end.
              const truncated =
                context['truncated'] === true || Number(facts()['bytes_out'] ?? 0) > 0
              note({ status, told, ...(truncated && { truncated }) })
              if (code === 'PROVIDER_AUTH_FAILED') {
                note({ alert: 'provider_key' })
                llm.metrics.alerted(target.provider)
              }
              throw error
            } finally {
              meter.end()
              note({ ...usedFacts(meter, cost()), ...facts() })
              report(llm, call, meter, cost().micros)
            }
          },
        }
      },
    })
  } catch (error) {
    const told = toldExhausted(toldDenial(error, target), budgets)
    // Of what the limits refuse there is a summary only; a budget that is spent has a record of its own.
    if (told instanceof VestryError && told.code === 'BUDGET_EXHAUSTED')
      await recordRefusal(llm, { ...call, data: callData(llm, call) }, told)
    throw told
  }
}

/** The same question for an answer that is given again: decided and recorded, but nothing is charged. */
export function protectReplay<T>(llm: Llm, call: ModelCall, replay: () => Promise<T>): Promise<T> {
  return perform(llm.stations, {
    ...question(llm, call),
    readOnly: true,
    settle: () => ({
      effect: async (note) => {
        note({ replayed: true, status: 200 })
        return replay()
      },
    }),
  }).catch((error: unknown) => {
    throw toldDenial(error, call.target)
  })
}

function question(llm: Llm, call: ModelCall) {
  const { arrival, target, claims, proof } = call
  return {
    caller: callerOf(call),
    requestId: arrival.requestId,
    action: call.action,
    event: call.event,
    source: 'llm' as const,
    resource: { kind: 'model' as const, provider: target.provider, model: target.model },
    context: {
      nowMs: llm.now(),
      transport: arrival.peer.transport,
      ...(arrival.peer.address !== undefined && { sourceIp: arrival.peer.address }),
      runModels: claims.models,
      ...(claims.providers !== undefined && { runProviders: claims.providers }),
      run: proof.run.id,
      category: target.category,
      requestBytes: call.bodyBytes,
      holds: claims.holds,
    },
    detail: `${call.event} ${target.ref}`,
    data: callData(llm, call),
  }
}

/** @throws VestryError PROVIDER_KEY_MISSING where nobody could carry the call out. */
async function backendFor(llm: Llm, { target, proof, native }: ModelCall): Promise<Backend> {
  const known = llm.providers.find(target.provider)
  if (known === undefined) throw new VestryError('UNKNOWN_PROVIDER')
  if (native && known.kind !== 'anthropic' && !known.mock)
    throw new VestryError('UNSUPPORTED_OPERATION', 'The provider here has no native messages')
  if (await isMocked(llm, known, proof.claims.tctx.org_id)) return llm.mock
  return remoteBackend(llm, known)
}

/** Only what nobody configured, and only in development. */
export async function isMocked(
  { dev, credentials }: Pick<Llm, 'dev' | 'credentials'>,
  known: KnownProvider,
  org: string,
): Promise<boolean> {
  if (known.mock) return true
  return dev && !known.configured && (await findKey(credentials, known, org)) === undefined
}

function scopeOf(llm: Llm, { proof, target }: ModelCall, includeUsage: boolean): Work['scope'] {
  const { settings } = llm
  const org = proof.claims.tctx.org_id
  return {
    nowMs: llm.now(),
    newId: (prefix) => `${prefix}${randomHex(12)}`,
    user: hash('sha256', JSON.stringify([org, proof.run.id]), 'hex').slice(0, 32),
    signatures: llm.signatures.of(proof.run.id),
    defaultMaxTokens: settings.model_max_tokens[target.ref] ?? settings.default_max_tokens,
    includeUsage,
  }
}

/** A call that was broken off says why: the client left, or the gateway stops. */
function toldFailure(error: unknown, signal: AbortSignal): unknown {
  if (signal.aborted && (error === signal.reason || isAbort(error))) return signal.reason
  return asLlmError(error)
}

function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === 'AbortError'
}

function usedFacts(
  meter: Meter,
  { micros, price }: ReturnType<typeof costOf>,
): Record<string, unknown> {
  const { prompt_tokens: prompt, completion_tokens: completion, total_tokens: total } = meter.usage
  return {
    usage: { prompt, completion, total },
    cost_micros: micros,
    ...(meter.estimated && { usage_estimated: true }),
    ...(price === 'unknown' && { price }),
    ...(meter.finishReason !== undefined && { finish_reason: meter.finishReason }),
  }
}

function report({ metrics }: Llm, { target }: ModelCall, meter: Meter, micros: number): void {
  const { promptTokens: prompt, completionTokens: completion } = meter.use
  metrics.used(target.provider, { prompt, completion, micros })
}
