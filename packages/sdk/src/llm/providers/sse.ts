/**
 * Server-sent events out of bytes that were cut anywhere: CR, LF and CRLF, comments, data of several
 * lines, a byte order mark. Bounded: an event that never ends is refused, not collected.
 */
import { malformed } from './fault.ts'
import type { SseEvent } from './provider.ts'

/** Characters of one event; the largest real ones carry a whole tool call. */
const MOST_CHARACTERS = 16 * 1024 * 1024

export class SseParser {
  readonly #decoder = new TextDecoder('utf-8', { fatal: true })
  readonly #most: number
  #line = ''
  #event = ''
  #data: string[] = []
  #size = 0
  #afterCr = false

  constructor(options: { readonly maxCharacters?: number } = {}) {
    this.#most = options.maxCharacters ?? MOST_CHARACTERS
  }

  /**
   * @returns The events completed by these bytes. What follows the last blank line waits for more; at the
   *          end of the body it is dropped, as the standard says.
   * @throws ProviderFault `provider_error` for bytes that are not UTF-8 and for an event out of bounds.
   */
  push(bytes: Uint8Array): SseEvent[] {
    const text = this.#decode(bytes)
    const events: SseEvent[] = []
    let start = 0
    for (let at = 0; at < text.length; at += 1) {
      const code = text.charCodeAt(at)
      if (code !== 10 && code !== 13) {
        this.#afterCr = false
        continue
      }
      const secondHalf = code === 10 && this.#afterCr
      this.#afterCr = code === 13
      if (!secondHalf) this.#endLine(text.slice(start, at), events)
      start = at + 1
    }
    this.#keep(text.slice(start))
    return events
  }

  #decode(bytes: Uint8Array): string {
    try {
      return this.#decoder.decode(bytes, { stream: true })
    } catch (cause) {
      throw malformed('a stream that is not UTF-8', cause)
    }
  }

  #keep(rest: string): void {
    this.#line += rest
    if (this.#line.length + this.#size > this.#most) throw malformed('an event without end')
  }

  #endLine(rest: string, events: SseEvent[]): void {
    this.#keep(rest)
    const line = this.#line
    this.#line = ''
    if (line === '') this.#dispatch(events)
    else this.#field(line)
  }

  #field(line: string): void {
    const colon = line.indexOf(':')
    if (colon === 0) return
    const field = colon === -1 ? line : line.slice(0, colon)
    const raw = colon === -1 ? '' : line.slice(colon + 1)
    const value = raw.startsWith(' ') ? raw.slice(1) : raw
    if (field === 'event') this.#event = value
    if (field !== 'data') return
    this.#data.push(value)
    this.#size += value.length + 1
  }

  #dispatch(events: SseEvent[]): void {
    if (this.#data.length > 0) events.push({ event: this.#event, data: this.#data.join('\n') })
    this.#event = ''
    this.#data = []
    this.#size = 0
  }
}
