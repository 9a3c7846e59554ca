/** Between LangChain's messages and ours. */
import {
  AIMessage,
  AIMessageChunk,
  type BaseMessage,
  ToolMessage,
  type UsageMetadata,
} from '@langchain/core/messages'
import { type ChatGeneration, ChatGenerationChunk } from '@langchain/core/outputs'
import type { ChatAnswer } from '../llm/answer.ts'
import type { ChatDelta } from '../llm/chat-stream.ts'
import type { ContentBlock } from '../llm/content.ts'
import type { ChatMessage, Content } from '../llm/messages.ts'
import { isObject } from '../llm/providers/json.ts'
import type { Usage } from '../llm/usage-ledger.ts'

/** Messages of kinds we have no role for speak as the user. */
export function toMessages(messages: readonly BaseMessage[]): ChatMessage[] {
  return messages.map((message) => {
    const content = message.content as Content // blocks are checked one by one when they are sent
    if (AIMessage.isInstance(message) || AIMessageChunk.isInstance(message)) {
      const calls = message.tool_calls ?? []
      const toolCalls = calls.map(({ id = '', name, args }) => ({ id, name, args }))
      return { role: 'assistant', content: textBlocks(content), toolCalls }
    }
    if (ToolMessage.isInstance(message)) {
      return { role: 'tool', toolCallId: message.tool_call_id, content }
    }
    return { role: message.getType() === 'system' ? 'system' : 'user', content }
  })
}

/** An answer's own blocks may be thoughts, or tool calls that stand beside them once more. */
function textBlocks(content: Content): Content {
  if (typeof content === 'string') return content
  return content.filter((block: ContentBlock | string) =>
    isObject(block) ? block['type'] === 'text' : true,
  )
}

export function toGeneration(answer: ChatAnswer): ChatGeneration {
  const message = new AIMessage({
    content: answer.content,
    tool_calls: answer.toolCalls.map((call) => ({ ...call, type: 'tool_call' })),
    invalid_tool_calls: answer.invalidToolCalls.map(({ id, name, arguments: args, error }) => ({
      id,
      name,
      args,
      error,
      type: 'invalid_tool_call',
    })),
    ...(answer.id !== undefined && { id: answer.id }),
    ...usageField(answer.usage),
    response_metadata: metadata(answer),
  })
  return { text: answer.content, message, generationInfo: metadata(answer) }
}

/** The answer behind a message that `toGeneration` or a stream made. */
export function toAnswer(message: AIMessage | AIMessageChunk, content: string): ChatAnswer {
  const finishReason: unknown = message.response_metadata['finish_reason']
  return {
    role: 'assistant',
    content,
    toolCalls: [],
    invalidToolCalls: [],
    finishReason: typeof finishReason === 'string' ? finishReason : undefined,
    usage: undefined,
    model: '',
    id: message.id,
  }
}

export function toGenerationChunk(delta: ChatDelta): ChatGenerationChunk {
  const { content, finishReason, usage } = delta
  const info = finishReason === undefined ? {} : { finish_reason: finishReason }
  const message = new AIMessageChunk({
    content,
    tool_call_chunks: delta.toolCalls.map(({ index, id, name, arguments: args }) => ({
      type: 'tool_call_chunk',
      index,
      args,
      ...(id !== undefined && { id }),
      ...(name !== undefined && { name }),
    })),
    ...usageField(usage),
    response_metadata: info,
  })
  return new ChatGenerationChunk({ text: content, message, generationInfo: info })
}

function metadata({ model, finishReason, usage }: ChatAnswer): Record<string, unknown> {
  return {
    model_name: model,
    ...(finishReason !== undefined && { finish_reason: finishReason }),
    ...(usage !== undefined && { usage: usageMetadata(usage) }),
  }
}

/** LangChain's type of the member comes out as never where optional properties are exact. */
function usageField(usage: Usage | undefined): { usage_metadata?: never } {
  return usage === undefined ? {} : { usage_metadata: usageMetadata(usage) as never }
}

function usageMetadata(usage: Usage): UsageMetadata {
  const { cachedTokens, reasoningTokens } = usage
  return {
    input_tokens: usage.inputTokens,
    output_tokens: usage.outputTokens,
    total_tokens: usage.totalTokens,
    ...(cachedTokens !== undefined && { input_token_details: { cache_read: cachedTokens } }),
    ...(reasoningTokens !== undefined && { output_token_details: { reasoning: reasoningTokens } }),
  }
}
