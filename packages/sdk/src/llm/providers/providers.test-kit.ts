/** A call's surroundings for tests of translations, and streams fed to them cut anywhere. */
import type { ChatRequest } from './chat-types.ts'
import { checkChat } from './check-chat.ts'
import type { CallScope, ChatStream, Provider } from './provider.ts'
import { SseParser } from './sse.ts'

export const NOW_MS = 1_795_160_003_000

export function scopeOf(changes: Partial<CallScope> = {}): CallScope {
  const signatures = new Map<string, string>()
  let count = 0
  return {
    nowMs: NOW_MS,
    newId: (prefix) => {
      count += 1
      return `${prefix}${count}`
    },
    user: '',
    signatures: {
      get: (id) => signatures.get(id),
      set: (id, signature) => void signatures.set(id, signature),
    },
    defaultMaxTokens: 4096,
    includeUsage: true,
    ...changes,
  }
}

/** A checked request; `hi` is said when the test does not care what. */
export function asking(members: Record<string, unknown> = {}): ChatRequest {
  return checkChat({ model: 'm', messages: [{ role: 'user', content: 'hi' }], ...members })
}

/** What a whole stream comes out as, when its bytes arrive in the given pieces. */
export function translated(stream: ChatStream, parts: readonly Uint8Array[]): string[] {
  const parser = new SseParser()
  const texts: string[] = []
  for (const part of parts) {
    for (const event of parser.push(part)) texts.push(...stream.push(event))
  }
  return [...texts, ...stream.end()]
}

export function streamOf(
  provider: Provider,
  wire: string,
  { request = asking({ stream: true }), scope = scopeOf() } = {},
): { stream: ChatStream; chunks: Chunk[]; texts: string[] } {
  const stream = provider.chatStream(request, scope)
  const texts = translated(stream, [new TextEncoder().encode(wire)])
  return { stream, texts, chunks: texts.map((text) => JSON.parse(text) as Chunk) }
}

export interface Chunk {
  id: string
  model: string
  choices: {
    index: number
    delta: {
      role?: string
      content?: string
      tool_calls?: {
        index: number
        id?: string
        function?: { name?: string; arguments?: string }
      }[]
    }
    finish_reason: string | null
  }[]
  usage?: Record<string, unknown>
}

/** What a client makes of the chunks. */
export function assembled(chunks: readonly Chunk[]) {
  const calls: { id: string; name: string; arguments: string }[] = []
  let text = ''
  let finish: string | null = null
  for (const { choices } of chunks) {
    const choice = choices[0]
    if (choice === undefined) continue
    text += choice.delta.content ?? ''
    finish = choice.finish_reason ?? finish
    for (const { index, id, function: called } of choice.delta.tool_calls ?? []) {
      calls[index] ??= { id: id ?? '', name: called?.name ?? '', arguments: '' }
      calls[index].arguments += called?.arguments ?? ''
    }
  }
  const usage = chunks.map((chunk) => chunk.usage).findLast((given) => given != null)
  return { text, calls, finish, usage }
}

/** Server-sent events of OpenAI's kind. */
export function sse(...events: unknown[]): string {
  const lines = events.map((event) => (typeof event === 'string' ? event : JSON.stringify(event)))
  return lines.map((line) => `data: ${line}\n\n`).join('')
}

/** Server-sent events of Anthropic's kind. */
export function namedSse(...events: { type: string; [name: string]: unknown }[]): string {
  return events.map((event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`).join('')
}
