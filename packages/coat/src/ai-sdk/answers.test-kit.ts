/** Answers of models, in the words of each generation of the AI SDK's specification. */
import { convertArrayToReadableStream } from 'ai/test'

type V4Result = Extract<
  NonNullable<ConstructorParameters<typeof import('ai/test').MockLanguageModelV4>[0]>['doGenerate'],
  { content: unknown }
>
type V4Stream = Extract<
  NonNullable<ConstructorParameters<typeof import('ai/test').MockLanguageModelV4>[0]>['doStream'],
  { stream: unknown }
>
type V4Part = V4Stream['stream'] extends ReadableStream<infer Part> ? Part : never

export interface Used {
  readonly input: number
  readonly output: number
  readonly cached?: number
}

export function usageV4({ input, output, cached = 0 }: Used) {
  return {
    inputTokens: { total: input, noCache: input - cached, cacheRead: cached, cacheWrite: 0 },
    outputTokens: { total: output, text: output, reasoning: 0 },
  }
}

let made = 0

export function says(text: string, used: Used): V4Result {
  made += 1
  return {
    content: [{ type: 'text', text }],
    finishReason: { unified: 'stop', raw: 'end_turn' },
    usage: usageV4(used),
    warnings: [],
    response: { id: `resp-${made}`, modelId: 'model-1-2026' },
  }
}

export function calls(used: Used, ...tools: [name: string, input?: object][]): V4Result {
  made += 1
  return {
    content: tools.map(([toolName, input], index) => ({
      type: 'tool-call' as const,
      toolCallId: `call-${made}-${index}`,
      toolName,
      input: JSON.stringify(input ?? {}),
    })),
    finishReason: { unified: 'tool-calls', raw: 'tool_use' },
    usage: usageV4(used),
    warnings: [],
    response: { id: `resp-${made}`, modelId: 'model-1-2026' },
  }
}

/** The same as a stream. */
export function streamed(answer: V4Result): V4Stream {
  const parts: V4Part[] = [
    { type: 'stream-start', warnings: [] },
    { type: 'response-metadata', id: answer.response?.id ?? '', modelId: 'model-1-2026' },
  ]
  for (const content of answer.content) {
    if (content.type === 'tool-call') parts.push(content)
    if (content.type !== 'text') continue
    parts.push({ type: 'text-start', id: 't' })
    for (const delta of content.text.split(/(?<= )/)) {
      parts.push({ type: 'text-delta', id: 't', delta })
    }
    parts.push({ type: 'text-end', id: 't' })
  }
  parts.push({ type: 'finish', usage: answer.usage, finishReason: answer.finishReason })
  return { stream: convertArrayToReadableStream(parts) }
}
