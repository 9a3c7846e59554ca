/** Answers of a model as a test writes them, in OpenAI's shapes on the wire. */
import type { JsonObject } from '../llm/providers/chat-types.ts'
import type { Usage } from '../llm/usage-ledger.ts'

export interface ScriptedToolCall {
  readonly name: string
  readonly args?: Readonly<Record<string, unknown>>
  /** Instead of `args`: what the model wrote, which need not be JSON. */
  readonly arguments?: string
  /** Default `call_1`, `call_2`, … */
  readonly id?: string
}

export interface ScriptedAnswer {
  readonly text?: string
  /** The pieces of the text in a streamed answer. Default: the text, cut at spaces. */
  readonly chunks?: readonly string[]
  readonly toolCalls?: readonly ScriptedToolCall[]
  readonly usage?: Partial<Usage>
  /** Default `tool_calls` with tool calls, else `stop`. */
  readonly finishReason?: string
  /** The model's name in the answer. Default: as asked. */
  readonly model?: string
}

/** What an answer looks like when the script is at its end. */
export const DEFAULT_TEXT = 'Mock response'

export function textOf({ text, chunks, toolCalls }: ScriptedAnswer): string {
  return text ?? chunks?.join('') ?? (toolCalls === undefined ? DEFAULT_TEXT : '')
}

/** The body of a chat completion. */
export function completionOf(answer: ScriptedAnswer, model: string): JsonObject {
  const calls = wireCalls(answer)
  const message = {
    role: 'assistant',
    content: textOf(answer),
    ...(calls.length > 0 && { tool_calls: calls }),
  }
  const usage = usageOf(answer)
  return {
    id: 'chatcmpl-mock',
    object: 'chat.completion',
    created: 0,
    model: answer.model ?? model,
    choices: [{ index: 0, message, finish_reason: finishOf(answer) }],
    ...(usage !== undefined && { usage }),
  }
}

/** The chunks of the same answer, streamed; the usage chunk only when it was asked for. */
export function chunksOf(
  answer: ScriptedAnswer,
  model: string,
  includeUsage: boolean,
): JsonObject[] {
  const chunk = (choices: unknown[], more: JsonObject = {}): JsonObject => ({
    id: 'chatcmpl-mock',
    object: 'chat.completion.chunk',
    created: 0,
    model: answer.model ?? model,
    choices,
    ...more,
  })
  const delta = (said: JsonObject, finish_reason: string | null = null): JsonObject =>
    chunk([{ index: 0, delta: said, finish_reason }])
  const pieces = answer.chunks ?? textOf(answer).split(/(?<= )/)
  const fragments = wireCalls(answer).flatMap(({ id, type, function: called }, index) => {
    const half = Math.ceil(called.arguments.length / 2)
    const start = { index, id, type, function: { name: called.name, arguments: '' } }
    const rest = [called.arguments.slice(0, half), called.arguments.slice(half)]
    return [start, ...rest.map((text) => ({ index, function: { arguments: text } }))]
  })
  const usage = usageOf(answer)
  return [
    delta({ role: 'assistant', content: '' }),
    ...pieces.filter((piece) => piece !== '').map((content) => delta({ content })),
    ...fragments.map((fragment) => delta({ tool_calls: [fragment] })),
    delta({}, finishOf(answer)),
    ...(includeUsage && usage !== undefined ? [chunk([], { usage })] : []),
  ]
}

function wireCalls({ toolCalls = [] }: ScriptedAnswer) {
  return toolCalls.map((call, index) => ({
    id: call.id ?? `call_${index + 1}`,
    type: 'function',
    function: {
      name: call.name,
      arguments: call.arguments ?? JSON.stringify(call.args ?? {}),
    },
  }))
}

function finishOf({ finishReason, toolCalls = [] }: ScriptedAnswer): string {
  return finishReason ?? (toolCalls.length > 0 ? 'tool_calls' : 'stop')
}

function usageOf({ usage }: ScriptedAnswer): JsonObject | undefined {
  if (usage === undefined) return undefined
  const { inputTokens = 0, outputTokens = 0, cachedTokens } = usage
  return {
    prompt_tokens: inputTokens,
    completion_tokens: outputTokens,
    total_tokens: usage.totalTokens ?? inputTokens + outputTokens,
    ...(cachedTokens !== undefined && { prompt_tokens_details: { cached_tokens: cachedTokens } }),
  }
}
