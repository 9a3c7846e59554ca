/** The gateway's chat model as LangChain.js knows chat models: same requests, LangChain's shapes. */
import type { CallbackManagerForLLMRun } from '@langchain/core/callbacks/manager'
import type { BaseLanguageModelInput } from '@langchain/core/language_models/base'
import {
  BaseChatModel,
  type BaseChatModelCallOptions,
  type BaseChatModelParams,
  type BindToolsInput,
  type LangSmithParams,
} from '@langchain/core/language_models/chat_models'
import type { AIMessageChunk, BaseMessage } from '@langchain/core/messages'
import type { ChatGenerationChunk, ChatResult } from '@langchain/core/outputs'
import type { Runnable } from '@langchain/core/runnables'
import { convertToOpenAITool } from '@langchain/core/utils/function_calling'
import {
  GatewayChatModel as CoreChatModel,
  type GatewayChatModelOptions as CoreOptions,
  MODEL_TYPE,
} from '../llm/chat-model.ts'
import type { ChatOptions, ChatParameters } from '../llm/chat-options.ts'
import type { JsonObject } from '../llm/providers/chat-types.ts'
import type { OpenAiTool, ToolChoice } from '../llm/tools.ts'
import { toGeneration, toGenerationChunk, toMessages } from './messages.ts'
import {
  type LangChainSchema,
  type StructuredConfig,
  type StructuredResult,
  structuredRunnable,
} from './structured-output.ts'

/** Of a call, or of a bound model. LangChain's own names stand beside ours. */
export interface GatewayChatModelCallOptions
  extends BaseChatModelCallOptions,
    Omit<ChatParameters, 'tools' | 'toolChoice' | 'responseFormat' | 'parallelToolCalls' | 'stop'> {
  tools?: BindToolsInput[]
  parallel_tool_calls?: boolean
  response_format?: JsonObject
}

export type GatewayChatModelFields = CoreOptions & BaseChatModelParams

/** What of a call goes to the gateway; the rest is LangChain's. */
const PARAMETERS = [
  'temperature',
  'maxTokens',
  'topP',
  'seed',
  'stop',
  'presencePenalty',
  'frequencyPenalty',
  'logitBias',
  'reasoningEffort',
  'model',
  'category',
  'timeoutMs',
  'deadlineMs',
  'signal',
] as const

export class GatewayChatModel extends BaseChatModel<GatewayChatModelCallOptions> {
  readonly #core: CoreChatModel

  static override lc_name(): string {
    return 'GatewayChatModel'
  }

  /** @throws ConfigurationError, ModelRefParseError */
  constructor(fields: GatewayChatModelFields) {
    super(fields)
    const { client, model, ledger } = fields
    const defaults = { ...picked(fields), ...pickedWire(fields) }
    this.#core = new CoreChatModel({ ...defaults, client, model, ledger })
  }

  /** Asked for while the object is being made, so no field can answer. */
  override _llmType(): string {
    return MODEL_TYPE
  }

  override _identifyingParams(): { model: string; temperature: number | null } {
    return this.#core.identifyingParameters
  }

  override invocationParams(options: this['ParsedCallOptions']): Record<string, unknown> {
    const { signal: _signal, ...parameters } = this.#options(options)
    return { ...this._identifyingParams(), ...parameters }
  }

  override getLsParams(options: this['ParsedCallOptions']): LangSmithParams {
    const { model, temperature } = this._identifyingParams()
    return {
      ls_provider: this.#core.model.provider,
      ls_model_name: model,
      ls_model_type: 'chat',
      ...(temperature !== null && { ls_temperature: options.temperature ?? temperature }),
    }
  }

  /** @throws ConfigurationError that names the tool at fault. */
  override bindTools(
    tools: BindToolsInput[],
    kwargs: Partial<GatewayChatModelCallOptions> = {},
  ): Runnable<BaseLanguageModelInput, AIMessageChunk, GatewayChatModelCallOptions> {
    return this.withConfig({ ...kwargs, tools: tools.map((tool) => convertToOpenAITool(tool)) })
  }

  override async _generate(
    messages: BaseMessage[],
    options: this['ParsedCallOptions'],
  ): Promise<ChatResult> {
    const answer = await this.#core.invoke(toMessages(messages), this.#options(options))
    const generation = toGeneration(answer)
    const { usage } = answer
    const tokenUsage = usage && {
      promptTokens: usage.inputTokens,
      completionTokens: usage.outputTokens,
      totalTokens: usage.totalTokens,
    }
    return { generations: [generation], llmOutput: tokenUsage === undefined ? {} : { tokenUsage } }
  }

  override async *_streamResponseChunks(
    messages: BaseMessage[],
    options: this['ParsedCallOptions'],
    runManager?: CallbackManagerForLLMRun,
  ): AsyncGenerator<ChatGenerationChunk> {
    const stream = this.#core.stream(toMessages(messages), this.#options(options))
    for await (const delta of stream) {
      const chunk = toGenerationChunk(delta)
      yield chunk
      const place = { prompt: 0, completion: 0 }
      await runManager?.handleLLMNewToken(chunk.text, place, undefined, undefined, undefined, {
        chunk,
      })
    }
  }

  /**
   * Answers with values. `method` is `jsonSchema` unless told otherwise; `includeRaw` adds the message
   * and turns a text that does not fit into `parsing_error`.
   */
  override withStructuredOutput<T extends Record<string, unknown> = Record<string, unknown>>(
    schema: LangChainSchema<T>,
    config: StructuredConfig & { includeRaw: true },
  ): Runnable<BaseLanguageModelInput, StructuredResult<T>>
  override withStructuredOutput<T extends Record<string, unknown> = Record<string, unknown>>(
    schema: LangChainSchema<T>,
    config?: StructuredConfig,
  ): Runnable<BaseLanguageModelInput, T>
  override withStructuredOutput<T extends Record<string, unknown>>(
    schema: LangChainSchema<T>,
    config: StructuredConfig = {},
  ): Runnable<BaseLanguageModelInput, T> | Runnable<BaseLanguageModelInput, StructuredResult<T>> {
    return structuredRunnable((options) => this.withConfig(options), schema, config)
  }

  #options(options: this['ParsedCallOptions']): ChatOptions {
    return { ...picked(options), ...pickedWire(options) }
  }
}

function picked(given: object): ChatOptions {
  const source = given as Record<string, unknown>
  return Object.fromEntries(
    PARAMETERS.flatMap((name) => (source[name] === undefined ? [] : [[name, source[name]]])),
  )
}

/** LangChain's names, or ours where the model was made with them. */
function pickedWire(given: object): ChatOptions {
  const source = given as Record<string, unknown>
  const tools = source['tools']
  return {
    tools: Array.isArray(tools)
      ? tools.map((tool) => convertToOpenAITool(tool) as OpenAiTool)
      : undefined,
    toolChoice: (source['tool_choice'] ?? source['toolChoice']) as ToolChoice | undefined,
    parallelToolCalls: (source['parallel_tool_calls'] ?? source['parallelToolCalls']) as
      | boolean
      | undefined,
    responseFormat: (source['response_format'] ?? source['responseFormat']) as
      | JsonObject
      | undefined,
  }
}
