/**
 * Token counts per model, added up over the calls of one context. Only successful calls are counted:
 * a call that failed has no counts to trust.
 */

/** Token counts of one call. */
export interface Usage {
  readonly inputTokens: number
  readonly outputTokens: number
  readonly totalTokens: number
  /** Part of `inputTokens` that came from the provider's cache. */
  readonly cachedTokens?: number
  /** Part of `outputTokens` that was thinking. */
  readonly reasoningTokens?: number
}

/** What one model used so far. */
export interface UsageEntry {
  /** `provider:model`. */
  readonly model: string
  readonly promptTokens: number
  readonly completionTokens: number
  readonly totalTokens: number
  readonly calls: number
}

export class UsageLedger {
  readonly #entries = new Map<string, UsageEntry>()

  /**
   * Adds one successful call.
   *
   * @param model `provider:model`, or anything that prints as it.
   * @param usage Undefined when the provider reported none: the call is counted, with no tokens.
   */
  record(model: string | { toString(): string }, usage: Usage | undefined): void {
    const name = String(model)
    const before = this.#entries.get(name)
    this.#entries.set(name, {
      model: name,
      promptTokens: (before?.promptTokens ?? 0) + (usage?.inputTokens ?? 0),
      completionTokens: (before?.completionTokens ?? 0) + (usage?.outputTokens ?? 0),
      totalTokens: (before?.totalTokens ?? 0) + (usage?.totalTokens ?? 0),
      calls: (before?.calls ?? 0) + 1,
    })
  }

  /** A snapshot, one entry per model, in the order of their first call. */
  entries(): UsageEntry[] {
    return [...this.#entries.values()]
  }

  /** All models together. */
  get total(): Omit<UsageEntry, 'model'> {
    const sum = { promptTokens: 0, completionTokens: 0, totalTokens: 0, calls: 0 }
    for (const entry of this.#entries.values()) {
      sum.promptTokens += entry.promptTokens
      sum.completionTokens += entry.completionTokens
      sum.totalTokens += entry.totalTokens
      sum.calls += entry.calls
    }
    return sum
  }

  toJSON(): UsageEntry[] {
    return this.entries()
  }
}
