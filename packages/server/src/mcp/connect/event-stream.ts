/** Reads server-sent events as they come, within bounds. @see HTML Living Standard §9.2 */
import { Gathering } from './gathering.ts'

export interface StreamEvent {
  /** `message` where the server names none. */
  readonly type: string
  readonly data: string
}

export class EventStream {
  readonly #maxBytes: number
  #held: Gathering
  #afterCr = false
  #type = ''
  #data: string[] = []
  #size = 0
  #pendingId = ''
  #lastId: string | undefined
  #retryMs: number | undefined

  /** @param maxBytes Of one event. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
    this.#held = new Gathering(maxBytes)
  }

  /** Of the last event that was complete. */
  get lastEventId(): string | undefined {
    return this.#lastId
  }

  /** How long the server wants us to wait before we come again. */
  get retryMs(): number | undefined {
    return this.#retryMs
  }

  /** Another connection goes on: what the last one left half said is sent again, or never. */
  reconnected(): void {
    this.#held = new Gathering(this.#maxBytes)
    this.#afterCr = false
    this.#pendingId = this.#lastId ?? ''
    this.#clear()
  }

  /** @returns The events completed by these bytes; undefined for one that is longer than it may be. */
  push(bytes: Uint8Array): StreamEvent[] | undefined {
    const events: StreamEvent[] = []
    let from = 0
    for (let at = 0; at < bytes.length; at += 1) {
      const byte = bytes[at]
      if (byte !== LF && byte !== CR) {
        this.#afterCr = false
        continue
      }
      const secondHalf = byte === LF && this.#afterCr
      this.#afterCr = byte === CR
      if (!secondHalf) {
        if (!this.#add(bytes.subarray(from, at))) return undefined
        this.#take(textOf(this.#held.take()), events)
      }
      from = at + 1
    }
    return this.#add(bytes.subarray(from)) ? events : undefined
  }

  #add(piece: Uint8Array): boolean {
    return this.#size + this.#held.size + piece.length <= this.#maxBytes && this.#held.add(piece)
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
    this.#clear()
  }

  #clear(): void {
    this.#type = ''
    this.#data = []
    this.#size = 0
  }
}

const LF = 0x0a
const CR = 0x0d
const MAX_ID = 1_024

/** The stream may begin with a byte order mark; no field has a name with one. */
function textOf(line: Uint8Array): string {
  const text = Buffer.from(line.buffer, line.byteOffset, line.length).toString('utf8')
  return text.startsWith('\ufeff') ? text.slice(1) : text
}

/** It goes back as a header. */
function isHeaderText(value: string): boolean {
  return value.length <= MAX_ID && /^[\x21-\x7e][\x20-\x7e]*$/.test(value)
}
