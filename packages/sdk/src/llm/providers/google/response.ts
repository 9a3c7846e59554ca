/** A whole answer of Gemini's generateContent as a chat completion. */
import type { ChatCompletion, ChatRequest } from '../chat-types.ts'
import { malformed } from '../fault.ts'
import { withoutFence } from '../fence.ts'
import { isObject, listOf, textOf } from '../json.ts'
import type { CallScope } from '../provider.ts'
import { blocked, finishReasonOf, readParts, usageOf } from './answer.ts'
import { byInstruction } from './request.ts'

/** @throws ProviderFault `content_filter` when the prompt was blocked. */
export function readGoogleChat(
  body: unknown,
  request: ChatRequest,
  scope: CallScope,
): ChatCompletion {
  if (!isObject(body)) throw malformed('an answer that is not a JSON object')
  const [candidate] = listOf(body['candidates'])
  if (candidate === undefined) throw blocked(body['promptFeedback'])
  if (!isObject(candidate)) throw malformed('a candidate that is not an object')
  const finish = finishReasonOf(candidate['finishReason'], false)
  const { text, calls } = readParts(candidate, scope)
  const usage = usageOf(body['usageMetadata'])
  return {
    id: textOf(body['responseId']) ?? scope.newId('chatcmpl-'),
    object: 'chat.completion',
    created: Math.floor(scope.nowMs / 1000),
    model: textOf(body['modelVersion']) ?? request.model,
    choices: [
      {
        index: 0,
        message: {
          role: 'assistant',
          content: wantsFenceOff(request) ? withoutFence(text) : text,
          ...(calls.length > 0 && {
            tool_calls: calls.map(({ id, name, args }) => ({
              id,
              type: 'function' as const,
              function: { name, arguments: args },
            })),
          }),
        },
        finish_reason: finish === 'stop' && calls.length > 0 ? 'tool_calls' : finish,
      },
    ],
    ...(usage !== undefined && { usage }),
  }
}

/** JSON was asked for in words, so it may come dressed up. */
export function wantsFenceOff(request: ChatRequest): boolean {
  const { response_format } = request
  return response_format !== undefined && response_format.type !== 'text' && byInstruction(request)
}
