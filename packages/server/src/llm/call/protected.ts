/**
 * A model call on its way through the stations: policy with the run's own claims, limits and budgets, the intent on
 * disk, the provider, and a record of what came of it before anybody has the whole answer.
 */
import { VestryError } from '@vestry/contract/errors'
import { perform } from '../../call/perform.ts'
import { spentOf, toldExhausted } from '../budget.ts'
import type { Llm } from '../llm.ts'
import { costOf } from '../prices/prices.ts'
import type { Backend } from '../providers/backend.ts'
import { findKey } from '../providers/provider-key.ts'
import type { KnownProvider } from '../providers/provider-table.ts'
import { remoteBackend } from '../providers/remote.ts'
import { carryOut, type Facts, type Running } from './carry-out.ts'
import { toldDenial } from './denied.ts'
import { budgetsOf, requestLimits } from './limits.ts'
import { Meter } from './meter.ts'
import { callData, callerOf, type ModelCall } from './model-call.ts'
import { recordRefusal } from './single-records.ts'

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
  const { target } = call
  const budgets = budgetsOf(llm, call)
  const meter = new Meter(call.size)
  const asked = question(llm, call)
  const { caller } = asked
  try {
    return await perform(llm.stations, {
      ...asked,
      get approvalParams() {
        return { model: target.ref, content: call.content() }
      },
      limits: [...requestLimits(llm, call), ...budgets],
      settle: async () => {
        const backend = await backendFor(llm, call)
        return {
          unused: () => !meter.wasSent,
          spent: () => spentOf(budgets, meter.use, costOf(meter.use, target, llm.prices)),
          effect: (note) =>
            carryOut(
              llm,
              call,
              { caller, backend, meter, note, signal, facts, includeUsage },
              effect,
            ),
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
