/**
 * One connection of the queue socket: bytes to lines, each line to its lane, and what the peer is told. It reads no
 * faster than what it has read can be stored, and loses nothing that it has read.
 */
import type { Socket } from 'node:net'
import { SPEC } from '@vestry/coat/aot'
import type { ProcessPeer, Resolution, UnknownPeer } from '../../identity/claims/resolution.ts'
import { JsonRefused, ONLY_PROTO, readStrictJson } from '../../json/strict-json.ts'
import type { RejectReason } from '../metrics.ts'
import { Acks } from './acks.ts'
import type { Collector, Source } from './collector.ts'
import { isProducerId } from './envelope.ts'
import { type ActionType, laneOf } from './lane.ts'
import { LineSplitter } from './line-splitter.ts'
import { Outbox } from './outbox.ts'
import type { ProducerState } from './producer-book.ts'

export const MAX_LINE_BYTES = 262_144
const MAX_DEPTH = 32
/** Producers of one connection; worker threads have connections of their own. */
const MAX_PRODUCERS = 16
/** Requests of one connection that wait for their answers. */
const MAX_ASKED = 16
/** How long a flush waits for a log that cannot be written. */
const FLUSH_RETRY_MS = 250
const FLUSH_TRIES = 40

/** A request of the action lane, and who makes it. */
export interface ActionRequest {
  readonly type: ActionType
  readonly line: Readonly<Record<string, unknown>>
  readonly peer: ProcessPeer | UnknownPeer
  readonly resolution: Resolution
}

/** Never fails: what goes wrong is an answer, too. */
export type AnswerAction = (request: ActionRequest) => Promise<Readonly<Record<string, unknown>>>

export interface ConnectionDeps {
  readonly collector: Collector
  readonly answer: AnswerAction
  readonly maxCapture: string
  readonly linesPerSecond: number
  readonly linesBurst: number
  /** Called when the peer was made to wait, for the metrics. */
  readonly onHeld: () => void
  /** A line over which we stumbled: it is lost, and the connection goes on. */
  readonly onInternalError: (error: unknown) => void
  readonly monotonic: () => number
}

export class Connection {
  readonly #socket: Socket
  readonly #peer: ProcessPeer | UnknownPeer
  readonly #number: number
  readonly #deps: ConnectionDeps
  readonly #onClosed: () => void
  readonly #splitter = new LineSplitter(MAX_LINE_BYTES)
  readonly #outbox: Outbox
  readonly #acks: Acks
  readonly #producers = new Map<string, ProducerState>()
  readonly #source: { -readonly [K in keyof Source]: Source[K] }
  #resolution: Resolution

  /** Read and not yet cut into lines. */
  #rest: Buffer | undefined
  #at = 0
  #held = false
  #ended = false
  #closed = false
  #lastDataMs: number
  #tokens: number
  #tokensAtMs: number
  #mustRead: boolean
  /** It has spoken telemetry: it gets no answers that an action client would. */
  #telemetry = false
  #hello: { producer: ProducerState; ack: boolean } | undefined
  #asked = 0
  #answers: Promise<void> = Promise.resolve()

  constructor(
    socket: Socket,
    peer: ProcessPeer | UnknownPeer,
    number: number,
    deps: ConnectionDeps,
    onClosed: () => void,
  ) {
    this.#socket = socket
    this.#peer = peer
    this.#number = number
    this.#deps = deps
    this.#onClosed = onClosed
    const { collector, monotonic, linesBurst } = deps
    this.#outbox = new Outbox(socket)
    this.#acks = new Acks({
      send: (message) => this.#outbox.send(message),
      caughtUp: () => collector.sync(),
    })
    this.#resolution = collector.resolve(peer)
    this.#source = {
      speaker: collector.speaker(peer, this.#resolution),
      producer: (id) => this.#producer(id),
    }
    this.#mustRead = collector.mustRead(peer)
    this.#tokens = linesBurst
    this.#tokensAtMs = monotonic()
    this.#lastDataMs = this.#tokensAtMs
    socket.on('data', (bytes: Buffer) => this.#onData(bytes))
    socket.on('end', () => {
      this.#ended = true
      void this.#finish()
    })
    socket.on('error', () => undefined) // it closes then
    socket.on('close', () => {
      this.#ended = true
      void this.#finish()
    })
  }

  get pid(): number {
    return this.#source.speaker.stamp.pid
  }

  /** Nothing arrived for so long, and nothing that did waits. */
  quietFor(ms: number): boolean {
    if (this.#closed) return true
    return this.#rest === undefined && this.#deps.monotonic() - this.#lastDataMs >= ms
  }

  /** Says what is still to be said, and ends. */
  async end(): Promise<void> {
    this.#ended = true
    this.#socket.pause()
    await this.#finish()
  }

  destroy(): void {
    this.#rest = undefined
    this.#close()
  }

  #onData(bytes: Buffer): void {
    this.#lastDataMs = this.#deps.monotonic()
    // While held nothing is read, so there is never more than one piece.
    this.#rest =
      this.#rest === undefined ? bytes : Buffer.concat([this.#rest.subarray(this.#at), bytes])
    this.#at = 0
    this.#pump()
  }

  #pump(): void {
    if (this.#held || this.#closed) return
    while (this.#rest !== undefined) {
      if (this.#mustWait()) return
      const { line, at } = this.#splitter.next(this.#rest, this.#at)
      this.#at = at
      if (line === undefined) {
        this.#rest = undefined
        this.#at = 0
      } else this.#line(line)
    }
    if (this.#ended) void this.#finish()
    else if (!this.#socket.destroyed) this.#socket.resume()
  }

  /** Holds the connection until there is a reason to go on. */
  #mustWait(): boolean {
    const { collector } = this.#deps
    if (this.#mustRead) this.#holdFor(this.#readMarks())
    else if (collector.full)
      this.#holdFor(new Promise<void>((resolve) => collector.whenRoom(resolve)))
    else if (this.#asked >= MAX_ASKED) this.#holdFor(this.#answers)
    // A producer need not read its acknowledgements: they are given up sooner than its events.
    else if (this.#outbox.crowded && !this.#telemetry) this.#holdFor(this.#outbox.drained())
    else {
      const ms = this.#takeToken()
      if (ms === 0) return false
      this.#holdFor(new Promise((resolve) => setTimeout(resolve, ms)))
    }
    return true
  }

  async #readMarks(): Promise<void> {
    await this.#deps.collector.read()
    this.#mustRead = false
  }

  #holdFor(reason: Promise<unknown>): void {
    this.#held = true
    this.#socket.pause()
    this.#deps.onHeld()
    void reason.then(() => {
      this.#held = false
      this.#pump()
    })
  }

  /** @returns Milliseconds until the next line may be looked at. */
  #takeToken(): number {
    const { linesPerSecond, linesBurst, monotonic } = this.#deps
    if (this.#tokens < 1) {
      const nowMs = monotonic()
      const filled = this.#tokens + ((nowMs - this.#tokensAtMs) * linesPerSecond) / 1_000
      this.#tokens = Math.min(linesBurst, filled)
      this.#tokensAtMs = nowMs
      // Not for each line a timer of its own.
      if (this.#tokens < 1) return Math.max(5, (1_000 * (1 - this.#tokens)) / linesPerSecond)
    }
    this.#tokens -= 1
    return 0
  }

  #line(line: Buffer | 'too_long'): void {
    if (line === 'too_long') {
      this.#reject('too_long')
      return
    }
    if (line.length === 0) return // an empty line says nothing
    try {
      this.#read(line)
    } catch (error) {
      // Whatever it was, other connections have no part in it.
      this.#deps.collector.reject('internal', this.#source.speaker, line.length)
      this.#deps.onInternalError(error)
    }
  }

  #read(line: Buffer): void {
    const resolution = this.#deps.collector.resolve(this.#peer)
    if (!isSame(resolution, this.#resolution)) {
      this.#resolution = resolution
      this.#source.speaker = this.#deps.collector.speaker(this.#peer, resolution)
    }
    let value: unknown
    try {
      value = readStrictJson(line, ONLY_PROTO, MAX_DEPTH)
    } catch (error) {
      this.#reject(error instanceof JsonRefused ? error.problem : 'syntax', line.length)
      return
    }
    this.#said(value, line.length)
  }

  #said(value: unknown, bytes: number): void {
    const said = laneOf(value)
    switch (said.lane) {
      case 'envelope':
        this.#envelope(said.line, bytes)
        break
      case 'action':
        this.#action(said.type, said.line)
        break
      case 'hello':
        this.#greet(said.line, bytes)
        break
      case 'flush':
        this.#flush(said.line, bytes)
        break
      case 'none':
        this.#reject('lane', bytes)
        break
      default:
        said satisfies never
    }
  }

  #reject(reason: RejectReason, bytes?: number): void {
    this.#deps.collector.reject(reason, this.#source.speaker, bytes)
    // A producer takes such an answer for that of a server without telemetry, and gives up on it for good.
    if (!this.#telemetry) this.#outbox.send(INVALID_REQUEST)
  }

  #envelope(line: Readonly<Record<string, unknown>>, bytes: number): void {
    this.#telemetry = true
    const { collector } = this.#deps
    const taken = collector.take(line, bytes, this.#source)
    const { event } = taken
    if (event === undefined || !this.#hello?.ack || event.producer !== this.#hello.producer.id)
      return
    if (taken.state === 'pending') this.#acks.add(event.seq, taken.written)
    else if (taken.state === 'duplicate') this.#acks.add(event.seq, collector.settled())
    // Refused, or lost: both are told by number, and neither is said to be written.
    else this.#acks.reject(event.seq, collector.settled())
  }

  #greet(line: Readonly<Record<string, unknown>>, bytes: number): void {
    this.#telemetry = true
    const { spec, producer: id, ack } = line
    const { collector, maxCapture } = this.#deps
    const other = this.#hello !== undefined && this.#hello.producer.id !== id
    if (typeof spec !== 'string' || !spec.startsWith('aotp/0.')) {
      collector.reject('spec', this.#source.speaker, bytes)
      return
    }
    if (!isProducerId(id) || other) {
      collector.reject('producer', this.#source.speaker, bytes)
      return
    }
    const producer = this.#producer(id)
    this.#hello = { producer, ack: ack === true }
    const welcome = (): void =>
      this.#outbox.send({
        type: 'aot_welcome',
        spec: SPEC,
        ack: ack === true,
        last_seq: producer.written,
        max_line: MAX_LINE_BYTES,
        max_capture: maxCapture,
        pod_id: collector.pod.id,
        claim_kind: this.#source.speaker.stamp.claim_kind,
      })
    // What an earlier connection brought may still be on its way to the log.
    void collector.settled().then(welcome)
  }

  #flush(line: Readonly<Record<string, unknown>>, bytes: number): void {
    this.#telemetry = true
    const { id } = line
    const named = typeof id === 'number' || (typeof id === 'string' && id.length <= 64)
    if (!named) {
      this.#deps.collector.reject('lane', this.#source.speaker, bytes)
      return
    }
    const seq = this.#hello?.producer.sequence.highest ?? 0
    const settle = this.#acks.settler()
    this.#inTurn(async () => {
      if (!(await this.#synced())) return
      settle()
      this.#acks.flush()
      this.#outbox.send({ type: 'aot_flushed', id, seq })
    })
  }

  /** Silence is the answer while the log cannot be written: the producer keeps what it has. */
  async #synced(): Promise<boolean> {
    for (let tries = 0; tries < FLUSH_TRIES && !this.#closed; tries += 1) {
      if (await this.#deps.collector.sync()) return true
      await new Promise((resolve) => setTimeout(resolve, FLUSH_RETRY_MS))
    }
    return false
  }

  #action(type: ActionType, line: Readonly<Record<string, unknown>>): void {
    const request = { type, line, peer: this.#peer, resolution: this.#resolution }
    this.#inTurn(async () => this.#outbox.send(await this.#deps.answer(request)))
  }

  /** Answers come in the order of their requests, which carry no ids. */
  #inTurn(work: () => Promise<void>): void {
    this.#asked += 1
    this.#answers = this.#answers
      .then(work)
      .catch(() => undefined)
      .finally(() => {
        this.#asked -= 1
      })
  }

  #producer(id: string): ProducerState {
    const known = this.#producers.get(id)
    if (known !== undefined) return known
    const { collector } = this.#deps
    if (this.#producers.size >= MAX_PRODUCERS) {
      // One that is not greeted stays followed, only not by this connection.
      const [oldest] = [...this.#producers.values()].filter((one) => one !== this.#hello?.producer)
      if (oldest !== undefined) {
        this.#producers.delete(oldest.id)
        collector.leave(oldest, this.#source.speaker)
      }
    }
    const state = collector.join(this.#peer, this.#number, id)
    this.#producers.set(id, state)
    return state
  }

  /** Once the peer has said all it will say: what it is owed, then the end. */
  async #finish(): Promise<void> {
    if (this.#closed || this.#rest !== undefined || this.#held) return
    if (this.#splitter.unfinished) {
      // Cut off in the middle of a line: what there is of it may still be a whole one.
      const { line } = this.#splitter.next(NEWLINE, 0)
      if (line !== undefined) this.#line(line)
    }
    await this.#answers
    const settle = this.#acks.settler()
    // Each event's own word of it may come later than this one about all of them.
    if (await this.#deps.collector.settled()) settle()
    if (this.#closed) return
    this.#acks.flush()
    if (!this.#socket.destroyed) await this.#outbox.drained()
    this.#close()
  }

  #close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#acks.close()
    this.#outbox.close()
    for (const state of this.#producers.values())
      this.#deps.collector.leave(state, this.#source.speaker)
    this.#producers.clear()
    if (!this.#socket.destroyed) {
      this.#socket.end()
      this.#socket.destroySoon()
    }
    this.#onClosed()
  }
}

const NEWLINE = Buffer.from('\n')

const INVALID_REQUEST = {
  ok: false,
  status: 'error',
  message: 'invalid request: expected an action, or an envelope of aotp/0.1',
}

function isSame(one: Resolution, other: Resolution): boolean {
  if (one === other) return true
  if (one.kind === 'claimed') return other.kind === 'claimed' && one.claim === other.claim
  return other.kind === 'anonymous' && one.stale === other.stale
}
