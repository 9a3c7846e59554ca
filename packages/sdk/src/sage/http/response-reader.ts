/**
 * Reads one HTTP/1.1 response from bytes as they arrive, cut anywhere. Pure: the caller owns the
 * connection. Each byte is looked at once.
 */
import type { ResponseHeaders } from './response.ts'

export interface ResponseHead {
  readonly status: number
  readonly headers: ResponseHeaders
}

/** What arrived is no HTTP/1.1 response. The message quotes nothing of it. */
export class MalformedResponse extends Error {}

export interface ReaderLimits {
  /** Of all header blocks together, chunk lines and trailers included. */
  maxHeadBytes: number
}

type State =
  | 'status'
  | 'headers'
  | 'length'
  | 'until-close'
  | 'chunk-size'
  | 'chunk-data'
  | 'chunk-end'
  | 'trailers'
  | 'complete'

const LF = 10
const CR = 13

/** Ours skips them; a peer that sends nothing else would keep us here for ever. */
const MAX_INTERIM = 16

export class ResponseReader {
  readonly #maxHeadBytes: number
  readonly #isHead: boolean
  #state: State = 'status'
  #line: Buffer[] = []
  #headBytes = 0
  #interim = 0
  #status = 0
  #headers = new Map<string, string>()
  #head: ResponseHead | undefined
  /** Of the body or the current chunk, still to come. */
  #left = 0

  constructor({ maxHeadBytes }: ReaderLimits, method: string = 'GET') {
    this.#maxHeadBytes = maxHeadBytes
    this.#isHead = method === 'HEAD'
  }

  /** The final head, once it is complete; interim responses are skipped. */
  get head(): ResponseHead | undefined {
    return this.#head
  }

  get complete(): boolean {
    return this.#state === 'complete'
  }

  /** Neither a length nor chunks say where the body ends. */
  get endsWithConnection(): boolean {
    return this.#state === 'until-close'
  }

  /** What the body has announced, if it has; undefined when only its end will tell. */
  get contentLength(): number | undefined {
    const length = this.#head?.headers['content-length']
    return length === undefined ? undefined : Number(length)
  }

  /** @returns The parts of the body within these bytes. @throws MalformedResponse */
  push(bytes: Uint8Array): Uint8Array[] {
    const body: Uint8Array[] = []
    let at = 0
    while (at < bytes.length && this.#state !== 'complete') {
      at =
        this.#state === 'length' || this.#state === 'chunk-data' || this.#state === 'until-close'
          ? this.#takeBody(bytes, at, body)
          : this.#takeLine(bytes, at)
    }
    return body
  }

  /**
   * The connection ended.
   *
   * @returns Whether the response is whole.
   */
  end(): boolean {
    if (this.#state === 'until-close') this.#state = 'complete'
    return this.#state === 'complete'
  }

  #takeBody(bytes: Uint8Array, at: number, body: Uint8Array[]): number {
    const end =
      this.#state === 'until-close' ? bytes.length : Math.min(bytes.length, at + this.#left)
    body.push(bytes.subarray(at, end))
    if (this.#state === 'until-close') return end
    this.#left -= end - at
    if (this.#left === 0) this.#state = this.#state === 'length' ? 'complete' : 'chunk-end'
    return end
  }

  #takeLine(bytes: Uint8Array, at: number): number {
    const feed = bytes.indexOf(LF, at)
    const end = feed === -1 ? bytes.length : feed
    this.#headBytes += end - at + 1
    // Chunk lines are counted one by one, since a long body has many of them.
    if (this.#headBytes > this.#maxHeadBytes) {
      throw new MalformedResponse('its headers are too large')
    }
    this.#line.push(Buffer.from(bytes.subarray(at, end)))
    if (feed === -1) return end
    const line = Buffer.concat(this.#line)
    this.#line = []
    this.#onLine(line.subarray(0, line.at(-1) === CR ? -1 : undefined).toString('latin1'))
    return feed + 1
  }

  #onLine(line: string): void {
    if (this.#state === 'status') this.#onStatus(line)
    else if (this.#state === 'headers') this.#onHeader(line)
    else if (this.#state === 'chunk-size') this.#onChunkSize(line)
    else if (this.#state === 'chunk-end') this.#onChunkEnd(line)
    else if (line === '') this.#state = 'complete'
  }

  #onStatus(line: string): void {
    const status = /^HTTP\/1\.[01] ([1-5]\d\d)(?: [^\0]*)?$/.exec(line)?.[1]
    if (status === undefined) throw new MalformedResponse('it does not begin with a status line')
    this.#status = Number(status)
    this.#headers = new Map()
    this.#state = 'headers'
  }

  #onHeader(line: string): void {
    if (line === '') {
      this.#onHeadEnd()
      return
    }
    const [, name, value] = /^([!#$%&'*+\-.^_`|~\w]+):[ \t]*([^\0]*?)[ \t]*$/.exec(line) ?? []
    if (name === undefined || value === undefined) {
      throw new MalformedResponse('a header line is not valid')
    }
    const key = name.toLowerCase()
    const before = this.#headers.get(key)
    if (key === 'content-length' && before !== undefined && before !== value) {
      throw new MalformedResponse('it has two lengths')
    }
    const joined = before === undefined || key === 'content-length' ? value : `${before}, ${value}`
    this.#headers.set(key, joined)
  }

  #onHeadEnd(): void {
    if (this.#status < 200) {
      this.#interim += 1
      const isFinal = this.#status === 101
      if (isFinal || this.#interim > MAX_INTERIM) throw new MalformedResponse('it never answers')
      this.#state = 'status'
      return
    }
    this.#head = { status: this.#status, headers: Object.fromEntries(this.#headers) }
    this.#state = this.#bodyState()
  }

  #bodyState(): State {
    const encoding = this.#headers.get('content-encoding')?.toLowerCase() ?? 'identity'
    if (encoding !== 'identity') throw new MalformedResponse('it is compressed')
    const length = this.#headers.get('content-length')
    const coding = this.#headers.get('transfer-encoding')
    if (length !== undefined && coding !== undefined) {
      throw new MalformedResponse('it has a length and chunks')
    }
    if (length !== undefined && !/^\d{1,15}$/.test(length)) {
      throw new MalformedResponse('its length is not a number')
    }
    if (this.#isHead || this.#status === 204 || this.#status === 304) return 'complete'
    if (coding !== undefined) {
      if (coding.toLowerCase() !== 'chunked') throw new MalformedResponse('its coding is unknown')
      this.#headBytes = 0
      return 'chunk-size'
    }
    this.#left = Number(length ?? 0)
    if (length === undefined) return 'until-close'
    return this.#left === 0 ? 'complete' : 'length'
  }

  #onChunkEnd(line: string): void {
    if (line !== '') throw new MalformedResponse('a chunk is longer than it says')
    this.#state = 'chunk-size'
  }

  #onChunkSize(line: string): void {
    const size = /^([\da-fA-F]{1,12})[ \t]*(?:;[^\0]*)?$/.exec(line)?.[1]
    if (size === undefined) throw new MalformedResponse('a chunk has no size')
    this.#headBytes = 0
    this.#left = Number.parseInt(size, 16)
    this.#state = this.#left === 0 ? 'trailers' : 'chunk-data'
  }
}
