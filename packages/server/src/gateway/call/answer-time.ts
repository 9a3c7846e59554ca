/** How long whoever asked is kept waiting. The call itself goes on when the time is up. */
import { VestryError } from '@vestry/contract/errors'

/** The longest a client is kept waiting. */
const ANSWER_WITHIN_MS = 30_000

/** @throws VestryError DEADLINE_EXCEEDED, or the reason of `ending`. */
export async function within<T>(
  work: Promise<T>,
  ending: AbortSignal,
  ms: number = ANSWER_WITHIN_MS,
): Promise<T> {
  const { promise: over, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(late()), ms)
  const end = () => reject(ending.reason)
  ending.addEventListener('abort', end)
  try {
    return await Promise.race([work, over])
  } finally {
    clearTimeout(timer)
    ending.removeEventListener('abort', end)
  }
}

/** Aborted with what those who waited so long are told. */
export function answerTime(): AbortSignal {
  const time = new AbortController()
  setTimeout(() => time.abort(late()), ANSWER_WITHIN_MS).unref()
  return time.signal
}

function late(): VestryError {
  return new VestryError('DEADLINE_EXCEEDED', 'the call goes on; ask again for its result')
}
