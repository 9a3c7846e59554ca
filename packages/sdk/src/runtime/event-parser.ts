/**
 * Server-sent events out of bytes that were cut anywhere. Bounded: an event that never ends is refused, not collected.
 */
import { APIError } from './errors.ts'
import { MAX_ANSWER_BYTES } from './exchange.ts'

export interface ServerEvent {
  /** The last id that was told, with this event or before it. */
  readonly id: string | undefined
  readonly event: string
  readonly data: string
}

export class EventParser {
  readonly #decoder = new TextDecoder()
  #line = ''
  #id: string | undefined
  #event = ''
  #data: string[] = []
  #size = 0
  #afterCr = false
  #retryMs: number | undefined

  /** How long the server asks to wait before one comes again. */
  get retryMs(): number | undefined {
    return this.#retryMs
  }

  /**
   * @returns The events that these bytes complete. What follows the last blank line waits for more.
   * @throws APIError `ANSWER_TOO_LARGE`
   */
  push(bytes: Uint8Array): ServerEvent[] {
    const text = this.#decoder.decode(bytes, { stream: true })
    const events: ServerEvent[] = []
    let start = 0
    for (let at = 0; at < text.length; at += 1) {
      const code = text.charCodeAt(at)
      if (code !== 10 && code !== 13) {
        this.#afterCr = false
        continue
      }
      const isSecondHalf = code === 10 && this.#afterCr
      this.#afterCr = code === 13
      if (!isSecondHalf) this.#endLine(text.slice(start, at), events)
      start = at + 1
    }
    this.#keep(text.slice(start))
    return events
  }

  #keep(rest: string): void {
    this.#line += rest
    if (this.#line.length + this.#size > MAX_ANSWER_BYTES)
      throw new APIError('An event is larger than 32 MiB', { code: 'ANSWER_TOO_LARGE' })
  }

  #endLine(rest: string, events: ServerEvent[]): void {
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
    else if (field === 'id') this.#id = value
    else if (field === 'retry' && /^\d{1,9}$/.test(value)) this.#retryMs = Number(value)
    else if (field === 'data') {
      this.#data.push(value)
      this.#size += value.length + 1
    }
  }

  #dispatch(events: ServerEvent[]): void {
    if (this.#data.length > 0)
      events.push({ id: this.#id, event: this.#event, data: this.#data.join('\n') })
    this.#event = ''
    this.#data = []
    this.#size = 0
  }
}
