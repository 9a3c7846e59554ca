/** Vectors without a model: the same text always has the same one, in every process. */
import { createHash } from 'node:crypto'
import type { EmbeddingsModel } from '../llm/embeddings.ts'
import { ConfigurationError } from '../sage/errors.ts'

export interface MockEmbeddingsOptions {
  /** Length of the vectors. Default 8. */
  readonly dimension?: number
}

/** Numbers that one SHA-256 gives. */
const PER_HASH = 8

export class MockEmbeddings implements EmbeddingsModel {
  readonly dimension: number
  /** The texts of every call. */
  readonly calls: string[][] = []

  /** @throws ConfigurationError */
  constructor({ dimension = 8 }: MockEmbeddingsOptions = {}) {
    if (!Number.isInteger(dimension) || dimension < 1) {
      throw new ConfigurationError('dimension must be a positive integer')
    }
    this.dimension = dimension
  }

  embedDocuments(texts: readonly string[]): Promise<number[][]> {
    this.calls.push([...texts])
    return Promise.resolve(texts.map((text) => this.#vector(text)))
  }

  embedQuery(text: string): Promise<number[]> {
    this.calls.push([text])
    return Promise.resolve(this.#vector(text))
  }

  /** A point on the unit sphere, out of SHA-256 over a counter and the text. */
  #vector(text: string): number[] {
    const numbers: number[] = []
    for (let block = 0; numbers.length < this.dimension; block += 1) {
      const hash = createHash('sha256').update(`${block}:${text}`).digest()
      for (let at = 0; at < PER_HASH; at += 1) numbers.push(hash.readInt32BE(at * 4) / 2 ** 31)
    }
    const vector = numbers.slice(0, this.dimension)
    const length = Math.hypot(...vector)
    return vector.map((number) => number / length)
  }
}
