/**
 * Bounds what refused requests may cost: a few are answered and recorded one by one, a flood is told to wait and
 * leaves a summary. Each run and each source of strangers counts for itself, so that none starves another.
 */
import { VestryError } from '@vestry/contract/errors'
import type { Limits } from '../../limits/limits.ts'
import { RecentMap } from '../../store/recent-map.ts'

const PER_SECOND = 2
const BURST = 120
const MAX_KEYS = 10_000

export class Denials {
  readonly #limits: Pick<Limits, 'take'>
  readonly #now: () => number
  readonly #blocked = new RecentMap<string, { untilMs: number; error: VestryError }>(MAX_KEYS)

  /** @param deps.now Milliseconds of a clock that is never set back. */
  constructor(deps: { limits: Pick<Limits, 'take'>; now?: () => number }) {
    this.#limits = deps.limits
    this.#now = deps.now ?? (() => performance.now())
  }

  /** @throws VestryError RATE_LIMITED while too many requests of `key` were refused lately. */
  assertOpen(key: string): void {
    const blocked = this.#blocked.get(key)
    if (blocked !== undefined && this.#now() < blocked.untilMs) throw blocked.error
  }

  /** One more was refused. @throws VestryError RATE_LIMITED instead of the refusal itself. */
  count(key: string): void {
    try {
      this.#limits.take({
        kind: 'bucket',
        key: `llm-refused:${key}`,
        scope: 'llm.refused',
        perSecond: PER_SECOND,
        burst: BURST,
      })
    } catch (error) {
      if (error instanceof VestryError) {
        const ms = Number(error.context['retry_after_ms'] ?? 1_000)
        this.#blocked.set(key, { untilMs: this.#now() + ms, error })
      }
      throw error
    }
  }
}
