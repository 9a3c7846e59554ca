/** A model's answer as an agent reads it, from a whole completion. */
import { GatewayError } from '../sage/errors.ts'
import type { InvalidToolCall, ToolCall } from './messages.ts'
import type { JsonObject } from './providers/chat-types.ts'
import { isObject } from './providers/json.ts'
import type { Usage } from './usage-ledger.ts'

/** An assistant message: it can be put back into the next call's messages as it is. */
export interface ChatAnswer {
  readonly role: 'assistant'
  /** `''` when there are only tool calls. */
  readonly content: string
  readonly toolCalls: readonly ToolCall[]
  readonly invalidToolCalls: readonly InvalidToolCall[]
  /** `stop`, `length`, `tool_calls` or `content_filter`; undefined when the server gave none. */
  readonly finishReason: string | undefined
  /** Undefined when not reported. */
  readonly usage: Usage | undefined
  /** The model that answered, in the provider's words. */
  readonly model: string
  readonly id: string | undefined
}

/** A tool call as it stands on the wire, or as it was put together from a stream. */
export interface RawToolCall {
  readonly id: string
  readonly name: string
  readonly arguments: string
}

/**
 * @param body What the server sent.
 * @param model Said when the answer names none.
 * @throws GatewayError when the body is no completion.
 */
export function readAnswer(body: unknown, model: string): ChatAnswer {
  const choices = isObject(body) ? body['choices'] : undefined
  if (!isObject(body) || !Array.isArray(choices)) throw unreadable('has no choices')
  const [choice] = choices as unknown[]
  if (!isObject(choice)) throw unreadable('has no choices')
  const { message } = choice
  if (!isObject(message)) throw unreadable('has no message')
  const calls = message['tool_calls'] ?? []
  if (!Array.isArray(calls)) throw unreadable('has tool calls that are no list')
  return {
    role: 'assistant',
    content: textOf(message['content']),
    ...readToolCalls(calls.map(rawToolCall)),
    finishReason: optionalText(choice['finish_reason']),
    usage: readUsage(body['usage']),
    model: optionalText(body['model']) ?? model,
    id: optionalText(body['id']),
  }
}

/** Null is an empty text; of a list of parts the texts count. */
function textOf(content: unknown): string {
  if (content === null || content === undefined) return ''
  if (typeof content === 'string') return content
  if (!Array.isArray(content)) throw unreadable('has content that is no text')
  return content
    .map((part) => (isObject(part) && typeof part['text'] === 'string' ? part['text'] : ''))
    .join('')
}

function rawToolCall(call: unknown): RawToolCall {
  const { id, function: called }: JsonObject = isObject(call) ? call : {}
  const { name, arguments: text }: JsonObject = isObject(called) ? called : {}
  if (typeof name !== 'string') throw unreadable('has a tool call without a name')
  return {
    id: optionalText(id) ?? '',
    name,
    // Some servers send the object itself.
    arguments: typeof text === 'string' ? text : JSON.stringify(text ?? {}),
  }
}

/** Calls with arguments that cannot be read are kept apart, so that one of them does not cost the rest. */
export function readToolCalls(
  calls: readonly RawToolCall[],
): Pick<ChatAnswer, 'toolCalls' | 'invalidToolCalls'> {
  const toolCalls: ToolCall[] = []
  const invalidToolCalls: InvalidToolCall[] = []
  for (const call of calls) {
    const read = readArguments(call.arguments)
    if (typeof read === 'string') invalidToolCalls.push({ ...call, error: read })
    else toolCalls.push({ id: call.id, name: call.name, args: read })
  }
  return { toolCalls, invalidToolCalls }
}

function readArguments(text: string): JsonObject | string {
  if (text.trim() === '') return {}
  try {
    const args: unknown = JSON.parse(text)
    return isObject(args) ? args : 'The arguments are no JSON object'
  } catch {
    return 'The arguments are not JSON'
  }
}

/** Counts that are missing or no integers are 0; undefined when there is no usage at all. */
export function readUsage(usage: unknown): Usage | undefined {
  if (!isObject(usage)) return undefined
  const inputTokens = count(usage['prompt_tokens'])
  const outputTokens = count(usage['completion_tokens'])
  const cachedTokens = detail(usage['prompt_tokens_details'], 'cached_tokens')
  const reasoningTokens = detail(usage['completion_tokens_details'], 'reasoning_tokens')
  return {
    inputTokens,
    outputTokens,
    totalTokens: count(usage['total_tokens']) || inputTokens + outputTokens,
    ...(cachedTokens !== undefined && { cachedTokens }),
    ...(reasoningTokens !== undefined && { reasoningTokens }),
  }
}

function detail(details: unknown, name: string): number | undefined {
  return isObject(details) && details[name] !== undefined ? count(details[name]) : undefined
}

function count(value: unknown): number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value > 0 ? value : 0
}

function optionalText(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}

function unreadable(what: string): GatewayError {
  return new GatewayError(`The gateway's answer ${what}`, { status: 200 })
}
