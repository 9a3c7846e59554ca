/** A chat request in OpenAI's own form, repaired so that a caller's fixed habits do not fail. */
import type { ChatRequest, JsonObject } from '../chat-types.ts'
import type { CallScope, Outgoing } from '../provider.ts'
import { isReasoning } from './families.ts'

export const CHAT_PATH = '/chat/completions'

/** What reasoning models refuse, whatever its value. */
const NOT_FOR_REASONING = [
  'top_p',
  'presence_penalty',
  'frequency_penalty',
  'logprobs',
  'top_logprobs',
]

export function openAiChat(request: ChatRequest, scope: CallScope): Outgoing {
  const body: JsonObject = { ...passedOn(request), ...streaming(request) }
  // Answers are not to be kept upstream; labels are taken only for kept ones.
  body['store'] = false
  delete body['metadata']
  delete body['user']
  if (scope.user !== '') body['user'] = scope.user
  if (isReasoning(request.model)) asReasoning(body)
  return { path: CHAT_PATH, body }
}

/** The same without what only OpenAI knows: other servers take `max_tokens`, and sampling from any model. */
export function compatibleChat(request: ChatRequest, scope: CallScope): Outgoing {
  const body: JsonObject = { ...passedOn(request), ...streaming(request) }
  for (const name of ['store', 'metadata', 'user']) delete body[name]
  if (scope.user !== '') body['user'] = scope.user
  return { path: CHAT_PATH, body }
}

function passedOn(request: ChatRequest): JsonObject {
  const { stream: _stream, stream_options: _options, ...rest } = request
  return rest
}

/** Usage is always asked for: limits and the audit need it, whether or not the caller does. */
function streaming(request: ChatRequest): JsonObject {
  return request.stream === true ? { stream: true, stream_options: { include_usage: true } } : {}
}

function asReasoning(body: JsonObject): void {
  if (body['temperature'] !== 1) delete body['temperature']
  for (const name of NOT_FOR_REASONING) delete body[name]
  const limit = body['max_completion_tokens'] ?? body['max_tokens']
  delete body['max_tokens']
  if (limit !== undefined) body['max_completion_tokens'] = limit
}
