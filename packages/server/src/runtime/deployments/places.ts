/** How many runs of one deployment there may be at once. Counted in this process, where nothing comes between. */
import { VestryError } from '@vestry/contract/errors'

const RETRY_MS = 1_000

export class Places {
  #taken = 0
  #idle = Promise.withResolvers<void>()

  /** @param max Undefined: as many as come. */
  readonly max: number | undefined

  constructor(max: number | undefined) {
    this.max = max
    this.#idle.resolve()
  }

  get taken(): number {
    return this.#taken
  }

  /** @returns Gives the place back; once. @throws VestryError RATE_LIMITED */
  take(): () => void {
    if (this.max !== undefined && this.#taken >= this.max) {
      throw new VestryError('RATE_LIMITED', `It runs ${this.max} tasks already`, {
        hint: 'Ask again when one has ended, or deploy it with a larger max_concurrent_tasks',
        context: { retry_after_ms: RETRY_MS },
      })
    }
    if (this.#taken === 0) this.#idle = Promise.withResolvers()
    this.#taken += 1
    let isMine = true
    return () => {
      if (!isMine) return
      isMine = false
      this.#taken -= 1
      if (this.#taken === 0) this.#idle.resolve()
    }
  }

  /** Resolves when none is taken. */
  idle(): Promise<void> {
    return this.#idle.promise
  }
}
