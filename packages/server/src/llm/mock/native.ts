/** The stand-in's answers in the shape of Anthropic's own API. */
import type { ChatRequest, JsonObject } from '@vestry/sdk/llm/providers'
import type { MockAnswer } from './answer.ts'

const STOP_REASONS: Readonly<Record<string, string>> = {
  length: 'max_tokens',
  tool_calls: 'tool_use',
}
const PIECE = 16

/** As much of a native request as the stand-in looks at; the route has checked that it is an object. */
export function nativeRequest(body: Uint8Array): ChatRequest {
  const given = JSON.parse(Buffer.from(body).toString('utf8')) as JsonObject
  const messages = Array.isArray(given['messages']) ? given['messages'] : []
  return {
    model: String(given['model']),
    messages: messages.map((message: JsonObject) => ({
      role: message['role'] === 'assistant' ? ('assistant' as const) : ('user' as const),
      content: textOf(message['content']),
    })),
    ...(typeof given['max_tokens'] === 'number' && { max_tokens: given['max_tokens'] }),
    ...demanded(given),
  }
}

export function nativeMessage(model: string, answer: MockAnswer, id: string): JsonObject {
  return {
    id,
    type: 'message',
    role: 'assistant',
    model,
    content: [
      ...(answer.text === '' ? [] : [{ type: 'text', text: answer.text }]),
      ...answer.toolCalls.map((call) => ({
        type: 'tool_use',
        id: call.id,
        name: call.function.name,
        input: JSON.parse(call.function.arguments) as unknown,
      })),
    ],
    stop_reason: stopReason(answer),
    stop_sequence: null,
    usage: usageOf(answer),
  }
}

/** Each text is one whole event. */
export function* nativeEvents(model: string, answer: MockAnswer, id: string): Generator<string> {
  const { content, stop_reason, stop_sequence, usage, ...message } = nativeMessage(
    model,
    answer,
    id,
  )
  yield event('message_start', {
    message: {
      ...message,
      content: [],
      stop_reason: null,
      stop_sequence: null,
      usage: { ...usageOf(answer), output_tokens: 1 },
    },
  })
  for (const [index, block] of (content as JsonObject[]).entries()) {
    const text = typeof block['text'] === 'string' ? block['text'] : undefined
    const start = text === undefined ? { ...block, input: {} } : { type: 'text', text: '' }
    yield event('content_block_start', { index, content_block: start })
    if (text === undefined) {
      const partial_json = JSON.stringify(block['input'])
      yield event('content_block_delta', {
        index,
        delta: { type: 'input_json_delta', partial_json },
      })
    }
    for (let at = 0; at < (text?.length ?? 0); at += PIECE) {
      const piece = text?.slice(at, at + PIECE)
      yield event('content_block_delta', { index, delta: { type: 'text_delta', text: piece } })
    }
    yield event('content_block_stop', { index })
  }
  const { output_tokens } = usageOf(answer)
  yield event('message_delta', { delta: { stop_reason, stop_sequence }, usage: { output_tokens } })
  yield event('message_stop', {})
}

function event(type: string, members: JsonObject): string {
  return `event: ${type}\ndata: ${JSON.stringify({ type, ...members })}\n\n`
}

function usageOf({ usage }: MockAnswer): { input_tokens: number; output_tokens: number } {
  return { input_tokens: usage.prompt_tokens, output_tokens: usage.completion_tokens }
}

function stopReason({ finishReason }: MockAnswer): string {
  return STOP_REASONS[finishReason] ?? 'end_turn'
}

function textOf(content: unknown): string {
  if (typeof content === 'string') return content
  if (!Array.isArray(content)) return ''
  return content.map((block: JsonObject) => textOf(block['text'] ?? block['content'])).join('\n')
}

function demanded(given: JsonObject): Pick<ChatRequest, 'tools' | 'tool_choice'> {
  const choice = given['tool_choice'] as JsonObject | undefined
  const tools = Array.isArray(given['tools']) ? (given['tools'] as JsonObject[]) : []
  if (choice?.['type'] !== 'any' && choice?.['type'] !== 'tool') return {}
  return {
    tools: tools.map((tool) => ({
      type: 'function',
      function: {
        name: String(tool['name']),
        parameters: (tool['input_schema'] ?? {}) as JsonObject,
      },
    })),
    tool_choice:
      choice['type'] === 'any'
        ? 'required'
        : { type: 'function', function: { name: String(choice['name']) } },
  }
}
