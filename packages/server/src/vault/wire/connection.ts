/**
 * The life of one connection on a framed JSON-RPC listener (wire contract §2–4): cuts frames, runs
 * requests concurrently, answers every one of them, and closes without ever resetting a peer.
 * What a method means is the {@link Protocol}'s business.
 */
import type { Socket } from 'node:net'
import { asVestryError, VestryError } from '@vestry/contract/errors'
import { newRequestId } from '@vestry/contract/ids'
import { Execution } from './execution.ts'
import { type Cut, FrameSource } from './frame-source.ts'
import { Outbox } from './outbox.ts'
import type { Protocol } from './protocol.ts'
import { encodeError, encodeReply, MAX_REPLY_BYTES, type Reply } from './reply.ts'
import { parseRequest, type RequestId, salvageId } from './request.ts'
import { Turns } from './turns.ts'
import type { WireLimits } from './wire-limits.ts'

/**
 * `draining`: what still arrives is refused by name. `closing`: it is discarded. Both last until
 * every request was answered and every answer left; then comes FIN, and `lingering`, which reads on
 * until the peer closes too, because closing on unread bytes would be a reset.
 */
type Phase = 'open' | 'draining' | 'closing' | 'lingering' | 'closed'

export class Connection<State> {
  readonly socket: Socket
  readonly state: State
  readonly #protocol: Protocol<State>
  readonly #limits: WireLimits
  readonly #now: () => number
  readonly #onClosed: () => void
  readonly #source = new FrameSource()
  readonly #outbox: Outbox
  readonly #turns = new Turns<Execution>((execution) => this.#start(execution))
  /** Bytes of the requests that have not been answered. */
  #inflightBytes = 0
  #phase: Phase = 'open'
  /** What a draining connection answers. */
  #refusal: VestryError | undefined
  #paused = false
  #peerEnded = false
  readonly #openedAt: number
  /** When the first byte of the frame being received came, and when its latest. */
  #frameStartedAt: number
  #progressAt: number
  #activeAt: number
  #lingerUntil = 0

  /** @param deps.now Milliseconds of a clock that is never set back. */
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
    this.#frameStartedAt = this.#openedAt
    this.#progressAt = this.#openedAt
    this.#activeAt = this.#openedAt
    this.#outbox = new Outbox(deps.socket, () => this.#proceed())
    this.state = deps.protocol.open(this)
    this.socket.on('data', (chunk: Buffer) => this.#onData(chunk))
    this.socket.on('end', () => this.#onPeerEnd())
    this.socket.on('error', () => this.socket.destroy())
    this.socket.on('close', () => this.#onClose())
  }

  /** Requests not answered yet. */
  get inflight(): number {
    return this.#turns.size
  }

  get #authenticated(): boolean {
    return this.#protocol.authenticated(this.state)
  }

  /** Stops reading, answers what is in flight, then ends the connection. */
  closeGracefully(): void {
    if (this.#phase !== 'open' && this.#phase !== 'draining') return
    this.#phase = 'closing'
    this.socket.resume()
    this.#endEndless(this.#refusal ?? gone())
    this.#proceed()
  }

  /** Like {@link closeGracefully}, but whatever arrives until the end is answered with `refusal`. */
  drain(refusal: VestryError): void {
    if (this.#phase !== 'open') return
    this.#phase = 'draining'
    this.#refusal = refusal
    this.#endEndless(refusal)
    this.#proceed()
  }

  /** Whoever leaves or drains does not wait for what would never end. */
  #endEndless(error: VestryError): void {
    for (const execution of this.#turns.all()) {
      if (this.#protocol.isEndless?.(execution.request) === true) this.#abandon(execution, error)
    }
  }

  /** Answers what is still running with `error`, so that the end can come. */
  failInflight(error: VestryError): void {
    // Backwards, so that none starts because the one before it was answered.
    for (const execution of [...this.#turns.all()].reverse()) this.#abandon(execution, error)
  }

  destroy(): void {
    this.socket.destroy()
  }

  /** Bounds every wait of this connection; called about once a second instead of using timers. */
  sweep(nowMs: number): void {
    if (this.#phase === 'lingering') {
      if (nowMs >= this.#lingerUntil) this.socket.destroy()
      return
    }
    for (const execution of this.#turns.all()) {
      if (nowMs >= execution.deadlineMs) this.#abandon(execution, timedOut(execution))
    }
    // A stranger that does not read its answers must not keep its place by that.
    const patience = this.#authenticated ? this.#limits.writeStallMs : this.#limits.closeLingerMs
    if (this.#outbox.stalledMs(nowMs) >= patience) this.socket.destroy()
    if (this.#phase === 'open' && this.#overdue(nowMs)) this.closeGracefully()
  }

  #overdue(nowMs: number): boolean {
    const limits = this.#limits
    if (!this.#authenticated) {
      // A login that is being looked at gets its answer first.
      return !this.#turns.held && nowMs - this.#openedAt >= limits.authenticateWithinMs
    }
    switch (this.#paused ? 'between' : this.#source.position) {
      case 'header':
        return nowMs - this.#frameStartedAt >= limits.headerWithinMs
      case 'body':
        return (
          nowMs - this.#progressAt >= limits.bodyProgressMs ||
          nowMs - this.#frameStartedAt >= limits.bodyWithinMs
        )
      case 'between':
        return (
          limits.idleTimeoutMs > 0 &&
          this.#turns.size === 0 &&
          nowMs - this.#activeAt >= limits.idleTimeoutMs
        )
    }
  }

  #onData(chunk: Buffer): void {
    if (this.#phase !== 'open' && this.#phase !== 'draining') return
    const nowMs = this.#now()
    if (this.#source.position === 'between') this.#frameStartedAt = nowMs
    this.#progressAt = nowMs
    this.#activeAt = nowMs
    this.#source.push(chunk)
    this.#pump()
  }

  /** Takes up every frame that may be taken up now. */
  #pump(): void {
    while (this.#phase === 'open' || this.#phase === 'draining') {
      if (this.#mustWait()) {
        this.#setPaused(true)
        return
      }
      const limit = this.#authenticated
        ? this.#limits.maxRequestBytes
        : this.#limits.maxRequestBytesUnauthenticated
      const cut = this.#source.next(limit, this.#authenticated)
      if (cut.kind === 'wait') {
        this.#setPaused(false)
        // Nothing more will come, and what came was taken up.
        if (this.#peerEnded) this.closeGracefully()
        return
      }
      this.#frameStartedAt = this.#progressAt
      this.#onCut(cut, limit)
    }
  }

  #onCut(cut: Exclude<Cut, { kind: 'wait' }>, limit: number): void {
    switch (cut.kind) {
      case 'frame':
        this.#onFrame(cut.body)
        return
      case 'empty':
        this.#refuse(null, new VestryError('INVALID_REQUEST', 'the frame is empty'))
        return
      case 'oversize':
        this.#refuse(salvageId(cut.head), tooLarge(cut.size, limit))
        return
      case 'lost':
        this.#refuse(null, tooLarge(cut.size, limit))
        this.closeGracefully()
        return
      case 'alien':
        this.closeGracefully()
    }
  }

  #mustWait(): boolean {
    const limits = this.#limits
    const queue = this.#authenticated
      ? limits.queuedReplyBytes
      : limits.queuedReplyBytesUnauthenticated
    if (this.#outbox.bytes > queue) return true
    if (this.#phase === 'draining') return false
    return (
      this.#turns.held ||
      this.#turns.size >= limits.inflightPerConnection ||
      this.#inflightBytes >= limits.inflightBytes
    )
  }

  #setPaused(paused: boolean): void {
    if (paused === this.#paused) return
    this.#paused = paused
    if (paused) {
      this.socket.pause()
      return
    }
    // The peer could not get on while we did not read.
    this.#frameStartedAt = this.#now()
    this.#progressAt = this.#frameStartedAt
    this.socket.resume()
  }

  #onFrame(body: Buffer): void {
    const parsed = parseRequest(body, this.#protocol.secretMembers)
    if (!parsed.ok) {
      this.#refuse(parsed.id, parsed.error, parsed.jsonrpc)
      return
    }
    const { request } = parsed
    if (this.#refusal !== undefined) {
      for (const secret of request.secrets.values()) secret[Symbol.dispose]()
      this.#refuse(request.id, this.#refusal, request.jsonrpc)
      return
    }
    const barrier = this.#protocol.isBarrier(request.method)
    const execution = new Execution(request, body.length, barrier)
    this.#inflightBytes += execution.size
    this.#turns.enter(execution)
  }

  #start(execution: Execution): void {
    execution.deadlineMs = this.#now() + this.#protocol.deadlineMs(execution.request)
    void this.#execute(execution)
  }

  async #execute(execution: Execution): Promise<void> {
    const emit = async (reply: Reply): Promise<void> => {
      if (!execution.answered) this.#send(execution, reply)
      await this.#outbox.below(this.#limits.queuedReplyBytes)
    }
    try {
      const reply = await this.#protocol.handle(this.state, execution, emit)
      try {
        if (!execution.answered) {
          this.#send(execution, reply)
          this.#settle(execution)
        }
      } finally {
        reply.release?.()
      }
    } catch (error) {
      this.#answerError(execution, error)
    } finally {
      execution[Symbol.dispose]()
    }
  }

  #send({ request }: Execution, reply: Reply): void {
    const frame = encodeReply(request.id, reply, request.jsonrpc)
    if (frame === undefined) {
      throw new VestryError(
        'RESPONSE_TOO_LARGE',
        `the answer would exceed the frame limit of ${MAX_REPLY_BYTES} bytes`,
        { hint: 'Ask for less: a smaller max_response_bytes, a prefix, or a limit' },
      )
    }
    this.#outbox.push(frame)
  }

  #answerError(execution: Execution, error: unknown): void {
    if (execution.answered) return
    const { request, requestId } = execution
    const known = asVestryError(error)
    if (known.code === 'INTERNAL_ERROR')
      this.#protocol.onInternalError?.(requestId, known.cause ?? known)
    this.#outbox.push(
      encodeError(request.id, known, requestId, this.#protocol.docsBaseUrl, request.jsonrpc),
    )
    this.#settle(execution)
  }

  /** Answers for a handler that does not; what it still comes up with is dropped. */
  #abandon(execution: Execution, error: VestryError): void {
    this.#answerError(execution, error)
    drop(execution, error)
  }

  /** The request was answered: its place is free for others. */
  #settle(execution: Execution): void {
    execution.answered = true
    this.#activeAt = this.#now()
    this.#inflightBytes -= execution.size
    this.#turns.leave(execution)
    this.#proceed()
  }

  #refuse(id: RequestId | null, error: VestryError, jsonrpc = false): void {
    this.#outbox.push(encodeError(id, error, newRequestId(), this.#protocol.docsBaseUrl, jsonrpc))
  }

  /** Something was answered or has left: reads on, or takes the next step towards the end. */
  #proceed(): void {
    this.#pump()
    if (this.#phase !== 'draining' && this.#phase !== 'closing') return
    if (this.#turns.size > 0 || this.#outbox.bytes > 0) return
    this.#phase = 'lingering'
    this.#lingerUntil = this.#now() + this.#limits.closeLingerMs
    this.socket.resume()
    this.socket.end(() => {
      if (this.#peerEnded) this.socket.destroy()
    })
  }

  #onPeerEnd(): void {
    this.#peerEnded = true
    this.#endEndless(gone())
    this.#pump()
  }

  #onClose(): void {
    if (this.#phase === 'closed') return
    this.#phase = 'closed'
    const lost = gone()
    for (const execution of this.#turns.all()) {
      execution.answered = true
      drop(execution, lost)
    }
    this.#outbox.close()
    this.#protocol.closed(this.state)
    this.#onClosed()
  }
}

function drop(execution: Execution, reason: VestryError): void {
  execution.abort(reason)
  // One that never started has nobody else to let go of its secrets.
  if (!execution.started) execution[Symbol.dispose]()
}

function timedOut({ request }: Execution): VestryError {
  return new VestryError('TIMEOUT', `'${request.method}' took too long`, {
    hint: 'Try again; if it persists ask the operator to look at the daemon',
  })
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

function gone(): VestryError {
  return new VestryError('CONNECTION_CLOSED', 'the peer went away')
}
