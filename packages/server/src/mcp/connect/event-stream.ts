/** Reads server-sent events as they come, within bounds. @see HTML Living Standard §9.2 */

export interface StreamEvent {
  /** `message` where the server names none. */
  readonly type: string
  readonly data: string
}

export class EventStream {
  readonly #maxChars: number
  readonly #decoder = new TextDecoder()
  #line = ''
  #afterCr = false
  #type = ''
  #data: string[] = []
  #size = 0
  #pendingId = ''
  #lastId: string | undefined
  #retryMs: number | undefined

  /** @param maxChars Of one event. */
  constructor(maxChars: number) {
    this.#maxChars = maxChars
  }

  /** Of the last event that was complete. */
  get lastEventId(): string | undefined {
    return this.#lastId
  }

  /** How long the server wants us to wait before we come again. */
  get retryMs(): number | undefined {
    return this.#retryMs
  }

  /** @returns The events completed by these bytes; undefined for one that is longer than it may be. */
  push(bytes: Uint8Array): StreamEvent[] | undefined {
    const text = this.#decoder.decode(bytes, { stream: true })
    const events: StreamEvent[] = []
    let from = 0
    for (let at = 0; at < text.length; at += 1) {
      const code = text.charCodeAt(at)
      if (code !== LF && code !== CR) {
        this.#afterCr = false
        continue
      }
      const secondHalf = code === LF && this.#afterCr
      this.#afterCr = code === CR
      if (!secondHalf) {
        const line = this.#line + text.slice(from, at)
        this.#line = ''
        if (line.length + this.#size > this.#maxChars) return undefined
        this.#take(line, events)
      }
      from = at + 1
    }
    this.#line += text.slice(from)
    return this.#line.length + this.#size > this.#maxChars ? undefined : events
  }

  #take(line: string, events: StreamEvent[]): void {
    if (line === '') {
      this.#dispatch(events)
      return
    }
    const colon = line.indexOf(':')
    if (colon === 0) return
    const field = colon === -1 ? line : line.slice(0, colon)
    const value = colon === -1 ? '' : line.slice(colon + 1).replace(/^ /, '')
    switch (field) {
      case 'event':
        this.#type = value
        break
      case 'data':
        this.#data.push(value)
        this.#size += value.length + 1
        break
      case 'id':
        if (isHeaderText(value)) this.#pendingId = value
        break
      case 'retry':
        if (/^\d{1,9}$/.test(value)) this.#retryMs = Number(value)
        break
    }
  }

  #dispatch(events: StreamEvent[]): void {
    if (this.#pendingId !== '') this.#lastId = this.#pendingId
    if (this.#data.length > 0)
      events.push({ type: this.#type === '' ? 'message' : this.#type, data: this.#data.join('\n') })
    this.#type = ''
    this.#data = []
    this.#size = 0
  }
}

const LF = 0x0a
const CR = 0x0d
const MAX_ID = 1_024

/** It goes back as a header. */
function isHeaderText(value: string): boolean {
  return value.length <= MAX_ID && /^[\x21-\x7e][\x20-\x7e]*$/.test(value)
}
