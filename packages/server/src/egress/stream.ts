/**
 * One outbound request whose answer is passed on as it comes: authorised, vetted, pinned and injected as {@link send}
 * does it, scrubbed of the secret also where it is split over chunks, bounded in bytes and in time. It follows no
 * redirect, and holds back only what may be the beginning of a secret: whole lines of text pass at once.
 */
import { VestryError } from '@vestry/contract/errors'
import { depart, watched } from './departure.ts'
import type { Exchange } from './exchange.ts'
import { timeoutError, upstreamError } from './failure.ts'
import { follow, type Journey, last, type Progress } from './follow.ts'
import { codingFor, shownTarget } from './render-reply.ts'
import { type Coding, decode, decodingError, isBomb } from './reply-body.ts'
import { responseHeaders } from './response-headers.ts'
import type { Redactions, StreamScrubber } from './scrub.ts'
import type { EgressDeps, EgressRequest, EgressResult, Outbound } from './send.ts'
import { StreamClock, type StreamTimes } from './stream-clock.ts'

export interface StreamRequest
  extends StreamTimes,
    Omit<Outbound, 'method' | 'followRedirects' | 'maxRedirects'>,
    Pick<EgressRequest, 'responseHeadersAllow'> {
  /** POST unless told. */
  method?: 'GET' | 'POST' | 'DELETE'
  /** Of the body, over the wire and decoded; more ends it with `RESPONSE_TOO_LARGE`. */
  maxBytes: number
}

/** A text that waits for its end may not grow beyond this: no secret in any spelling is as long. */
const MAX_HELD = 256 * 1024

/** After the last word there is the end of a coding, or of a line. */
const MAX_TAIL = 16 * 1024
const MAX_TAIL_MS = 250

/**
 * Resolves with the head of the answer, whatever its status. `request.injection` stays borrowed until the body has
 * ended or is closed. `request.signal` ends the body too; its connection is closed at once.
 *
 * @throws VestryError `INVALID_PARAMS`, `ACCESS_DENIED`, `SSRF_BLOCKED`, `UPSTREAM_ERROR`, `UPSTREAM_TIMEOUT` (with
 *   `phase` in its context); the reason of `request.signal` if that ended it. `wasSent` in failure.ts tells of each
 *   whether the upstream may have heard of the request.
 */
export function openStream(request: StreamRequest, deps: EgressDeps): Promise<EgressStream> {
  return watched(request.signal, (progress) => open(request, deps, progress))
}

async function open(
  request: StreamRequest,
  deps: EgressDeps,
  progress: Progress,
): Promise<EgressStream> {
  const startedMs = deps.now()
  const clock = new StreamClock(request)
  const signal =
    request.signal === undefined ? clock.signal : AbortSignal.any([request.signal, clock.signal])
  try {
    const { method = 'POST' } = request
    const journey = depart({ ...request, method, followRedirects: false }, deps, {
      signal,
      progress,
      acceptEncoding: 'identity',
    })
    try {
      const { reply, bytesOut } = await follow(journey)
      clock.rests()
      return new EgressStream(request, journey, reply, { clock, startedMs, bytesOut })
    } catch (error) {
      throw failure(error, request, journey, clock)
    }
  } catch (error) {
    clock[Symbol.dispose]()
    throw error
  }
}

export class EgressStream implements Disposable {
  readonly status: number
  /** Scrubbed; without the length, which scrubbing may change. */
  readonly headers: Record<string, string>
  readonly target: EgressResult['target']
  /** Body bytes sent. */
  readonly bytesOut: number
  readonly #request: StreamRequest
  readonly #journey: Journey
  readonly #source: Exchange['body']
  readonly #coding: Coding
  readonly #clock: StreamClock
  readonly #startedMs: number
  #bytesIn = 0
  #firstByteMs: number | undefined
  #input: AsyncIterator<Uint8Array> | undefined
  #ended = false
  #endIsNear = false

  constructor(
    request: StreamRequest,
    journey: Journey,
    reply: Exchange,
    { clock, startedMs, bytesOut }: { clock: StreamClock; startedMs: number; bytesOut: number },
  ) {
    const { scrubber, visited } = journey
    this.#request = request
    this.#journey = journey
    this.#source = reply.body
    this.#clock = clock
    this.#startedMs = startedMs
    this.#coding = codingFor(reply, request.method ?? 'POST')
    this.status = reply.status
    const { headers } = responseHeaders(reply.headers, scrubber, request.responseHeadersAllow ?? [])
    delete headers['content-length']
    if (this.#coding !== 'identity') delete headers['content-encoding']
    this.headers = headers
    this.target = shownTarget(last(visited).target, scrubber)
    this.bytesOut = bytesOut
  }

  /** Body bytes received so far, as sent. */
  get bytesIn(): number {
    return this.#bytesIn
  }

  /** From the start to the first byte of the body, once that is there. */
  get firstByteMs(): number | undefined {
    return this.#firstByteMs
  }

  /** What was taken out so far. */
  get redactions(): Redactions {
    return this.#journey.scrubber.redactions
  }

  /**
   * To be read once, to its end or until its reader has enough; the upstream is read no faster than this.
   *
   * @throws VestryError as {@link openStream}, and `RESPONSE_TOO_LARGE`.
   */
  get body(): AsyncIterable<Uint8Array> {
    if (this.#input !== undefined) throw new VestryError('INTERNAL_ERROR', 'The body is read once')
    this.#input = this.#source[Symbol.asyncIterator]()
    return this.#chunks(this.#input)
  }

  /**
   * The reader has heard the last word, and only the end of the body is to come: closing then waits for that a moment
   * instead of breaking off, so that the connection can be used again.
   */
  finish(): void {
    this.#endIsNear = true
  }

  /** Breaks the exchange off unless its body has ended. */
  close(): void {
    this.#clock[Symbol.dispose]()
    if (this.#ended) return
    this.#ended = true
    if (this.#endIsNear && this.#input !== undefined) void dropTail(this.#source, this.#input)
    else this.#source.destroy()
  }

  [Symbol.dispose](): void {
    this.close()
  }

  async *#chunks(input: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
    const scrubber = this.#journey.scrubber.stream()
    let decoded = 0
    try {
      for await (const chunk of decode(this.#received(input), this.#coding)) {
        decoded += chunk.length
        if (decoded > this.#request.maxBytes || isBomb(decoded, this.#bytesIn))
          throw this.#tooLarge()
        const clean = passed(scrubber, chunk)
        if (clean.length > 0) yield clean
      }
      const rest = scrubber.end()
      if (rest.length > 0) yield rest
    } catch (error) {
      throw failure(decodingError(error), this.#request, this.#journey, this.#clock)
    } finally {
      this.close()
    }
  }

  async *#received(input: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
    for (;;) {
      this.#clock.waits()
      const next = await input.next()
      this.#clock.rests()
      if (next.done === true) break
      if (this.#firstByteMs === undefined) this.#begin()
      this.#bytesIn += next.value.length
      if (this.#bytesIn > this.#request.maxBytes) throw this.#tooLarge()
      yield next.value
    }
    this.#ended = true
  }

  #begin(): void {
    this.#firstByteMs = this.#journey.deps.now() - this.#startedMs
    this.#clock.begins()
  }

  #tooLarge(): VestryError {
    const { maxBytes } = this.#request
    return new VestryError('RESPONSE_TOO_LARGE', `The reply exceeds ${maxBytes} bytes`, {
      context: { max_bytes: maxBytes },
    })
  }
}

/** The beginning of the body as text, for an error's status; what goes beyond is left unread. */
export async function readText(stream: EgressStream, maxBytes: number): Promise<string> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of stream.body) {
    chunks.push(chunk)
    size += chunk.length
    if (size >= maxBytes) break
  }
  return Buffer.concat(chunks).subarray(0, maxBytes).toString('utf8')
}

/** Bounded: what does not end soon is broken off after all. */
async function dropTail(source: Exchange['body'], input: AsyncIterator<Uint8Array>): Promise<void> {
  const late = setTimeout(() => source.destroy(), MAX_TAIL_MS)
  try {
    for (let left = MAX_TAIL; left > 0; ) {
      const next = await input.next()
      if (next.done === true) return
      left -= next.value.length
    }
    source.destroy()
  } catch {
    // Broken off by the upstream, or by us: either way it is over.
  } finally {
    clearTimeout(late)
  }
}

function passed(scrubber: StreamScrubber, chunk: Uint8Array): Uint8Array {
  const clean = scrubber.push(chunk)
  if (scrubber.held <= MAX_HELD) return clean
  throw new VestryError('UPSTREAM_ERROR', 'The reply repeats what may be a secret without an end')
}

function failure(
  error: unknown,
  { signal }: StreamRequest,
  { visited, scrubber }: Journey,
  clock: StreamClock,
): unknown {
  const { host } = last(visited).target
  if (signal?.aborted === true) return signal.reason
  const { missed } = clock
  if (missed !== undefined) return timeoutError(host, missed.ms, scrubber, missed.phase)
  return upstreamError(error, host, scrubber)
}
