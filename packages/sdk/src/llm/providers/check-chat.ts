/**
 * The gate of a chat request: members, types and limits of the wire contract, and content brought to
 * one form. What passes is safe to translate; what does not is told by place, not by guess.
 */
import type { ChatMessage, ChatRequest, JsonObject } from './chat-types.ts'
import {
  filled,
  flag,
  integer,
  invalid,
  list,
  number,
  object,
  onlyMembers,
  optional,
  text,
  unsupported,
} from './check.ts'
import { responseFormatOf, toolCallsOf, toolChoiceOf, toolsOf } from './check-tools.ts'
import { contentOf, textContentOf } from './content-parts.ts'

const MOST_MESSAGES = 2048
const MOST_STOPS = 16
const MOST_TOKENS = 10_000_000
const MODEL_NAME = /^[^\s\p{Cc}]{1,256}$/u

const MEMBERS = new Set([
  ...['model', 'messages', 'temperature', 'top_p', 'max_tokens', 'max_completion_tokens', 'stream'],
  ...['stop', 'seed', 'n', 'response_format', 'tools', 'tool_choice', 'parallel_tool_calls'],
  ...['stream_options', 'presence_penalty', 'frequency_penalty', 'logit_bias', 'logprobs'],
  ...['top_logprobs', 'user', 'metadata', 'store', 'reasoning_effort'],
])
const STREAM_MEMBERS = new Set(['include_usage'])
/** `refusal` and `annotations` stand in answers that callers send back as history. */
const MESSAGE_MEMBERS = {
  system: new Set(['role', 'content', 'name']),
  developer: new Set(['role', 'content', 'name']),
  user: new Set(['role', 'content', 'name']),
  assistant: new Set(['role', 'content', 'name', 'tool_calls', 'refusal', 'annotations']),
  tool: new Set(['role', 'content', 'name', 'tool_call_id']),
}

/**
 * @param body The parsed body of a chat request.
 * @throws ProviderFault `unsupported_parameter` naming a member that is not taken, else `invalid_request`.
 */
export function checkChat(body: unknown): ChatRequest {
  const given = object(body, 'body')
  onlyMembers(given, '', MEMBERS)
  const tools = toolsOf(given['tools'] ?? [], 'tools')
  if (given['max_tokens'] != null && given['max_completion_tokens'] != null) {
    throw invalid('max_tokens', 'and max_completion_tokens must not both be given')
  }
  const request: ChatRequest = {
    model: modelName(given['model'], 'model'),
    messages: messagesOf(given['messages']),
    ...optional(given, 'temperature', (value, at) => number(value, at, 0, 2)),
    ...optional(given, 'top_p', (value, at) => number(value, at, 0, 1)),
    ...optional(given, 'max_tokens', tokens),
    ...optional(given, 'max_completion_tokens', tokens),
    ...optional(given, 'stop', stopOf),
    ...optional(given, 'seed', seed),
    ...optional(given, 'n', oneAnswer),
    ...optional(given, 'response_format', responseFormatOf),
    ...(tools.length > 0 && { tools }),
    ...optional(given, 'tool_choice', (value, at) => toolChoiceOf(value, at, tools)),
    ...optional(given, 'parallel_tool_calls', flag),
    ...optional(given, 'stream', flag),
    ...optional(given, 'stream_options', streamOptionsOf),
    ...optional(given, 'presence_penalty', (value, at) => number(value, at, -2, 2)),
    ...optional(given, 'frequency_penalty', (value, at) => number(value, at, -2, 2)),
    ...optional(given, 'logit_bias', biasOf),
    ...optional(given, 'logprobs', flag),
    ...optional(given, 'top_logprobs', (value, at) => integer(value, at, 0, 20)),
    ...optional(given, 'user', text),
    ...optional(given, 'metadata', metadataOf),
    ...optional(given, 'store', flag),
    ...optional(given, 'reasoning_effort', filled),
  }
  if (request.stream_options !== undefined && request.stream !== true) {
    throw invalid('stream_options', 'is only taken together with stream: true')
  }
  return request
}

export function modelName(value: unknown, place: string): string {
  const name = filled(value, place)
  if (MODEL_NAME.test(name)) return name
  throw invalid(place, 'must be a name of at most 256 characters without spaces')
}

function messagesOf(value: unknown): readonly ChatMessage[] {
  const given = list(value, 'messages', MOST_MESSAGES)
  if (given.length === 0) throw invalid('messages', 'must not be empty')
  return given.map((message, at) =>
    messageOf(object(message, `messages[${at}]`), `messages[${at}]`),
  )
}

function messageOf(given: JsonObject, place: string): ChatMessage {
  const role = given['role']
  if (typeof role !== 'string' || !isRole(role)) {
    throw invalid(`${place}.role`, `must be one of ${Object.keys(MESSAGE_MEMBERS).join(', ')}`)
  }
  onlyMembers(given, place, MESSAGE_MEMBERS[role])
  const at = `${place}.content`
  const name = optional(given, 'name', text, `${place}.name`)
  switch (role) {
    case 'user':
      return { role, content: contentOf(given['content'], at), ...name }
    case 'tool': {
      const id = filled(given['tool_call_id'], `${place}.tool_call_id`)
      return { role, tool_call_id: id, content: contentOf(given['content'] ?? '', at) }
    }
    case 'assistant':
      return assistantOf(given, place)
    default:
      return { role, content: textContentOf(given['content'], at), ...name }
  }
}

function assistantOf(given: JsonObject, place: string): ChatMessage {
  const content = textContentOf(given['content'] ?? given['refusal'], `${place}.content`)
  const calls = toolCallsOf(given['tool_calls'] ?? [], `${place}.tool_calls`)
  return {
    role: 'assistant',
    content,
    ...optional(given, 'name', text, `${place}.name`),
    ...(calls.length > 0 && { tool_calls: calls }),
  }
}

function isRole(role: string): role is keyof typeof MESSAGE_MEMBERS {
  return Object.hasOwn(MESSAGE_MEMBERS, role)
}

function tokens(value: unknown, place: string): number {
  return integer(value, place, 1, MOST_TOKENS)
}

function seed(value: unknown, place: string): number {
  return integer(value, place, Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER)
}

function oneAnswer(value: unknown, place: string): 1 {
  if (integer(value, place, 1, Number.MAX_SAFE_INTEGER) === 1) return 1
  throw unsupported(place, 'must be 1: a call has one answer')
}

function stopOf(value: unknown, place: string): readonly string[] {
  if (typeof value === 'string') return [value]
  return list(value, place, MOST_STOPS).map((stop, at) => text(stop, `${place}[${at}]`))
}

function streamOptionsOf(value: unknown, place: string): { include_usage?: boolean } {
  const given = object(value, place)
  onlyMembers(given, place, STREAM_MEMBERS)
  return optional(given, 'include_usage', flag, `${place}.include_usage`)
}

function biasOf(value: unknown, place: string): Record<string, number> {
  const given = Object.entries(object(value, place))
  return Object.fromEntries(
    given.map(([token, bias]) => [token, number(bias, `${place}.${token}`, -100, 100)]),
  )
}

function metadataOf(value: unknown, place: string): Record<string, string> {
  const given = Object.entries(object(value, place))
  return Object.fromEntries(given.map(([name, label]) => [name, text(label, `${place}.${name}`)]))
}
