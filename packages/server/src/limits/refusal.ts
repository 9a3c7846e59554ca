/** The one error that a used-up limit gives. */
import { VestryError } from '@vestry/contract/errors'

export interface Refusal {
  /** What is limited, in words of the configuration: `requests`, `authenticate`, a policy id. */
  readonly scope: string
  /** The limit as people write it: `100/s burst 200`. */
  readonly limit: string
  /** Time until the same request may succeed; Infinity when waiting does not help. */
  readonly retryAfterMs: number
  /** Of a budget: what is left of it is held by work under way. */
  readonly held?: boolean
}

/** RATE_LIMITED with context `{retry_after_ms, scope, limit}`; `retry_after_ms` is null when waiting is no use. */
export function rateLimited({ scope, limit, retryAfterMs, held }: Refusal): VestryError {
  const waits = Number.isFinite(retryAfterMs)
  const retry = waits ? Math.max(1, Math.ceil(retryAfterMs)) : null
  return new VestryError('RATE_LIMITED', `The limit "${scope}" of ${limit} is used up`, {
    hint: waits ? `Retry after ${retry} ms.` : 'Waiting does not help; ask an operator.',
    context: { retry_after_ms: retry, scope, limit, ...(held === true && { held }) },
  })
}
