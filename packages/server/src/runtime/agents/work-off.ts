/** One execution from its beginning to its end on disk, within its time. */
import { asVestryError, type ErrorCode, VestryError } from '@vestry/contract/errors'
import { type Ending, type Execution, type ExecutionFacts, endingOf } from './execution.ts'
import type { ExecutionStore } from './execution-store.ts'
import type { LoopEnd } from './loop.ts'
import type { Progress } from './progress.ts'

export interface WorkDeps {
  readonly store: Pick<ExecutionStore, 'end'>
  readonly warn: (line: string) => void
  /** Epoch ms. */
  readonly now: () => number
}

export interface WorkToDo {
  readonly execution: Execution
  readonly input: string
  readonly limitSeconds: number
  /** What was cut off goes on when it is held again, so a stop is not its end. */
  readonly resumes: boolean
  readonly carryOut: (bounds: {
    readonly signal: AbortSignal
    readonly expiresAtMs: number
  }) => Promise<LoopEnd>
}

/** A stop of the server, which says nothing about the work. */
const STOPS: ReadonlySet<ErrorCode> = new Set<ErrorCode>(['SHUTTING_DOWN', 'VAULT_LOCKED'])

/**
 * However it ends, its end is noted.
 * @throws VestryError STORE_UNAVAILABLE, VAULT_LOCKED where it could not be; SHUTTING_DOWN: it has not ended
 */
export async function workOff(
  { store, warn, now }: WorkDeps,
  { execution, input, limitSeconds, resumes, carryOut }: WorkToDo,
  { count, log }: Pick<Progress, 'count' | 'log'>,
  outer: AbortSignal,
): Promise<void> {
  const startedMs = now()
  // Of one that goes on, its first beginning counts.
  const limitMs = Math.max(
    0,
    limitSeconds * 1_000 - (startedMs - (execution.startedAt ?? startedMs)),
  )
  const late = new AbortController()
  const timer = setTimeout(() => {
    late.abort(new VestryError('DEADLINE_EXCEEDED', `No end within ${limitSeconds} seconds`))
  }, limitMs)
  const signal = AbortSignal.any([outer, late.signal])
  let end: LoopEnd | undefined
  let ending: Ending
  try {
    end = await carryOut({ signal, expiresAtMs: startedMs + limitMs })
    ending = { status: 'completed' }
  } catch (thrown) {
    // Whoever only passes on that it was stopped does not know why.
    const error = signal.aborted ? signal.reason : thrown
    const { code } = asVestryError(error)
    if (resumes && STOPS.has(code)) throw new VestryError('SHUTTING_DOWN')
    if (code === 'INTERNAL_ERROR')
      warn(
        `execution ${execution.id} failed: ${error instanceof Error ? error.stack : String(error)}`,
      )
    ending = endingOf(error)
  } finally {
    clearTimeout(timer)
  }
  const facts: ExecutionFacts = {
    ...execution.facts,
    ...count.facts,
    ...(end !== undefined && { finishReason: end.finishReason }),
  }
  const { steps } = count
  const content = {
    input,
    ...(end !== undefined && { output: end.output }),
    steps,
    ...(log.length > 0 && { log }),
  }
  await store.end(execution, ending, facts, content).catch((error: unknown) => {
    // An answer that cannot be sealed is lost. A failure needs no key to be told.
    if (end !== undefined || asVestryError(error).code !== 'VAULT_LOCKED') throw error
    return store.end(execution, ending, facts)
  })
}
