/**
 * A chat model that answers from a script. It is the real model on a client that sends nothing, so
 * options, messages, streams and structured output are treated as they are in earnest.
 */
import { GatewayChatModel } from '../llm/chat-model.ts'
import type { ChatParameters } from '../llm/chat-options.ts'
import type { JsonObject } from '../llm/providers/chat-types.ts'
import { isObject, listOf } from '../llm/providers/json.ts'
import type { UsageLedger } from '../llm/usage-ledger.ts'
import type { GatewayCallOptions, GatewayClient } from '../sage/gateway-client.ts'
import { type GatewayStream, gatewayResponse } from '../sage/http/response.ts'
import type { ModelRef } from '../sage/model-ref.ts'
import { MockGatewayClient } from './mock-gateway-client.ts'
import { chunksOf, completionOf, type ScriptedAnswer } from './scripted-reply.ts'

/** A text, a whole answer, an error to throw, or an answer that a stream breaks off with an error. */
export type ScriptedReply = string | ScriptedAnswer | Error | (ScriptedAnswer & { error: Error })

/** What the model was asked. */
export interface MockCall {
  /** As they go onto the wire. */
  readonly messages: readonly JsonObject[]
  /** The whole request. */
  readonly request: JsonObject
  /** As it goes into `X-Sage-Category`. */
  readonly category: string | undefined
  readonly streamed: boolean
}

export interface MockLLMOptions extends ChatParameters {
  model?: ModelRef | string | undefined
  ledger?: UsageLedger | undefined
}

export class MockLLM extends GatewayChatModel {
  /** Every call so far, those of bound models included. */
  readonly calls: readonly MockCall[]

  /** @param replies Used in order; when there are none left, the text `Mock response`. */
  constructor(replies: readonly ScriptedReply[] = [], options: MockLLMOptions = {}) {
    const client = new ScriptedClient(replies)
    super({ ...options, model: options.model ?? 'openai:mock-model', client })
    this.calls = client.calls
  }
}

class ScriptedClient extends MockGatewayClient implements GatewayClient {
  readonly calls: MockCall[] = []
  readonly #replies: ScriptedReply[]

  constructor(replies: readonly ScriptedReply[]) {
    super({ isGatewayMode: true })
    this.#replies = [...replies]
  }

  async request(_method: string, _path: string, options: GatewayCallOptions) {
    const { answer, error, request } = this.#next(options, false)
    if (error !== undefined) throw error
    const body = completionOf(answer, String(request['model']))
    return gatewayResponse(200, {}, Buffer.from(JSON.stringify(body)))
  }

  async requestStream(
    _method: string,
    _path: string,
    options: GatewayCallOptions,
  ): Promise<GatewayStream> {
    const { answer, error, request } = this.#next(options, true)
    if (error !== undefined && answer.text === undefined && answer.chunks === undefined) throw error
    const asked = request['stream_options']
    const includeUsage = isObject(asked) && asked['include_usage'] === true
    const chunks = chunksOf(answer, String(request['model']), includeUsage)
    const body = events(chunks, error, options.signal)
    return { status: 200, headers: {}, [Symbol.asyncIterator]: () => body, close() {} }
  }

  #next({ body, headers, signal }: GatewayCallOptions, streamed: boolean) {
    signal?.throwIfAborted()
    const request = isObject(body) ? structuredClone(body) : {}
    const messages = listOf(request['messages']).filter(isObject)
    this.calls.push({ messages, request, category: headers?.['X-Sage-Category'], streamed })
    const reply = this.#replies.shift() ?? {}
    if (typeof reply === 'string') return { answer: { text: reply }, error: undefined, request }
    if (reply instanceof Error) return { answer: {}, error: reply, request }
    const error = 'error' in reply ? reply.error : undefined
    const answer: ScriptedAnswer = reply
    return { answer, error, request }
  }
}

async function* events(
  chunks: readonly JsonObject[],
  error: Error | undefined,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  // What broke off has neither a finish reason nor usage.
  const finished = ({ choices }: JsonObject): boolean =>
    listOf(choices).every((choice) => isObject(choice) && choice['finish_reason'] !== null)
  for (const chunk of chunks) {
    signal?.throwIfAborted()
    if (error !== undefined && finished(chunk)) throw error
    yield Buffer.from(`data: ${JSON.stringify(chunk)}\n\n`)
  }
  yield Buffer.from('data: [DONE]\n\n')
}
