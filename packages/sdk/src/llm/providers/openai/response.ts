/** A whole answer of OpenAI, or of a server with its API, with the repairs its callers depend on. */
import type {
  ChatCompletion,
  ChatRequest,
  CompletionMessage,
  JsonObject,
  ToolCall,
} from '../chat-types.ts'
import { malformed } from '../fault.ts'
import { countOf, isObject, listOf, objectOf, textOf } from '../json.ts'
import type { CallScope } from '../provider.ts'
import { assertArguments } from '../tool-arguments.ts'
import { finishReasonOf } from './finish-reason.ts'
import { usageOf } from './usage.ts'

export function readOpenAiChat(
  body: unknown,
  request: ChatRequest,
  scope: CallScope,
): ChatCompletion {
  if (!isObject(body)) throw malformed('an answer that is not a JSON object')
  const choices = listOf(body['choices'])
  if (choices.length === 0) throw malformed('an answer without choices')
  const usage = usageOf(body['usage'])
  const { usage: _usage, ...rest } = body
  return {
    ...rest,
    id: textOf(body['id']) ?? scope.newId('chatcmpl-'),
    object: 'chat.completion',
    created: countOf(body['created']) ?? Math.floor(scope.nowMs / 1000),
    model: textOf(body['model']) ?? request.model,
    choices: choices.map((choice, index) => choiceOf(choice, index, scope)),
    ...(usage !== undefined && { usage }),
  }
}

function choiceOf(value: unknown, at: number, scope: CallScope): ChatCompletion['choices'][number] {
  if (!isObject(value) || !isObject(value['message'])) {
    throw malformed('a choice without a message')
  }
  const message = messageOf(value['message'], scope)
  const ended = textOf(value['finish_reason'])
  const usual = message.tool_calls === undefined ? 'stop' : 'tool_calls'
  const refused = textOf(value['message']['refusal']) !== undefined
  return {
    ...value,
    index: countOf(value['index']) ?? at,
    message,
    finish_reason: refused ? 'content_filter' : ended === undefined ? usual : finishReasonOf(ended),
  }
}

function messageOf(given: JsonObject, scope: CallScope): CompletionMessage {
  const { tool_calls, content, ...rest } = given
  const calls = listOf(tool_calls).map((call) => toolCallOf(call, scope))
  return {
    ...rest,
    role: 'assistant',
    content: wordsOf(content) + (textOf(given['refusal']) ?? ''),
    ...(calls.length > 0 && { tool_calls: calls }),
  }
}

function wordsOf(content: unknown): string {
  if (typeof content === 'string') return content
  return listOf(content)
    .map((part) => textOf(objectOf(part)['text']) ?? '')
    .join('')
}

function toolCallOf(value: unknown, scope: CallScope): ToolCall {
  const call = objectOf(value)
  const called = objectOf(call['function'])
  const name = textOf(called['name'])
  if (name === undefined) throw malformed('a tool call without a name')
  const given = called['arguments']
  // Some servers send the object itself instead of its text.
  const text = isObject(given) ? JSON.stringify(given) : (textOf(given)?.trim() ?? '')
  const args = text === '' ? '{}' : text
  assertArguments(args)
  return {
    id: textOf(call['id']) ?? scope.newId('call_'),
    type: 'function',
    function: { name, arguments: args },
  }
}
