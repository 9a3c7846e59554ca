/**
 * The built-in stand-in for a provider: answers every call at once, from the request alone, without a network. Its
 * embeddings are unit vectors made of hashes: equal texts are equal, others are far apart.
 */
import { hash } from 'node:crypto'
import type { ChatRequest, JsonObject } from '@vestry/sdk/llm/providers'
import type { Backend, NativeReply, NativeRequest, Work } from '../providers/backend.ts'
import { estimateTokens } from '../providers/embed-all.ts'
import { answerTo, type MockAnswer } from './answer.ts'
import { nativeEvents, nativeMessage, nativeRequest } from './native.ts'

const DIMENSIONS = 256
const MAX_DIMENSIONS = 4_096
/** Characters of one streamed piece. */
const PIECE = 16

export function mockBackend(): Backend {
  const begin = ({ note, onSend, signal }: Work): void => {
    signal.throwIfAborted()
    onSend()
    note({ mock: true, provider_status: 200 })
  }
  return {
    chat: async (request, work) => {
      begin(work)
      const answer = answerTo(request)
      const { text: content, toolCalls, finishReason, usage } = answer
      return {
        ...head(request, work),
        object: 'chat.completion',
        choices: [
          {
            index: 0,
            message: {
              role: 'assistant',
              content,
              ...(toolCalls.length > 0 && { tool_calls: toolCalls }),
            },
            finish_reason: finishReason,
          },
        ],
        usage,
      }
    },

    stream: async (request, work) => {
      begin(work)
      const answer = answerTo(request)
      return {
        texts: pieces(request, work, answer),
        usage: answer.usage,
        finishReason: answer.finishReason,
        [Symbol.dispose]: () => undefined,
      }
    },

    embed: async ({ input, dimensions }, work) => {
      begin(work)
      const size = Math.min(dimensions ?? DIMENSIONS, MAX_DIMENSIONS)
      return {
        vectors: input.map((text) => unitVector(text, size)),
        promptTokens: estimateTokens(input),
        estimated: false,
      }
    },

    message: async (request, work): Promise<NativeReply> => {
      begin(work)
      const asked = nativeRequest(request.body)
      const answer = answerTo(asked)
      if (request.path === '/v1/messages/count_tokens') {
        const { prompt_tokens: input_tokens } = answer.usage
        return { body: jsonBytes({ input_tokens }), usage: undefined, finishReason: undefined }
      }
      const body = jsonBytes(nativeMessage(asked.model, answer, work.scope.newId('msg_')))
      return { body, usage: answer.usage, finishReason: answer.finishReason }
    },

    messageStream: async (request: NativeRequest, work) => {
      begin(work)
      const asked = nativeRequest(request.body)
      const answer = answerTo(asked)
      const id = work.scope.newId('msg_')
      return {
        bytes: eventBytes(nativeEvents(asked.model, answer, id)),
        usage: answer.usage,
        finishReason: answer.finishReason,
        [Symbol.dispose]: () => undefined,
      }
    },
  }
}

function head({ model }: ChatRequest, { scope }: Work) {
  return { id: scope.newId('chatcmpl-'), created: Math.floor(scope.nowMs / 1_000), model }
}

async function* pieces(
  request: ChatRequest,
  work: Work,
  { text, toolCalls, finishReason, usage }: MockAnswer,
): AsyncGenerator<readonly string[]> {
  const shared = { ...head(request, work), object: 'chat.completion.chunk' }
  const chunk = (delta: JsonObject, finish_reason: string | null = null): string =>
    JSON.stringify({ ...shared, choices: [{ index: 0, delta, finish_reason }] })
  yield [chunk({ role: 'assistant', content: '' })]
  for (let at = 0; at < text.length; at += PIECE) {
    work.signal.throwIfAborted()
    yield [chunk({ content: text.slice(at, at + PIECE) })]
  }
  for (const [index, call] of toolCalls.entries()) {
    const { name, arguments: args } = call.function
    yield [
      chunk({
        tool_calls: [{ index, id: call.id, type: 'function', function: { name, arguments: '' } }],
      }),
      chunk({ tool_calls: [{ index, function: { arguments: args } }] }),
    ]
  }
  yield [
    chunk({}, finishReason),
    ...(work.scope.includeUsage ? [JSON.stringify({ ...shared, choices: [], usage })] : []),
  ]
}

async function* eventBytes(events: Iterable<string>): AsyncGenerator<Uint8Array> {
  for (const event of events) yield Buffer.from(event)
}

function unitVector(text: string, size: number): number[] {
  const values: number[] = []
  for (let block = 0; values.length < size; block += 1) {
    const digest = hash('sha256', `${block}:${text}`, 'buffer')
    for (let at = 0; at < digest.length && values.length < size; at += 4)
      values.push(digest.readInt32BE(at) / 0x8000_0000)
  }
  const length = Math.hypot(...values)
  return values.map((value) => value / (length || 1))
}

function jsonBytes(value: unknown): Uint8Array {
  return Buffer.from(JSON.stringify(value))
}
