/** How a call reaches a model: through the gateway, or directly. Both take and give OpenAI's shapes. */
import type { ModelCategory, ModelRef } from '../sage/model-ref.ts'
import type { JsonObject } from './providers/chat-types.ts'

/** One call. */
export interface ModelCall {
  readonly model: ModelRef
  readonly category: ModelCategory | undefined
  /** The request as OpenAI's API has it. */
  readonly body: JsonObject
  readonly signal: AbortSignal | undefined
  readonly timeoutMs: number | undefined
  readonly deadlineMs: number | undefined
}

export interface ModelTransport {
  /** @returns The completion. @throws SageSanctumError of the class that fits. */
  chat(call: ModelCall): Promise<unknown>
  /**
   * Yields chunks until the answer is complete; leaving the loop closes the connection.
   *
   * @throws GatewayError marked `truncated` when the stream ends before it is complete.
   */
  chatStream(call: ModelCall): AsyncIterable<JsonObject>
  /** @returns The list of embeddings. */
  embed(call: ModelCall): Promise<unknown>
}
