/**
 * Whether a call has come before (gateway contract §7.6): it joins one that is under way, gets the answer of one that
 * ended, and runs only when nothing came of the same call yet.
 */
import { VestryError } from '@vestry/contract/errors'
import { hasEnded, type Execution as Journaled } from '../../journal/execution.ts'
import { type Gateway, JOURNAL_KIND } from '../gateway.ts'
import { recordCall } from '../record.ts'
import type { Json } from '../tools/tool.ts'
import { answerTime } from './answer-time.ts'
import { type Identity, IMPLICIT_TTL_MS } from './idempotency.ts'
import { type Answer, readStored } from './outcome.ts'
import { type PreparedCall, prepareCall, type ToolCall } from './tool-call.ts'

/** Does what was asked. @throws AlreadyReserved when another node holds the key of the call. */
type Run = (prepared: PreparedCall) => Promise<Answer>

/** The answer of a call, whoever runs it: the same call at once is one. */
export function joinOrStart(
  gateway: Gateway,
  call: ToolCall,
  identity: Identity,
  run: Run,
): Promise<Answer> {
  const { key, fingerprint } = identity
  const flying = key === undefined ? undefined : gateway.flights.get(key)
  if (flying === undefined) {
    return gateway.flights.start(key, fingerprint, () => answerOnce(gateway, call, identity, run))
  }
  if (flying.fingerprint !== fingerprint) throw conflict()
  return flying.landed.then((answer) => replayed(gateway, call, answer))
}

/** Looks for what came of the same call before; runs it when nothing did. */
async function answerOnce(
  gateway: Gateway,
  call: ToolCall,
  identity: Identity,
  run: Run,
): Promise<Answer> {
  for (;;) {
    const earlier = await earlierAnswer(gateway, call, identity)
    if (earlier !== undefined) return replayed(gateway, call, earlier)
    const prepared = prepareCall(gateway, call)
    try {
      const answer = await run(prepared)
      remember(gateway, prepared, identity, answer)
      return answer
    } catch (error) {
      // Another node was quicker: its result is ours, and if it has none that counts, the turn is.
      if (!(error instanceof AlreadyReserved)) throw error
    }
  }
}

async function earlierAnswer(
  gateway: Gateway,
  { tool, action }: ToolCall,
  identity: Identity,
): Promise<Answer | undefined> {
  const { key } = identity
  if (key === undefined) return undefined
  const kept = gateway.recent.get(key, gateway.now())
  if (kept !== undefined) return kept as unknown as Answer // put there by `remember`
  if (!isDurable(identity, gateway.tools.find(tool, action)?.action)) return undefined
  const found = await gateway.journal.find(JOURNAL_KIND, key)
  return found === undefined ? undefined : fromJournal(gateway, identity, found)
}

/**
 * What an earlier execution came to; undefined when it may run again.
 *
 * @throws VestryError IDEMPOTENCY_CONFLICT, OUTCOME_UNKNOWN, or the error it ended with.
 */
async function fromJournal(
  { journal }: Pick<Gateway, 'journal'>,
  { fingerprint }: Identity,
  found: Journaled,
): Promise<Answer | undefined> {
  if (found.fingerprint !== fingerprint) throw conflict()
  const ended = hasEnded(found) ? found : await journal.wait(found.id, answerTime())
  if (ended.state === 'unknown') throw outcomeUnknown()
  if (ended.state === 'failed' && (!ended.reached || ended.repeatable)) return undefined
  const bytes = await journal.output(ended.id)
  if (bytes === undefined) throw outcomeUnknown()
  const stored = readStored(bytes)
  if ('error' in stored) throw stored.error
  return { data: stored.data, metadata: stored.metadata, replayed: true }
}

/** Answers of calls that need not survive a crash are kept in memory while a client may be retrying. */
function remember(
  gateway: Gateway,
  { found }: PreparedCall,
  identity: Identity,
  answer: Answer,
): void {
  if (identity.key === undefined || isDurable(identity, found?.action)) return
  if (gateway.seal.state !== 'unsealed') return // sealed meanwhile: nothing stays in memory
  gateway.recent.set(identity.key, answer as unknown as Json, IMPLICIT_TTL_MS, gateway.now())
}

async function replayed(gateway: Gateway, call: ToolCall, answer: Answer): Promise<Answer> {
  gateway.metrics.replayed()
  await recordCall(gateway, { call, replay: true })
  return { ...answer, replayed: true }
}

/** What has a name of its own, or must not happen twice, is kept on disk. */
export function isDurable(
  { key, explicit }: Identity,
  action: { readonly repeatable: boolean } | undefined,
): boolean {
  return key !== undefined && action !== undefined && (explicit !== undefined || !action.repeatable)
}

/** Also when the provider itself suppresses duplicates of a keyed call. */
export function isRepeatable(
  action: { readonly repeatable: boolean; readonly idempotencyHeader?: string },
  { explicit }: Identity,
): boolean {
  return action.repeatable || (action.idempotencyHeader !== undefined && explicit !== undefined)
}

/** How long what came of a call is remembered. */
export function retainMs({ settings }: Gateway, { explicit }: Identity): number {
  return explicit === undefined ? IMPLICIT_TTL_MS : settings.idempotency_ttl_seconds * 1_000
}

/** Somebody else holds the key; tells it from every other refusal. */
export class AlreadyReserved extends VestryError {
  readonly execution: Journaled

  constructor(execution: Journaled) {
    super('CONFLICT', 'the same call is under way')
    this.execution = execution
  }
}

export function conflict(): VestryError {
  return new VestryError('IDEMPOTENCY_CONFLICT', 'the key belongs to another request', {
    hint: 'Use a new key for a new request',
  })
}

export function outcomeUnknown(): VestryError {
  return new VestryError('OUTCOME_UNKNOWN', undefined, {
    hint: 'Find out at the provider whether it happened; use a new key to do it again',
  })
}
