/**
 * The life of one connection on a framed JSON-RPC listener (vault.md §2–4): cuts frames, runs
 * requests concurrently, answers every one of them, and closes without ever resetting a peer.
 * What a method means is the {@link Protocol}'s business.
 */
import type { Socket } from 'node:net'
import { asVestryError, VestryError } from '@vestry/contract/errors'
import { newRequestId } from '@vestry/contract/ids'
import { FrameSource } from './frame-source.ts'
import { encodeError, encodeReply, type Frame, MAX_REPLY_BYTES, type Reply } from './reply.ts'
import { parseRequest, type Request, type RequestId, salvageId } from './request.ts'

/** Times in milliseconds, sizes in bytes. */
export interface WireLimits {
  readonly maxRequestBytes: number
  readonly maxRequestBytesUnauthenticated: number
  readonly inflightPerConnection: number
  /** 0: authenticated connections may idle for ever. */
  readonly idleTimeoutMs: number
  readonly authenticateWithinMs: number
  readonly headerWithinMs: number
  readonly bodyProgressMs: number
  readonly bodyWithinMs: number
  readonly queuedReplyBytes: number
  readonly writeStallMs: number
  readonly closeLingerMs: number
}

export const DEFAULT_WIRE_LIMITS: WireLimits = {
  maxRequestBytes: 4_194_304,
  maxRequestBytesUnauthenticated: 65_536,
  inflightPerConnection: 32,
  idleTimeoutMs: 0,
  authenticateWithinMs: 10_000,
  headerWithinMs: 10_000,
  bodyProgressMs: 10_000,
  bodyWithinMs: 60_000,
  queuedReplyBytes: 8 * 1024 * 1024,
  writeStallMs: 60_000,
  closeLingerMs: 5_000,
}

/** One request in execution. */
export interface Running {
  readonly request: Request
  readonly requestId: string
  /** Epoch ms; after it the caller is answered TIMEOUT and `signal` fires. */
  readonly deadlineMs: number
  readonly signal: AbortSignal
}

/** What a listener speaks. `Peer` is the protocol's own per-connection state. */
export interface Protocol<State> {
  readonly secretMembers?: ReadonlySet<string>
  readonly docsBaseUrl?: string | undefined
  /** Told of failures nobody named; the peer only learns that there was one. */
  readonly onInternalError?: (requestId: string, error: unknown) => void
  open(connection: Connection<State>): State
  authenticated(state: State): boolean
  /** Barriers run alone: nothing later is looked at before they are answered. */
  isBarrier(method: string): boolean
  deadlineMs(request: Request): number
  /** @param emit Sends one more frame with the same id; only streaming admin methods use it. */
  handle(state: State, running: Running, emit: (reply: Reply) => Promise<void>): Promise<Reply>
  closed(state: State): void
}

type Phase = 'open' | 'closing' | 'lingering' | 'closed'

class Execution implements Running {
  readonly request: Request
  readonly requestId = newRequestId()
  readonly deadlineMs: number
  answered = false
  #abort: AbortController | undefined

  constructor(request: Request, deadlineMs: number) {
    this.request = request
    this.deadlineMs = deadlineMs
  }

  /** Made on first use: most requests never need one. */
  get signal(): AbortSignal {
    this.#abort ??= new AbortController()
    return this.#abort.signal
  }

  abort(reason: unknown): void {
    this.#abort?.abort(reason)
  }
}

export class Connection<State> {
  readonly socket: Socket
  readonly #protocol: Protocol<State>
  readonly #limits: WireLimits
  readonly #now: () => number
  readonly #onClosed: () => void
  readonly #source = new FrameSource()
  readonly #running = new Set<Execution>()
  /** Requests that share an id run one after the other. */
  readonly #lastWithId = new Map<RequestId, Promise<void>>()
  readonly #outbox: Frame[] = []
  readonly state: State
  #phase: Phase = 'open'
  #barrier = false
  #paused = false
  #peerEnded = false
  #flushScheduled = false
  #openedAt: number
  #frameStartedAt = 0
  #progressAt = 0
  #activeAt: number
  #writeStalledSince = 0
  #lingerUntil = 0

  constructor(deps: {
    socket: Socket
    protocol: Protocol<State>
    limits: WireLimits
    now: () => number
    onClosed: () => void
  }) {
    this.socket = deps.socket
    this.#protocol = deps.protocol
    this.#limits = deps.limits
    this.#now = deps.now
    this.#onClosed = deps.onClosed
    this.#openedAt = deps.now()
    this.#activeAt = this.#openedAt
    this.state = deps.protocol.open(this)
    this.socket.on('data', (chunk: Buffer) => this.#onData(chunk))
    this.socket.on('end', () => this.#onPeerEnd())
    this.socket.on('error', () => this.socket.destroy())
    this.socket.on('close', () => this.#onClose())
  }

  get inflight(): number {
    return this.#running.size
  }

  get closed(): boolean {
    return this.#phase === 'closed'
  }

  /**
   * Ends the connection in the only way old clients survive: no new frames, every request in
   * flight answered, everything flushed, FIN, then the peer's own close is awaited for a while.
   */
  closeGracefully(): void {
    if (this.#phase !== 'open') return
    this.#phase = 'closing'
    this.socket.resume() // keep reading and discarding, or the peer's unread bytes become a reset
    this.#finishIfIdle()
  }

  /** Answers what is still running with `error`, so that the close that follows can be prompt. */
  failInflight(error: VestryError): void {
    for (const execution of this.#running) {
      this.#answerError(execution, error)
      execution.abort(error)
    }
  }

  destroy(): void {
    this.socket.destroy()
  }

  /** Bounds every wait of this connection; called about once a second instead of using timers. */
  sweep(nowMs: number): void {
    const limits = this.#limits
    if (this.#phase === 'lingering') {
      if (nowMs >= this.#lingerUntil) this.socket.destroy()
      return
    }
    for (const execution of this.#running) {
      if (nowMs < execution.deadlineMs || execution.answered) continue
      const error = new VestryError('TIMEOUT', `'${execution.request.method}' took too long`, {
        hint: 'Try again; if it persists ask the operator to look at the daemon',
      })
      this.#answerError(execution, error)
      execution.abort(error)
    }
    if (this.socket.writableLength > 0) {
      if (this.#writeStalledSince === 0) this.#writeStalledSince = nowMs
      if (nowMs - this.#writeStalledSince >= limits.writeStallMs) this.socket.destroy()
    }
    if (this.#phase !== 'open') return
    const authenticated = this.#protocol.authenticated(this.state)
    if (!authenticated && nowMs - this.#openedAt >= limits.authenticateWithinMs) {
      if (!this.#barrier) this.closeGracefully()
      return
    }
    if (authenticated) this.#openedAt = nowMs // a lost session gets the same grace to renew itself
    const position = this.#paused ? 'between' : this.#source.position
    if (position === 'header' && nowMs - this.#frameStartedAt >= limits.headerWithinMs) {
      this.closeGracefully()
    } else if (position === 'body') {
      const stalled = nowMs - this.#progressAt >= limits.bodyProgressMs
      if (stalled || nowMs - this.#frameStartedAt >= limits.bodyWithinMs) this.closeGracefully()
    } else if (limits.idleTimeoutMs > 0 && this.#running.size === 0) {
      if (nowMs - this.#activeAt >= limits.idleTimeoutMs) this.closeGracefully()
    }
  }

  #onData(chunk: Buffer): void {
    if (this.#phase !== 'open') return
    const nowMs = this.#now()
    if (this.#source.position === 'between') this.#frameStartedAt = nowMs
    this.#progressAt = nowMs
    this.#activeAt = nowMs
    this.#source.push(chunk)
    this.#pump()
  }

  /** Starts every request that may start now. */
  #pump(): void {
    while (this.#phase === 'open' && !this.#mustWait()) {
      const authenticated = this.#protocol.authenticated(this.state)
      const limit = authenticated
        ? this.#limits.maxRequestBytes
        : this.#limits.maxRequestBytesUnauthenticated
      const cut = this.#source.next(limit, authenticated)
      switch (cut.kind) {
        case 'wait':
          this.#setPaused(false)
          return
        case 'frame':
          this.#frameStartedAt = this.#progressAt
          this.#onFrame(cut.body)
          break
        case 'empty':
          this.#refuse(null, new VestryError('INVALID_REQUEST', 'the frame is empty'))
          break
        case 'oversize':
          this.#refuse(salvageId(cut.head), tooLarge(cut.size, limit))
          break
        case 'lost':
          this.#refuse(null, tooLarge(cut.size, limit))
          this.closeGracefully()
          return
        case 'alien':
          this.closeGracefully()
          return
        default:
          cut satisfies never
      }
    }
    if (this.#phase === 'open') this.#setPaused(true)
  }

  #mustWait(): boolean {
    return (
      this.#barrier ||
      this.#running.size >= this.#limits.inflightPerConnection ||
      this.socket.writableLength > this.#limits.queuedReplyBytes
    )
  }

  #setPaused(paused: boolean): void {
    if (paused === this.#paused) return
    this.#paused = paused
    if (paused) this.socket.pause()
    else this.socket.resume()
  }

  #onFrame(body: Buffer): void {
    const parsed = parseRequest(body, this.#protocol.secretMembers)
    if (!parsed.ok) {
      this.#refuse(parsed.id, parsed.error)
      return
    }
    const { request } = parsed
    const execution = new Execution(request, this.#now() + this.#protocol.deadlineMs(request))
    this.#running.add(execution)
    const before = this.#lastWithId.get(request.id)
    const barrier = this.#protocol.isBarrier(request.method)
    if (barrier) this.#barrier = true
    const run =
      before === undefined ? this.#execute(execution) : before.then(() => this.#execute(execution))
    const settled = run.finally(() => {
      if (barrier) this.#barrier = false
      this.#running.delete(execution)
      if (this.#lastWithId.get(request.id) === settled) this.#lastWithId.delete(request.id)
      for (const secret of request.secrets.values()) secret[Symbol.dispose]()
      if (this.#phase === 'open') this.#pump()
      else this.#finishIfIdle()
    })
    this.#lastWithId.set(request.id, settled)
  }

  async #execute(execution: Execution): Promise<void> {
    const emit = async (reply: Reply): Promise<void> => {
      if (!execution.answered) this.#sendReply(execution, reply)
      await this.#drained()
    }
    try {
      const reply = await this.#protocol.handle(this.state, execution, emit)
      try {
        if (!execution.answered) this.#sendReply(execution, reply)
        execution.answered = true
      } finally {
        reply.release?.()
      }
    } catch (error) {
      this.#answerError(execution, error)
    }
  }

  #sendReply(execution: Execution, reply: Reply): void {
    const { request } = execution
    const frame = encodeReply(request.id, reply, request.jsonrpc)
    if (frame !== undefined) {
      this.#send(frame)
      return
    }
    throw new VestryError(
      'RESPONSE_TOO_LARGE',
      `the answer would exceed the frame limit of ${MAX_REPLY_BYTES} bytes`,
      { hint: 'Ask for less: a smaller max_response_bytes, a prefix, or a limit' },
    )
  }

  #answerError(execution: Execution, error: unknown): void {
    if (execution.answered) return
    execution.answered = true
    const { request, requestId } = execution
    const known = asVestryError(error)
    if (known.code === 'INTERNAL_ERROR')
      this.#protocol.onInternalError?.(requestId, known.cause ?? known)
    this.#send(
      encodeError(request.id, known, requestId, this.#protocol.docsBaseUrl, request.jsonrpc),
    )
  }

  #refuse(id: RequestId | null, error: VestryError): void {
    this.#send(encodeError(id, error, newRequestId(), this.#protocol.docsBaseUrl))
  }

  /** Frames of one tick leave in one write. */
  #send(frame: Frame): void {
    if (this.#phase === 'closed' || this.#phase === 'lingering' || this.socket.destroyed) {
      if (frame.secret) frame.bytes.fill(0)
      return
    }
    this.#outbox.push(frame)
    if (this.#flushScheduled) return
    this.#flushScheduled = true
    process.nextTick(() => this.#flush())
  }

  #flush(): void {
    this.#flushScheduled = false
    const frames = this.#outbox.splice(0)
    if (frames.length === 0) return
    const sent = (): void => {
      this.#writeStalledSince = 0
      if (this.#phase === 'open' && this.#paused && !this.#mustWait()) this.#pump()
    }
    if (frames.length === 1) {
      const [{ bytes, secret }] = frames as [Frame]
      this.socket.write(bytes, () => {
        if (secret) bytes.fill(0)
        sent()
      })
      return
    }
    this.socket.cork()
    frames.forEach(({ bytes, secret }, index) => {
      const last = index === frames.length - 1
      if (!secret && !last) this.socket.write(bytes)
      else {
        this.socket.write(bytes, () => {
          if (secret) bytes.fill(0)
          if (last) sent()
        })
      }
    })
    this.socket.uncork()
  }

  /** Resolves when the peer has taken what was sent so far; streaming methods wait for it. */
  async #drained(): Promise<void> {
    if (this.#flushScheduled) this.#flush()
    if (this.socket.writableLength < this.#limits.queuedReplyBytes) return
    await new Promise<void>((resolve) => {
      this.socket.once('drain', resolve)
      this.socket.once('close', resolve)
    })
  }

  #onPeerEnd(): void {
    this.#peerEnded = true
    this.closeGracefully()
  }

  #finishIfIdle(): void {
    if (this.#phase !== 'closing' || this.#running.size > 0) return
    if (this.#flushScheduled) this.#flush()
    this.#phase = 'lingering'
    this.#lingerUntil = this.#now() + this.#limits.closeLingerMs
    this.socket.end(() => {
      if (this.#peerEnded) this.socket.destroy()
    })
    this.socket.resume()
  }

  #onClose(): void {
    if (this.#phase === 'closed') return
    this.#phase = 'closed'
    const gone = new VestryError('CONNECTION_CLOSED', 'the peer went away')
    for (const execution of this.#running) {
      execution.answered = true
      execution.abort(gone)
    }
    for (const { bytes, secret } of this.#outbox.splice(0)) if (secret) bytes.fill(0)
    this.#protocol.closed(this.state)
    this.#onClosed()
  }
}

function tooLarge(size: number, limit: number): VestryError {
  return new VestryError(
    'REQUEST_TOO_LARGE',
    `the frame announces ${size} bytes; ${limit} are allowed`,
    {
      hint: 'Send smaller requests; before authentication the limit is lower',
      context: { size, limit },
    },
  )
}
