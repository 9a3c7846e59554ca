/** What a fake provider can be told to do with its next request. Without a script it answers politely. */

export interface ScriptedCall {
  readonly name: string
  readonly arguments: Record<string, unknown>
}

export interface Scripted {
  readonly text?: string
  /** Said before the text, where the provider has a place for it. */
  readonly thinking?: string
  readonly tools?: readonly ScriptedCall[]
  /** The structured answer, in whatever way it was asked for. */
  readonly json?: unknown
  readonly usage?: {
    readonly prompt: number
    readonly completion: number
    readonly cached?: number
  }
  readonly finish?: 'stop' | 'length' | 'content_filter'
  /** Answer with this status and body instead; a string is sent as it is. */
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: unknown
  /** Before the first byte. */
  readonly delayMs?: number
  /** Close the socket without an answer. */
  readonly drop?: boolean
  /** Streams: after so many events send nothing more, and keep the connection open. */
  readonly stallAfter?: number
  /** Streams: after so many events cut the connection in the middle of the next one. */
  readonly cutAfter?: number
  /** Streams: after so many events end properly, without the rest. */
  readonly endAfter?: number
  /** Streams: the event after so many is no JSON. */
  readonly malformedAfter?: number
  /** Streams: after so many events the provider's own error event, with this type or status. */
  readonly errorAfter?: { readonly events: number; readonly type: string }
  /** Streams: pause between events. */
  readonly pauseMs?: number
  /** Streams: one pause, after so many events. */
  readonly silence?: { readonly after: number; readonly ms: number }
  /** Bodies and streams leave in pieces of so many bytes. */
  readonly pieceBytes?: number
  /** Embeddings in another order than asked, with their indexes. */
  readonly shuffled?: boolean
  /** Embeddings: one too few. */
  readonly short?: boolean
}

export interface Seen {
  readonly method: string
  readonly path: string
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  /** Parsed; undefined when it was no JSON. */
  readonly body: Record<string, unknown>
  /** As received. */
  readonly text: string
  /** The caller hung up before the answer was complete. */
  aborted: boolean
  /** Milliseconds of the monotonic clock at which it did. */
  abortedAtMs: number | undefined
}

/** What a provider's own rules make of a request. */
export interface Reply {
  readonly status: number
  readonly body: unknown
  readonly headers?: Readonly<Record<string, string>>
}

/** An answer event by event, each as it stands on the wire. */
export interface Events {
  readonly events: readonly string[]
  /** The event for `errorAfter`. */
  error(type: string): string
}

export interface Dialect {
  readonly name: 'openai' | 'anthropic' | 'google'
  /** Appended to the server's address to give the base URL. */
  readonly basePath: string
  /** Refuses like the real API, or answers. */
  answer(seen: Seen, scripted: Scripted, key: string): Reply | Events
}

/** A vector that depends on nothing but the text. */
export function vectorOf(text: string): number[] {
  let sum = 0
  for (const character of text) sum = (sum * 31 + (character.codePointAt(0) ?? 0)) % 9973
  return [text.length / 1000, sum / 9973, 0.5]
}

/** In pieces of a few characters, as models speak. */
export function pieces(text: string, size = 5): string[] {
  const characters = [...text]
  const found: string[] = []
  for (let at = 0; at < characters.length; at += size)
    found.push(characters.slice(at, at + size).join(''))
  return found
}

export function isEvents(answer: Reply | Events): answer is Events {
  return 'events' in answer
}

export type Json = Record<string, unknown>

export function isJson(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function jsons(value: unknown): Json[] {
  return Array.isArray(value) ? value.filter(isJson) : []
}
