/** The gateway's embeddings as LangChain.js knows embeddings. */
import { Embeddings, type EmbeddingsParams } from '@langchain/core/embeddings'
import {
  GatewayEmbeddings as CoreEmbeddings,
  type GatewayEmbeddingsOptions,
} from '../llm/embeddings.ts'

export type GatewayEmbeddingsFields = GatewayEmbeddingsOptions & EmbeddingsParams

export class GatewayEmbeddings extends Embeddings {
  readonly #core: CoreEmbeddings

  /** @throws ConfigurationError, ModelRefParseError */
  constructor(fields: GatewayEmbeddingsFields) {
    super(fields)
    this.#core = new CoreEmbeddings(fields)
  }

  /** @throws GatewayError unless every text got its vector and all have the same length. */
  override embedDocuments(documents: string[]): Promise<number[][]> {
    return this.#core.embedDocuments(documents)
  }

  override embedQuery(document: string): Promise<number[]> {
    return this.#core.embedQuery(document)
  }
}
