/** What came out of a generator or a stream so far: counted, timed, and the first few kept while capture is on. */

import { fault } from '../counters.ts'
import { newStreamRecogniser } from '../recognise/index.ts'
import type { Call, Outcome } from './call.ts'

/** So many values are shown. */
const SHOWN = 3

type Seen = Pick<Outcome, 'payload' | 'yields'>

/** Refers to nothing but its span, so it may outlive what it counts. */
export class Yields {
  readonly #span: Call['span']
  readonly #isModelCall: boolean
  readonly #recogniser: ReturnType<typeof newStreamRecogniser> | undefined
  readonly #kept: unknown[] | undefined
  #count = 0
  #firstMs: number | undefined

  constructor(call: Call) {
    this.#span = call.span
    this.#isModelCall = call.plan.isModelCall
    this.#recogniser = this.#isModelCall ? newStreamRecogniser() : undefined
    this.#kept = call.span.mode === 'none' ? undefined : []
  }

  add(value: unknown): void {
    this.#count += 1
    this.#firstMs ??= this.#span.elapsedMs
    if (this.#kept !== undefined && this.#kept.length < SHOWN) this.#kept.push(value)
    try {
      this.#recogniser?.chunk(value)
    } catch {
      fault()
    }
  }

  /** What the end of a generator says. */
  ofGenerator(): Seen {
    return this.#seen({
      yields: this.#count,
      ...(this.#firstMs !== undefined && { first_yield_ms: this.#firstMs }),
      ...(this.#isModelCall && this.#streamFacts()),
    })
  }

  /** What the end of a stream says. */
  ofStream(): Seen {
    return this.#seen(this.#streamFacts())
  }

  #seen(payload: Record<string, unknown>): Seen {
    const kept = this.#kept
    return kept === undefined || kept.length === 0 ? { payload } : { payload, yields: kept }
  }

  #streamFacts(): Record<string, unknown> {
    return {
      chunks: this.#count,
      ...(this.#firstMs !== undefined && { ttft_ms: this.#firstMs }),
      ...this.#recognised(),
    }
  }

  /** Whatever becomes of it, the iteration goes on. */
  #recognised(): Record<string, unknown> | undefined {
    try {
      return this.#recogniser?.result()
    } catch {
      fault()
      return undefined
    }
  }
}
