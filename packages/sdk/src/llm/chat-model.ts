/**
 * The chat model: one object per model and way to reach it. It is immutable; `bind` and its kin give
 * another one with other defaults.
 */
import { ConfigurationError } from '../sage/errors.ts'
import type { GatewayClient } from '../sage/gateway-client.ts'
import { linked } from '../sage/link.ts'
import type { ModelRef } from '../sage/model-ref.ts'
import { type ChatAnswer, readAnswer } from './answer.ts'
import {
  type ChatOptions,
  type ChatParameters,
  mergedOptions,
  modelOf,
  wireRequest,
} from './chat-options.ts'
import { ChatStream } from './chat-stream.ts'
import type { ChatInput } from './messages.ts'
import {
  planStructuredOutput,
  type RawAndParsed,
  rawAndParsed,
  type StructuredModel,
  type StructuredOptions,
} from './structured-output.ts'
import {
  type OpenAiTool,
  type ToolChoice,
  type ToolDefinition,
  wireToolChoice,
  wireTools,
} from './tools.ts'
import type { ModelCall, ModelTransport } from './transport.ts'
import { transportOf } from './transport-of.ts'
import type { UsageLedger } from './usage-ledger.ts'

export interface GatewayChatModelOptions extends ChatParameters {
  client: GatewayClient
  model: ModelRef | string
  /** Counts the tokens of every call. */
  ledger?: UsageLedger | undefined
}

export interface BatchOptions extends ChatOptions {
  /** Calls at the same time. Default 8. */
  maxConcurrency?: number
}

export interface BindToolsOptions {
  toolChoice?: ToolChoice | undefined
  parallelToolCalls?: boolean | undefined
}

/** What a chat model can do: the real one, and the one of the testing door. */
export interface ChatModel {
  invoke(input: ChatInput, options?: ChatOptions): Promise<ChatAnswer>
  stream(input: ChatInput, options?: ChatOptions): ChatStream
  batch(inputs: readonly ChatInput[], options?: BatchOptions): Promise<ChatAnswer[]>
  bind(options: ChatParameters): ChatModel
  bindTools(tools: readonly (ToolDefinition | OpenAiTool)[], options?: BindToolsOptions): ChatModel
  withStructuredOutput<T>(
    options: StructuredOptions<T> & { includeRaw: true },
  ): StructuredModel<RawAndParsed<T>>
  withStructuredOutput<T>(options: StructuredOptions<T>): StructuredModel<T>
}

/** What kind of model this is, for logs and caches. */
export const MODEL_TYPE = 'sage-sanctum-gateway'

const DEFAULT_CONCURRENCY = 8

export class GatewayChatModel implements ChatModel {
  readonly #client: GatewayClient
  readonly #transport: ModelTransport
  readonly #defaults: ChatParameters
  readonly #ledger: UsageLedger | undefined
  readonly model: ModelRef

  /** @throws ConfigurationError for an option that is unknown or cannot be meant; ModelRefParseError. */
  constructor({ client, model, ledger, ...defaults }: GatewayChatModelOptions) {
    this.model = modelOf(model)
    this.#client = client
    this.#transport = transportOf(client)
    this.#defaults = mergedOptions(defaults)
    this.#ledger = ledger
  }

  /** What kind of model this is, for logs and caches. */
  get type(): string {
    return MODEL_TYPE
  }

  /** What tells one model from another, for logs and caches. */
  get identifyingParameters(): { model: string; temperature: number | null } {
    const { temperature = 0 } = this.#defaults
    return { model: this.model.toString(), temperature }
  }

  /**
   * Asks, and waits for the whole answer.
   *
   * @throws SageSanctumError of the class that fits; the signal's own reason.
   */
  async invoke(input: ChatInput, options: ChatOptions = {}): Promise<ChatAnswer> {
    const call = this.#call(input, options)
    const body = await this.#transport.chat(call)
    const answer = readAnswer(body, call.model.model)
    this.#ledger?.record(call.model, answer.usage)
    return answer
  }

  /** Asks, and hands out the answer as it is written. Nothing is sent before the first read. */
  stream(input: ChatInput, options: ChatOptions = {}): ChatStream {
    const asked = this.#call(input, options)
    const streaming = { stream: true, stream_options: { include_usage: true } }
    const body = { ...asked.body, ...streaming }
    return new ChatStream({
      open: (signal) => this.#transport.chatStream({ ...asked, body, signal }),
      signal: asked.signal,
      model: asked.model.model,
      onEnd: ({ usage }) => this.#ledger?.record(asked.model, usage),
    })
  }

  /** Several questions at once. The first failure stops the others and is thrown. */
  async batch(inputs: readonly ChatInput[], options: BatchOptions = {}): Promise<ChatAnswer[]> {
    const { maxConcurrency = DEFAULT_CONCURRENCY, ...common } = options
    if (!Number.isInteger(maxConcurrency) || maxConcurrency < 1) {
      throw new ConfigurationError('maxConcurrency must be a positive integer')
    }
    const { signal, abort } = linked(options.signal)
    const answers: ChatAnswer[] = []
    const waiting = [...inputs.entries()].values()
    const worker = async (): Promise<void> => {
      for (const [index, input] of waiting) {
        answers[index] = await this.invoke(input, { ...common, signal })
      }
    }
    const workers = Array.from({ length: Math.min(maxConcurrency, inputs.length) }, worker)
    try {
      await Promise.all(workers)
    } finally {
      abort()
      await Promise.allSettled(workers)
    }
    return answers
  }

  /** The same model with other defaults. */
  bind(options: ChatParameters): GatewayChatModel {
    const { model = this.model, ...defaults } = mergedOptions(this.#defaults, options)
    return new GatewayChatModel({ ...defaults, model, client: this.#client, ledger: this.#ledger })
  }

  /** The same model, free to call these tools. @throws ConfigurationError that names the tool at fault. */
  bindTools(
    tools: readonly (ToolDefinition | OpenAiTool)[],
    options: BindToolsOptions = {},
  ): GatewayChatModel {
    const { toolChoice, parallelToolCalls } = options
    const wire = wireTools(tools)
    if (toolChoice !== undefined) wireToolChoice(toolChoice, wire)
    return this.bind({ tools, toolChoice, parallelToolCalls })
  }

  /** The same model, answering with values in the shape of a schema. */
  withStructuredOutput<T>(
    options: StructuredOptions<T> & { includeRaw: true },
  ): StructuredModel<RawAndParsed<T>>
  withStructuredOutput<T>(options: StructuredOptions<T>): StructuredModel<T>
  withStructuredOutput<T>(
    options: StructuredOptions<T>,
  ): StructuredModel<T> | StructuredModel<RawAndParsed<T>> {
    return structured(this, options)
  }

  #call(input: ChatInput, options: ChatOptions): ModelCall {
    const merged = mergedOptions(this.#defaults, options)
    const { model = this.model, category, signal, timeoutMs, deadlineMs } = merged
    const ref = modelOf(model)
    const body = wireRequest(ref, input, merged)
    return { model: ref, category, body, signal, timeoutMs, deadlineMs }
  }
}

/** Any chat model as one that answers with values. */
export function structured<T>(
  model: ChatModel,
  options: StructuredOptions<T>,
): StructuredModel<T> | StructuredModel<RawAndParsed<T>> {
  const plan = planStructuredOutput(options)
  const asking = model.bind({ responseFormat: plan.responseFormat })
  if (options.includeRaw === true) {
    return { invoke: async (input, call) => rawAndParsed(plan, await asking.invoke(input, call)) }
  }
  return { invoke: async (input, call) => plan.parse(await asking.invoke(input, call)) }
}

/**
 * The chat model for a gateway client.
 *
 * @throws ModelRefParseError, ConfigurationError
 */
export function createLlmForGateway(
  client: GatewayClient,
  model: ModelRef | string,
  options: Omit<GatewayChatModelOptions, 'client' | 'model'> = {},
): GatewayChatModel {
  return new GatewayChatModel({ ...options, client, model })
}
