/** What one call used, as far as it is known: read for the record, the budgets and the metrics when it ended. */
import type { Usage } from '@vestry/sdk/llm/providers'
import { type CallSize, guessUse } from '../estimate.ts'
import type { TokenUse } from '../prices/prices.ts'

/** No call takes more: such a count is a mistake, and is not believed. */
const MOST_TOKENS = 100_000_000

export class Meter {
  readonly #size: CallSize
  readonly #now: () => number
  #usage: Usage | undefined
  #estimated = false
  #sentAtMs: number | undefined
  #heardAtMs: number | undefined
  #received = 0
  finishReason: string | undefined

  /**
   * @param size Of the request, for answers that end before they are counted.
   * @param now Milliseconds of a clock that is never set back.
   */
  constructor(size: CallSize, now: () => number = () => performance.now()) {
    this.#size = size
    this.#now = now
  }

  /** The provider may have heard of the call. */
  sent(): void {
    this.#sentAtMs ??= this.#now()
  }

  get wasSent(): boolean {
    return this.#sentAtMs !== undefined
  }

  /** The provider's own count. @returns Whether it is one that can be believed; else nothing has changed. */
  counted(usage: Usage | undefined, { estimated = false } = {}): boolean {
    if (usage === undefined) return false
    const { prompt_tokens, completion_tokens, total_tokens } = usage
    if (Math.max(prompt_tokens + completion_tokens, total_tokens) > MOST_TOKENS) return false
    this.#usage = usage
    this.#estimated = estimated
    return true
  }

  /** What the provider had counted when its answer ended early: its beginning at least, and not all that came. */
  countedSoFar(usage: Usage | undefined): void {
    if (usage === undefined) return
    const { completionTokens } = this.#guess()
    const completion = Math.max(usage.completion_tokens, completionTokens)
    const total = usage.prompt_tokens + completion
    this.counted(
      { ...usage, completion_tokens: completion, total_tokens: total },
      { estimated: true },
    )
  }

  /** So much of the answer has come in, in case that nobody counts it. */
  received(bytes: number): void {
    this.#heardAtMs ??= this.#now()
    this.#received += bytes
  }

  /** The whole answer has come in: what there is of it is what was written. */
  answered(bytes: number): void {
    this.#heardAtMs = this.#sentAtMs
    this.#received += bytes
  }

  /** No byte has reached the provider after all; what was counted before stays. */
  notSent(): void {
    if (this.#usage === undefined) this.#sentAtMs = undefined
  }

  /** The provider asks for nothing: it refused, or the call has no price. */
  free(): void {
    this.#usage ??= usageOf(0, 0)
  }

  /** The call is over. An answer that ended without a count is estimated: it is paid for all the same. */
  end(): void {
    if (this.#usage !== undefined || !this.wasSent) return
    const { promptTokens, completionTokens } = this.#guess()
    this.#usage = usageOf(promptTokens, completionTokens)
    this.#estimated = true
  }

  get usage(): Usage {
    return this.#usage ?? usageOf(0, 0)
  }

  get estimated(): boolean {
    return this.#estimated
  }

  /** As prices are applied to it. What is only in the total was written where nobody sees it. */
  get use(): TokenUse {
    const { usage } = this
    const { prompt_tokens: prompt, completion_tokens, prompt_tokens_details: details } = usage
    const { cached_tokens: cached, cache_creation_tokens: written } = details ?? {}
    return {
      promptTokens: prompt,
      completionTokens: Math.max(completion_tokens, usage.total_tokens - prompt),
      ...(cached !== undefined && { cachedTokens: cached }),
      ...(written !== undefined && { writtenTokens: written }),
    }
  }

  #guess(): TokenUse {
    const now = this.#now()
    const silentMs = (this.#heardAtMs ?? now) - (this.#sentAtMs ?? now)
    return guessUse(this.#size, { received: this.#received, silentMs })
  }
}

function usageOf(prompt: number, completion: number): Usage {
  return {
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: prompt + completion,
  }
}
