/** A chat model of LangChain that answers what it was told to, with the usage that a provider would count. */
import type { CallbackManagerForLLMRun } from '@langchain/core/callbacks/manager'
import { BaseChatModel } from '@langchain/core/language_models/chat_models'
import {
  AIMessage,
  AIMessageChunk,
  type BaseMessage,
  type UsageMetadata,
} from '@langchain/core/messages'
import { ChatGenerationChunk, type ChatResult } from '@langchain/core/outputs'

export type Answer = AIMessage | Error | ((signal: AbortSignal | undefined) => Promise<AIMessage>)

export class ScriptedModel extends BaseChatModel {
  readonly script: Answer[]
  boundTools: string[] = []

  constructor(script: Answer[]) {
    // A failed call is not tried again, so that an error is an error.
    super({ maxRetries: 0 })
    this.script = [...script]
  }

  _llmType(): string {
    return 'scripted'
  }

  override bindTools(tools: { name?: string }[]) {
    const bound = new ScriptedModel([])
    Object.assign(bound, { script: this.script, boundTools: tools.map((tool) => tool.name ?? '') })
    return bound
  }

  override invocationParams() {
    return {
      model: 'gpt-5',
      temperature: 0.2,
      max_tokens: 64,
      tools: this.boundTools.map((name) => ({ type: 'function', function: { name } })),
    }
  }

  override getLsParams() {
    return {
      ls_provider: 'openai',
      ls_model_name: 'gpt-5',
      ls_model_type: 'chat' as const,
      ls_temperature: 0.2,
    }
  }

  async _generate(
    _messages: BaseMessage[],
    options: this['ParsedCallOptions'],
  ): Promise<ChatResult> {
    const message = await this.#next(options.signal)
    return { generations: [{ text: String(message.content), message }] }
  }

  override async *_streamResponseChunks(
    _messages: BaseMessage[],
    options: this['ParsedCallOptions'],
    run?: CallbackManagerForLLMRun,
  ): AsyncGenerator<ChatGenerationChunk> {
    const whole = await this.#next(options.signal)
    const words = String(whole.content).split(/(?<= )/)
    for (const [index, word] of words.entries()) {
      options.signal?.throwIfAborted()
      const last = index === words.length - 1
      const message = new AIMessageChunk({
        content: word,
        ...(whole.id !== undefined && { id: whole.id }),
        ...(last && whole.usage_metadata !== undefined && { usage_metadata: whole.usage_metadata }),
      })
      const chunk = new ChatGenerationChunk({ text: word, message })
      yield chunk
      await run?.handleLLMNewToken(word, undefined, undefined, undefined, undefined, { chunk })
    }
  }

  async #next(signal: AbortSignal | undefined): Promise<AIMessage> {
    const answer = this.script.shift()
    if (answer === undefined) throw new Error('the script is over')
    if (answer instanceof Error) throw answer
    return typeof answer === 'function' ? answer(signal) : answer
  }
}

let made = 0

export function said(
  content: string,
  used: [input: number, output: number, cached?: number],
  calls: { name: string; args: Record<string, unknown> }[] = [],
): AIMessage {
  made += 1
  const [input, output, cached = 0] = used
  const message = new AIMessage({
    id: `chatcmpl-${made}`,
    content,
    tool_calls: calls.map((call, index) => ({
      ...call,
      id: `call_${made}_${index}`,
      type: 'tool_call' as const,
    })),
    response_metadata: {
      model_name: 'gpt-5-2026-01',
      finish_reason: calls.length > 0 ? 'tool_calls' : 'stop',
    },
  })
  const usage_metadata: UsageMetadata = {
    input_tokens: input,
    output_tokens: output,
    total_tokens: input + output,
    input_token_details: { cache_read: cached },
  }
  // The type of the message's tools decides whether its class knows of usage.
  return Object.assign(message, { usage_metadata })
}
