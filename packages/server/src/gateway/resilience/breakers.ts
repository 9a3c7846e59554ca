/** A breaker and a bulkhead for each tool, made at its first call. Names come from the catalogue, so they are few. */
import { Breaker, type BreakerOptions, type BreakerState } from './breaker.ts'
import { Bulkhead, type BulkheadOptions } from './bulkhead.ts'

export interface ToolGuards {
  readonly breaker: Breaker
  readonly bulkhead: Bulkhead
}

export class Breakers {
  readonly #options: BreakerOptions & BulkheadOptions
  readonly #guards = new Map<string, ToolGuards>()

  constructor(options: BreakerOptions & BulkheadOptions) {
    this.#options = options
  }

  of(tool: string): ToolGuards {
    const known = this.#guards.get(tool)
    if (known !== undefined) return known
    const guards = {
      breaker: new Breaker(tool, this.#options),
      bulkhead: new Bulkhead(tool, this.#options),
    }
    this.#guards.set(tool, guards)
    return guards
  }

  /** Closed for a tool that was never called. */
  state(tool: string, nowMs: number): BreakerState {
    return this.#guards.get(tool)?.breaker.state(nowMs) ?? 'closed'
  }
}
