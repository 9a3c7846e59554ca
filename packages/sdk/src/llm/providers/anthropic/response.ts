/** A whole answer of Anthropic's Messages API as a chat completion. */
import type { ChatCompletion, ChatRequest, JsonObject, ToolCall } from '../chat-types.ts'
import { malformed } from '../fault.ts'
import { withoutFence } from '../fence.ts'
import { isObject, objectOf, textOf } from '../json.ts'
import type { CallScope } from '../provider.ts'
import { finishReasonOf, finishReasonOfForced } from './stop-reason.ts'
import { type Emulation, emulationOf, WRAPPER } from './structured.ts'
import { anthropicUsage } from './usage.ts'

export function readAnthropicChat(
  body: unknown,
  request: ChatRequest,
  scope: CallScope,
): ChatCompletion {
  if (!isObject(body) || !Array.isArray(body['content'])) {
    throw malformed('an answer without content')
  }
  const blocks = body['content'].map(objectOf)
  const emulation = emulationOf(request)
  const forced = emulation.method === 'tool' ? answerOf(blocks, emulation) : undefined
  const calls = forced === undefined ? callsOf(blocks) : []
  const finish = forced === undefined ? finishReasonOf : finishReasonOfForced
  const usage = anthropicUsage(body)
  return {
    id: textOf(body['id']) ?? scope.newId('chatcmpl-'),
    object: 'chat.completion',
    created: Math.floor(scope.nowMs / 1000),
    model: textOf(body['model']) ?? request.model,
    choices: [
      {
        index: 0,
        message: {
          role: 'assistant',
          content: forced ?? textIn(blocks, emulation),
          ...(calls.length > 0 && { tool_calls: calls }),
        },
        finish_reason: finish(body['stop_reason']),
      },
    ],
    ...(usage !== undefined && { usage }),
  }
}

/** Thinking and whatever else is not text stays behind. */
function textIn(blocks: readonly JsonObject[], emulation: Emulation): string {
  const text = blocks
    .map((block) => (block['type'] === 'text' ? (textOf(block['text']) ?? '') : ''))
    .join('')
  return emulation.method === 'none' ? text : withoutFence(text)
}

function callsOf(blocks: readonly JsonObject[]): ToolCall[] {
  return blocks.filter(({ type }) => type === 'tool_use').map(callOf)
}

function callOf(block: JsonObject): ToolCall {
  const id = textOf(block['id'])
  const name = textOf(block['name'])
  const input = block['input'] ?? {}
  if (id === undefined || name === undefined || !isObject(input)) {
    throw malformed('a tool call without id, name or input')
  }
  return { id, type: 'function', function: { name, arguments: JSON.stringify(input) } }
}

/** The input of the forced tool as text; undefined when the model answered otherwise. */
function answerOf(
  blocks: readonly JsonObject[],
  { name, wrapped }: Extract<Emulation, { method: 'tool' }>,
): string | undefined {
  const block = blocks.find((given) => given['type'] === 'tool_use' && given['name'] === name)
  if (block === undefined) return undefined
  const input = objectOf(block['input'])
  const answer = wrapped && WRAPPER in input ? input[WRAPPER] : input
  return JSON.stringify(answer)
}
