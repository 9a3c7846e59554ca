/** What one call used, as far as it is known: read for the record, the budgets and the metrics when it ended. */
import type { Usage } from '@vestry/sdk/llm/providers'
import { guessUse } from '../estimate.ts'
import type { TokenUse } from '../prices/prices.ts'

const NOTHING: Usage = { prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 }

export class Meter {
  readonly #promptBytes: number
  #usage: Usage | undefined
  #estimated = false
  #sent = false
  #received = 0
  finishReason: string | undefined

  /** @param promptBytes Text of the request, for answers that end before they are counted. */
  constructor(promptBytes: number) {
    this.#promptBytes = promptBytes
  }

  /** The provider may have heard of the call. */
  sent(): void {
    this.#sent = true
  }

  get wasSent(): boolean {
    return this.#sent
  }

  /** The provider's own count; undefined changes nothing. */
  counted(usage: Usage | undefined, { estimated = false } = {}): void {
    if (usage === undefined) return
    this.#usage = usage
    this.#estimated = estimated
  }

  /** What the provider had counted when its answer ended early: its beginning at least, and not all that came. */
  countedSoFar(usage: Usage | undefined): void {
    if (usage === undefined) return
    const { completionTokens } = guessUse(0, this.#received)
    const completion = Math.max(usage.completion_tokens, completionTokens)
    const total = usage.prompt_tokens + completion
    this.counted(
      { ...usage, completion_tokens: completion, total_tokens: total },
      { estimated: true },
    )
  }

  /** So much of the answer has come in, in case that nobody counts it. */
  received(bytes: number): void {
    this.#received += bytes
  }

  /** No byte has reached the provider after all. */
  notSent(): void {
    this.#sent = false
  }

  /** The provider asks for nothing: it refused, or the call has no price. */
  free(): void {
    this.#usage ??= NOTHING
  }

  /** An answer that ended without a count is estimated: it is paid for all the same. */
  get usage(): Usage {
    if (this.#usage !== undefined) return this.#usage
    if (!this.#sent) return NOTHING
    const { promptTokens, completionTokens } = guessUse(this.#promptBytes, this.#received)
    return {
      prompt_tokens: promptTokens,
      completion_tokens: completionTokens,
      total_tokens: promptTokens + completionTokens,
    }
  }

  get estimated(): boolean {
    return this.#estimated || (this.#usage === undefined && this.#sent)
  }

  /** As prices are applied to it. */
  get use(): TokenUse {
    const { prompt_tokens, completion_tokens, prompt_tokens_details: details } = this.usage
    return {
      promptTokens: prompt_tokens,
      completionTokens: completion_tokens,
      ...(details?.cached_tokens !== undefined && { cachedTokens: details.cached_tokens }),
    }
  }
}
