/** One call of a provider from its beginning to its end, however that comes: what it used and how it ended is noted. */
import { hash } from 'node:crypto'
import { asVestryError, VestryError } from '@vestry/contract/errors'
import { randomHex } from '@vestry/contract/ids'
import type { Note } from '../../call/perform.ts'
import { wasSent } from '../../egress/failure.ts'
import { recordsLookups } from '../../egress/lookup-record.ts'
import type { Caller } from '../../identity/caller.ts'
import type { Llm } from '../llm.ts'
import { costOf } from '../prices/prices.ts'
import type { Backend, Work } from '../providers/backend.ts'
import { asLlmError } from '../providers/faults.ts'
import { wireError } from '../wire/error-body.ts'
import type { Meter } from './meter.ts'
import type { ModelCall } from './model-call.ts'

export interface Running {
  readonly backend: Backend
  readonly work: Work
  readonly meter: Meter
}

/** What is known of the answer's way out, for the record. */
export type Facts = () => Readonly<Record<string, unknown>>

export interface Means {
  /** With the span that the call is recorded under. */
  readonly caller: Caller
  readonly backend: Backend
  readonly meter: Meter
  readonly note: Note
  readonly signal: AbortSignal
  readonly facts: Facts
  /** The client asked for the usage event of a stream. */
  readonly includeUsage: boolean
}

/** @throws VestryError in the codes of this wire, or what is a fault of ours. */
export async function carryOut<T>(
  llm: Llm,
  call: ModelCall,
  means: Means,
  effect: (running: Running) => Promise<T>,
): Promise<T> {
  const { backend, meter, note, facts } = means
  using work = workOf(llm, call, means)
  try {
    const made = await effect({ backend, work, meter })
    note({ status: 200 })
    return made
  } catch (thrown) {
    if (!wasSent(thrown)) meter.notSent()
    throw noted(llm, call, means, thrown)
  } finally {
    meter.end()
    const { micros, price } = costOf(meter.use, call.target, llm.prices)
    const { promptTokens: prompt, completionTokens: completion } = meter.use
    note({ ...usedFacts(meter, { micros, price }), ...facts() })
    llm.metrics.used(call.target.provider, { prompt, completion, micros })
  }
}

function workOf(
  llm: Llm,
  call: ModelCall,
  { caller, meter, note, signal, includeUsage }: Means,
): Work & Disposable {
  let held = 0
  return {
    org: call.proof.claims.tctx.org_id,
    scope: scopeOf(llm, call, includeUsage),
    signal,
    note,
    hold: (bytes) => {
      llm.bodies.take(bytes)
      held += bytes
    },
    onSend: () => meter.sent(),
    onLookup: recordsLookups(llm.stations.audit, {
      caller,
      requestId: call.arrival.requestId,
    }),
    onRefused: () => meter.free(),
    onPartly: (usage) => void meter.counted(usage, { estimated: true }),
    [Symbol.dispose]: () => llm.bodies.giveBack(held),
  }
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

/** The error as clients are told it, after the record was told more. */
function noted(llm: Llm, { target }: ModelCall, means: Means, thrown: unknown): unknown {
  const { note, signal, facts } = means
  const error = toldFailure(thrown, signal)
  const { code, context, cause } = asVestryError(error)
  // For operators: what the client is told names no host and no rule of ours.
  if (cause instanceof VestryError) note({ cause: cause.code })
  const { status, code: told } = wireError(error)
  // The client has the beginning of an answer, and not its end.
  const truncated = context['truncated'] === true || Number(facts()['bytes_out'] ?? 0) > 0
  note({ status, told, ...(truncated && { truncated }) })
  if (code === 'PROVIDER_AUTH_FAILED') {
    note({ alert: 'provider_key' })
    llm.metrics.alerted(target.provider)
  }
  return error
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
