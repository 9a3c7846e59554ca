/** One execution from its beginning to its end on disk, within its time. */
import { asVestryError, VestryError } from '@vestry/contract/errors'
import { type Ending, type ExecutionFacts, endingOf } from './execution.ts'
import type { ExecutionStore } from './execution-store.ts'
import type { LoopEnd } from './loop.ts'
import type { Progress } from './progress.ts'
import { carryOut, type RunnerDeps, type Work } from './runner.ts'

export interface WorkDeps {
  readonly store: Pick<ExecutionStore, 'end'>
  readonly runner: RunnerDeps
  readonly settings: { readonly agent_timeout_seconds: number }
  readonly warn: (line: string) => void
  /** Epoch ms. */
  readonly now: () => number
}

/** However it ends, its end is noted. @throws VestryError STORE_UNAVAILABLE, VAULT_LOCKED where it could not be. */
export async function workOff(
  { store, settings, runner, warn, now }: WorkDeps,
  given: Pick<Work, 'execution' | 'agent' | 'definition' | 'input'>,
  { count, onStep }: Pick<Progress, 'count' | 'onStep'>,
  outer: AbortSignal,
): Promise<void> {
  const { execution } = given
  const limitMs = settings.agent_timeout_seconds * 1_000
  const late = new AbortController()
  const timer = setTimeout(() => {
    const words = `No end within ${settings.agent_timeout_seconds} seconds`
    late.abort(new VestryError('DEADLINE_EXCEEDED', words))
  }, limitMs)
  const signal = AbortSignal.any([outer, late.signal])
  let end: LoopEnd | undefined
  let ending: Ending
  try {
    const expiresAtMs = now() + limitMs
    end = await carryOut(runner, { ...given, signal, expiresAtMs, onStep })
    ending = { status: 'completed' }
  } catch (thrown) {
    // Whoever only passes on that it was stopped does not know why.
    const error = signal.aborted ? signal.reason : thrown
    if (asVestryError(error).code === 'INTERNAL_ERROR')
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
  const content = { input: given.input, ...(end !== undefined && { output: end.output }), steps }
  await store.end(execution, ending, facts, content).catch((error: unknown) => {
    // An answer that cannot be sealed is lost. A failure needs no key to be told.
    if (end !== undefined || asVestryError(error).code !== 'VAULT_LOCKED') throw error
    return store.end(execution, ending, facts)
  })
}
