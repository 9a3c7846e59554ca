/**
 * A streamed answer: server-sent events, flushed one by one, the end told by closing (wire contract §12.2).
 * Nothing is written before there is something to say, so that early failures keep their own status. A comment
 * line breaks long silences, which published clients would take for a dead gateway.
 */
import { VestryError } from '@vestry/contract/errors'
import { errorText, wireError } from './error-body.ts'
import type { Exchange } from './reply.ts'

const PING = ': ping\n\n'

export interface EventReplyOptions {
  /** Silence that is broken by a comment; 0: the events bring heartbeats of their own. */
  readonly heartbeatMs: number
  /** A client that has read nothing for so long is given up. */
  readonly stallMs: number
}

export class EventReply implements Disposable {
  readonly #exchange: Exchange
  readonly #heartbeatMs: number
  readonly #stallMs: number
  readonly #startedMs = performance.now()
  #timer: NodeJS.Timeout | undefined
  #begun = false
  #bytes = 0
  #firstByteMs: number | undefined

  constructor(exchange: Exchange, { heartbeatMs, stallMs }: EventReplyOptions) {
    this.#exchange = exchange
    this.#heartbeatMs = heartbeatMs
    this.#stallMs = stallMs
  }

  /** Something was written, so a failure can only be told as an event. */
  get begun(): boolean {
    return this.#begun
  }

  get bytes(): number {
    return this.#bytes
  }

  /** From the request to the first event; undefined before it. */
  get firstByteMs(): number | undefined {
    return this.#firstByteMs
  }

  /** The provider has accepted: from here on, silence is broken by comments. */
  opened(): void {
    if (this.#heartbeatMs === 0) return
    this.#timer = setTimeout(() => this.#ping(), this.#heartbeatMs).unref()
  }

  /** One event for each JSON text. Resolves when the client keeps up. @throws VestryError CANCELLED */
  async events(texts: readonly string[]): Promise<void> {
    if (texts.length === 0) return
    let block = ''
    for (const text of texts) block += `data: ${text}\n\n`
    await this.raw(block)
  }

  /** Bytes as they are. @throws VestryError CANCELLED when the client left. */
  async raw(bytes: string | Uint8Array): Promise<void> {
    if (bytes.length === 0) return
    this.#firstByteMs ??= Math.round(performance.now() - this.#startedMs)
    this.#timer?.refresh()
    const { response } = this.#exchange
    if (!this.#write(bytes)) await drained(response, this.#stallMs)
    if (response.destroyed) throw new VestryError('CANCELLED', 'the client left')
  }

  /** The end: `tail` goes out, and the connection closes. */
  finish(tail = ''): void {
    this[Symbol.dispose]()
    this.#begin()
    this.#exchange.response.end(tail)
  }

  /** Tells a failure after the first byte, without the mark of a complete answer. */
  fail(error: unknown): void {
    const { envelope, requestId } = this.#exchange
    const text = errorText(wireError(error), envelope, requestId)
    this.finish(`${envelope === 'anthropic' ? 'event: error\n' : ''}data: ${text}\n\n`)
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  #ping(): void {
    this.#write(PING)
    this.#timer?.refresh()
  }

  #write(bytes: string | Uint8Array): boolean {
    this.#begin()
    this.#bytes += typeof bytes === 'string' ? Buffer.byteLength(bytes) : bytes.length
    return this.#exchange.response.write(bytes)
  }

  #begin(): void {
    if (this.#begun) return
    this.#begun = true
    const { response, requestId } = this.#exchange
    if (response.destroyed) return
    response.socket?.setNoDelay(true)
    response.shouldKeepAlive = false
    response.useChunkedEncodingByDefault = false
    response.writeHead(200, {
      'Content-Type': 'text/event-stream',
      'Cache-Control': 'no-store',
      'X-Request-Id': requestId,
      Connection: 'close',
    })
  }
}

/** Resolves when there is room again, or nobody left to write to. */
function drained(response: Exchange['response'], stallMs: number): Promise<void> {
  if (response.destroyed) return Promise.resolve()
  const { promise, resolve } = Promise.withResolvers<void>()
  const stalled = setTimeout(() => response.destroy(), stallMs)
  response.once('drain', resolve).once('close', resolve)
  return promise.finally(() => {
    clearTimeout(stalled)
    response.off('drain', resolve).off('close', resolve)
  })
}
