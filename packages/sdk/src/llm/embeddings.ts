/** Vectors for texts: batches in order, and nothing but whole answers. */
import { ConfigurationError, GatewayError, ValidationError } from '../sage/errors.ts'
import type { GatewayClient } from '../sage/gateway-client.ts'
import { ModelCategory, ModelRef } from '../sage/model-ref.ts'
import { readUsage } from './answer.ts'
import { modelOf } from './chat-options.ts'
import { isObject } from './providers/json.ts'
import type { ModelTransport } from './transport.ts'
import { transportOf } from './transport-of.ts'
import type { UsageLedger } from './usage-ledger.ts'

export interface GatewayEmbeddingsOptions {
  client: GatewayClient
  /** Default `openai:text-embedding-3-small`. */
  model?: ModelRef | string | undefined
  /** Texts in one request, 1 to 2 048. Default 256. */
  batchSize?: number | undefined
  /** Length of the vectors, for models that have more than one. */
  dimensions?: number | undefined
  /** Counts the tokens of every request. */
  ledger?: UsageLedger | undefined
  /** Milliseconds of silence on the connection. Default 120 000. */
  timeoutMs?: number | undefined
  /** Milliseconds for each request, attempts and pauses included. Default 300 000. */
  deadlineMs?: number | undefined
}

export interface EmbedOptions {
  signal?: AbortSignal | undefined
}

/** What an embeddings client can do: the real one, and the one of the testing door. */
export interface EmbeddingsModel {
  embedDocuments(texts: readonly string[], options?: EmbedOptions): Promise<number[][]>
  embedQuery(text: string, options?: EmbedOptions): Promise<number[]>
}

/** Where nobody names one and no list does. */
export const DEFAULT_EMBEDDINGS_MODEL = ModelRef.parse('openai:text-embedding-3-small')

const DEFAULT_BATCH = 256
const LARGEST_BATCH = 2_048

export class GatewayEmbeddings implements EmbeddingsModel {
  readonly model: ModelRef
  readonly #transport: ModelTransport
  readonly #batchSize: number
  readonly #options: GatewayEmbeddingsOptions

  /** @throws ConfigurationError, ModelRefParseError */
  constructor(options: GatewayEmbeddingsOptions) {
    const { batchSize = DEFAULT_BATCH } = options
    if (!Number.isInteger(batchSize) || batchSize < 1 || batchSize > LARGEST_BATCH) {
      throw new ConfigurationError(`batchSize must be an integer from 1 to ${LARGEST_BATCH}`)
    }
    this.model = modelOf(options.model ?? DEFAULT_EMBEDDINGS_MODEL)
    this.#transport = transportOf(options.client)
    this.#batchSize = batchSize
    this.#options = options
  }

  /**
   * @returns One vector per text, in their order; for no texts none, without a request.
   * @throws GatewayError unless every text got its vector and all have the same length.
   */
  async embedDocuments(texts: readonly string[], options: EmbedOptions = {}): Promise<number[][]> {
    if (!Array.isArray(texts)) throw new ValidationError('texts must be a list')
    const wrong = texts.findIndex((text) => typeof text !== 'string')
    if (wrong !== -1) throw new ValidationError(`texts[${wrong}] must be a text`)
    const vectors: number[][] = []
    for (let start = 0; start < texts.length; start += this.#batchSize) {
      const batch = texts.slice(start, start + this.#batchSize)
      vectors.push(...(await this.#request(batch, options)))
    }
    const [first] = vectors
    if (vectors.some(({ length }) => length !== first?.length)) {
      throw new GatewayError('The gateway sent vectors of different lengths', { status: 200 })
    }
    return vectors
  }

  /** The vector of one text. @throws As embedDocuments. */
  async embedQuery(text: string, options: EmbedOptions = {}): Promise<number[]> {
    const [vector = []] = await this.embedDocuments([text], options)
    return vector
  }

  async #request(input: readonly string[], { signal }: EmbedOptions): Promise<number[][]> {
    const { dimensions, ledger, timeoutMs, deadlineMs } = this.#options
    const body = await this.#transport.embed({
      model: this.model,
      category: ModelCategory.EMBEDDINGS,
      body: { model: this.model.model, input, ...(dimensions !== undefined && { dimensions }) },
      signal,
      timeoutMs,
      deadlineMs,
    })
    const vectors = readVectors(body, input.length)
    const usage = isObject(body) ? readUsage(body['usage']) : undefined
    const inputTokens = usage?.inputTokens ?? 0
    ledger?.record(this.model, { inputTokens, outputTokens: 0, totalTokens: inputTokens })
    return vectors
  }
}

/** Vectors by their index; every index from 0 to `count` - 1 exactly once. */
function readVectors(body: unknown, count: number): number[][] {
  const data = isObject(body) ? body['data'] : undefined
  if (!Array.isArray(data)) throw unreadable('sent no list of vectors')
  if (data.length !== count) throw unreadable(`sent ${data.length} vectors for ${count} texts`)
  const vectors: number[][] = []
  for (const entry of data as unknown[]) {
    const { index, embedding } = isObject(entry) ? entry : {}
    const known = typeof index === 'number' && Number.isInteger(index) && index >= 0
    if (!known || index >= count || vectors[index] !== undefined) {
      throw unreadable(`sent vectors that are not numbered from 0 to ${count - 1}`)
    }
    if (!isVector(embedding)) throw unreadable('sent a vector that is no list of numbers')
    vectors[index] = embedding
  }
  return vectors
}

function isVector(value: unknown): value is number[] {
  if (!Array.isArray(value) || value.length === 0) return false
  return value.every((number) => typeof number === 'number' && Number.isFinite(number))
}

function unreadable(what: string): GatewayError {
  return new GatewayError(`The gateway ${what}`, { status: 200 })
}
