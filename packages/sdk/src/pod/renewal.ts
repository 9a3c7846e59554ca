/** Renews a claim at half of what is left of it, for as long as that is granted. Never keeps the process alive. */
import { ClaimError } from './errors.ts'

export interface RenewalOptions {
  /** Epoch ms. */
  readonly expiresAtMs: number
  /** @returns when it expires now, epoch ms. */
  readonly renew: () => Promise<number>
  /** Renewing has ended: the claim is over, or will be. */
  readonly onError: (error: ClaimError) => void
}

/** The next attempt, as a part of what is left. */
const AT = 0.5
const SHORTEST_MS = 250
/** Timers take no more. */
const LONGEST_MS = 2_147_483_647
/** Says nothing of the claim: it is tried again while the claim lasts. */
const PASSING = new Set<string>([
  'unreachable',
  'closed',
  'timeout',
  'bad_answer',
  'rate_limited',
  'unavailable',
])

export class Renewal {
  readonly #options: RenewalOptions
  #timer: NodeJS.Timeout | undefined
  #expiresAtMs: number
  #stopped = false

  constructor(options: RenewalOptions) {
    this.#options = options
    this.#expiresAtMs = options.expiresAtMs
    this.#plan()
  }

  stop(): void {
    this.#stopped = true
    clearTimeout(this.#timer)
  }

  #plan(): void {
    const left = this.#expiresAtMs - Date.now()
    const waitMs = Math.min(LONGEST_MS, Math.max(SHORTEST_MS, left * AT))
    this.#timer = setTimeout(() => void this.#attempt(), waitMs)
    this.#timer.unref()
  }

  async #attempt(): Promise<void> {
    try {
      this.#expiresAtMs = await this.#options.renew()
    } catch (error) {
      const refused = asClaimError(error)
      const over = !PASSING.has(refused.code) || Date.now() >= this.#expiresAtMs
      if (over && !this.#stopped) {
        this.#stopped = true
        this.#tell(refused)
      }
    }
    if (!this.#stopped) this.#plan()
  }

  /** What the agent does with it is its own affair, and no reason to end it. */
  #tell(error: ClaimError): void {
    try {
      this.#options.onError(error)
    } catch {
      // Nobody is there to be told.
    }
  }
}

function asClaimError(error: unknown): ClaimError {
  return error instanceof ClaimError
    ? error
    : new ClaimError('bad_answer', 'renewing failed', { cause: error })
}
