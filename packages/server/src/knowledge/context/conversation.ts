/** What an agent remembers of its conversations, as retrieval sees it. */

export interface ConversationMemory {
  /**
   * Of this agent only, best first.
   * @throws VestryError STORE_UNAVAILABLE, VAULT_LOCKED; the signal's reason
   */
  recall(asked: RecallQuery): Promise<readonly Remembered[]>
}

export interface RecallQuery {
  /** Name of the agent. */
  readonly agent: string
  readonly query: string
  readonly limit: number
  readonly signal: AbortSignal
}

export interface Remembered {
  readonly id: string
  readonly text: string
  /** Such as `memory:<conversation>`. */
  readonly source: string
  /** From 0 to 1, calibrated as knowledge is. */
  readonly score: number
  /** What the transaction that stored it had read. */
  readonly labels: readonly string[]
}
