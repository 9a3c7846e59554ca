/** What turns text into vectors. Vectors of two embedders never meet in one comparison. */

export interface Embedder {
  /** Names vectors for good: provider, model, version and dimension, `offline-en@1:512`. */
  readonly id: string
  /** As clients are told: `offline-en`, `openai:text-embedding-3-small`. */
  readonly name: string
  readonly dimension: number
  /**
   * One vector of length 1 for each text, in order. Texts are up to 8 192 characters, 256 of them at once.
   * @throws VestryError EMBEDDER_UNAVAILABLE, and what a provider's failure is called; the signal's reason
   */
  embed(texts: readonly string[], signal: AbortSignal): Promise<readonly Float32Array[]>
  /**
   * What a similarity of two of its vectors is worth, from 0 to 1: above 0.7 where one text answers the other, below
   * 0.3 where they have nothing in common. Rises with the cosine.
   */
  calibrated(cosine: number): number
}
