/**
 * One socket's life with a vault daemon: calls out, replies matched by id, everything pending rejected
 * when the socket goes. Knows nothing of sessions; a lost connection is never dialled again here.
 */
import { connect, type Socket } from 'node:net'
import { type Authentication, authenticate, type SessionInfo } from './authenticate.ts'
import { VaultError } from './errors.ts'
import { decodeBody, encodeFrame, FrameReader, MAX_FRAME_BYTES, type Message } from './frame.ts'
import { type Signer, signerFromSeed } from './signer.ts'
import { type Endpoint, endpointName, endpointOf, type Target } from './target.ts'
import { after, within } from './wait.ts'
import { errorFromWire, vaultError } from './wire-error.ts'

export interface OpenOptions {
  /** Milliseconds until the socket must be connected. Default 5 000. */
  timeoutMs?: number | undefined
  signal?: AbortSignal | undefined
  /** Largest frame in either direction, bytes. Default 4 194 304. */
  maxFrameBytes?: number | undefined
}

export interface CallOptions {
  /** Milliseconds of silence before the call is given up. Default 35 000; `Infinity` for a tail. */
  timeoutMs?: number | undefined
  /** Gives the call up with the signal's own reason. */
  signal?: AbortSignal | undefined
  /** Gets every result that says `more: true`; the call resolves with the last one. */
  onMore?: ((result: Message) => void) | undefined
  /** Gets the result that arrives after the call was given up; what it throws is dropped. */
  onLate?: ((result: Message) => void) | undefined
}

interface Pending {
  method: string
  resolve(result: Message): void
  reject(error: unknown): void
  onMore: CallOptions['onMore']
  /** Restarts the silence timer. */
  rearm(): void
}

export const DEFAULT_CONNECT_TIMEOUT_MS = 5_000
export const DEFAULT_CALL_TIMEOUT_MS = 35_000
const KEEP_ALIVE_MS = 30_000
const CLOSE_GRACE_MS = 1_000
/** Calls given up whose late reply still matters. The oldest is forgotten first. */
const MOST_ABANDONED = 1_024

export class RpcConnection {
  readonly endpoint: Endpoint
  readonly #socket: Socket
  readonly #reader: FrameReader
  readonly #maxFrameBytes: number
  readonly #pending = new Map<number, Pending>()
  readonly #abandoned = new Map<number, (result: Message) => void>()
  readonly #listeners = new Set<(error: VaultError) => void>()
  #lastId = 0
  /** Why the connection ended; undefined while it is open. */
  #ended: VaultError | undefined

  private constructor(endpoint: Endpoint, socket: Socket, maxFrameBytes: number) {
    this.endpoint = endpoint
    this.#socket = socket
    this.#maxFrameBytes = maxFrameBytes
    this.#reader = new FrameReader({ maxBytes: maxFrameBytes })
    // For the socket's whole life: an 'error' event without a listener would end the process.
    socket.on('error', (cause: Error) => this.#end(this.#lost(cause)))
    socket.on('end', () => this.#end(this.#lost()))
    socket.on('close', () => this.#end(this.#lost()))
    socket.on('data', (chunk: Buffer) => this.#receive(chunk))
  }

  /**
   * Connects a socket. No request is sent yet.
   *
   * @throws VaultError `INVALID_PARAMS` for a malformed target, `DAEMON_UNREACHABLE` when nothing
   *   accepts within the time; the signal's own reason when it aborts.
   */
  static async open(target: Target, options: OpenOptions = {}): Promise<RpcConnection> {
    const endpoint = endpointOf(target)
    const timeoutMs = options.timeoutMs ?? DEFAULT_CONNECT_TIMEOUT_MS
    options.signal?.throwIfAborted()
    const socket =
      endpoint.kind === 'unix'
        ? connect({ path: endpoint.path })
        : connect({ host: endpoint.host, port: endpoint.port })
    const connection = new RpcConnection(endpoint, socket, options.maxFrameBytes ?? MAX_FRAME_BYTES)
    const connected = new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve)
      connection.onEnd((error) => reject(unreachable(endpoint, error.cause)))
    })
    try {
      await within(connected, {
        ms: timeoutMs,
        signal: options.signal,
        late: () => unreachable(endpoint, undefined, `did not accept within ${timeoutMs} ms`),
      })
    } catch (error) {
      connection.destroy()
      throw error
    }
    socket.setNoDelay(true)
    socket.setKeepAlive(true, KEEP_ALIVE_MS)
    return connection
  }

  get isOpen(): boolean {
    return this.#ended === undefined
  }

  /** Runs `listener` once, when the connection ends for any reason; at once if it has. */
  onEnd(listener: (error: VaultError) => void): void {
    if (this.#ended) listener(this.#ended)
    else this.#listeners.add(listener)
  }

  /**
   * Sends one request and waits for its reply.
   *
   * @returns The reply's `result`.
   * @throws VaultError as the daemon answered; `TIMEOUT`; `CONNECTION_CLOSED` with
   *   `context.maybe_executed` telling whether the request was on its way; `REQUEST_TOO_LARGE` and
   *   `INVALID_PARAMS` before anything was sent; the signal's own reason when it aborts.
   */
  async call(method: string, params: Message = {}, options: CallOptions = {}): Promise<Message> {
    options.signal?.throwIfAborted()
    if (this.#ended) throw this.#notSent(method)
    const id = this.#lastId + 1
    const frame = encodeFrame({ id, method, params }, this.#maxFrameBytes)
    this.#lastId = id
    const { timeoutMs = DEFAULT_CALL_TIMEOUT_MS, signal, onMore, onLate } = options

    return new Promise<Message>((resolve, reject) => {
      const late = (): void => giveUp(timedOut(method, timeoutMs))
      let stopTimer = after(timeoutMs, late)
      const aborted = (): void => giveUp(signal?.reason)
      signal?.addEventListener('abort', aborted, { once: true })

      const settled = (): void => {
        stopTimer()
        signal?.removeEventListener('abort', aborted)
        this.#pending.delete(id)
      }
      const giveUp = (reason: unknown): void => {
        settled()
        if (onLate) this.#remember(id, onLate)
        reject(reason)
      }
      this.#pending.set(id, {
        method,
        onMore,
        resolve: (result) => {
          settled()
          resolve(result)
        },
        reject: (error) => {
          settled()
          reject(error)
        },
        rearm: () => {
          stopTimer()
          stopTimer = after(timeoutMs, late)
        },
      })
      this.#socket.write(frame)
    })
  }

  /**
   * Proves an identity on this connection with a seed (32 bytes) or a signer.
   *
   * @throws AuthError when the proof is refused, or the daemon fails to prove itself to a pin.
   */
  async authenticate(
    name: string,
    key: Uint8Array | Signer,
    options: Omit<Authentication, 'name' | 'signer'> = {},
  ): Promise<SessionInfo> {
    const signer = typeof key === 'function' ? key : signerFromSeed(key)
    return authenticate(this, endpointName(this.endpoint), { ...options, name, signer })
  }

  /** Rejects what is pending and keeps the socket: late replies still reach their `onLate`. */
  abandonCalls(error: VaultError): void {
    for (const call of [...this.#pending.values()]) call.reject(error)
  }

  /** Ends the connection in good order: what was written is flushed, then the socket goes. */
  async close(): Promise<void> {
    this.#end(closedHere())
    if (this.#socket.destroyed) return
    const gone = new Promise<void>((resolve) => this.#socket.once('close', () => resolve()))
    this.#socket.end()
    await within(gone, { ms: CLOSE_GRACE_MS, late: () => closedHere() }).catch(() => {})
    this.#socket.destroy()
  }

  /** Ends the connection at once. */
  destroy(error: VaultError = closedHere()): void {
    this.#end(error)
    this.#socket.destroy()
  }

  #receive(chunk: Buffer): void {
    if (this.#ended) return
    try {
      this.#reader.push(chunk)
      for (let body = this.#reader.next(); body; body = this.#reader.next()) {
        const message = decodeBody(body)
        body.fill(0) // a reply may hold a secret
        this.#deliver(message)
      }
    } catch (error) {
      // The stream is out of step or not ours: no later byte can be trusted.
      this.destroy(error instanceof VaultError ? error : undefined)
    }
  }

  #deliver({ id, error, result }: Message): void {
    const failed = error !== undefined && error !== null
    const call = typeof id === 'number' ? this.#pending.get(id) : undefined
    if (id === null && failed) {
      // The daemon could not tell which request it means, so every one of them may be it.
      this.destroy(errorFromWire(error))
    } else if (!call) {
      this.#deliverLate(id, result)
    } else if (failed) {
      call.reject(errorFromWire(error))
    } else if (!isMessage(result)) {
      const detail = `The daemon's reply to ${call.method} has neither a result nor an error`
      call.reject(vaultError('INTERNAL_ERROR', detail))
    } else if (result['more'] === true && call.onMore) {
      call.rearm()
      deliverMore(call, call.onMore, result)
    } else {
      call.resolve(result)
    }
  }

  #deliverLate(id: unknown, result: unknown): void {
    if (typeof id !== 'number') return
    const onLate = this.#abandoned.get(id)
    this.#abandoned.delete(id)
    if (onLate && isMessage(result)) quietly(() => onLate(result))
  }

  #remember(id: number, onLate: (result: Message) => void): void {
    this.#abandoned.set(id, onLate)
    if (this.#abandoned.size <= MOST_ABANDONED) return
    for (const oldest of this.#abandoned.keys()) {
      this.#abandoned.delete(oldest)
      break
    }
  }

  #end(error: VaultError): void {
    if (this.#ended) return
    this.#ended = error
    const pending = [...this.#pending.values()]
    for (const call of pending) call.reject(interrupted(call.method, error))
    this.#abandoned.clear()
    for (const listener of this.#listeners) quietly(() => listener(error))
    this.#listeners.clear()
    if (!this.#socket.writableEnded) this.#socket.end()
  }

  #lost(cause?: Error): VaultError {
    const where = this.#reader.midFrame ? ' in the middle of a frame' : ''
    const options = cause === undefined ? {} : { cause }
    return vaultError('CONNECTION_CLOSED', `The connection to the vault ended${where}`, options)
  }

  #notSent(method: string): VaultError {
    return vaultError('CONNECTION_CLOSED', `The connection ended before ${method} was sent`, {
      suggestion: 'Connect again.',
      context: { method, maybe_executed: false },
      cause: this.#ended,
    })
  }
}

/** Nobody waits for these handlers, so what they throw has nowhere to go; the connection goes on. */
function quietly(run: () => void): void {
  try {
    run()
  } catch {}
}

/** An error that the caller's own handler throws ends the caller's call, not the connection. */
function deliverMore(call: Pending, onMore: (result: Message) => void, result: Message): void {
  try {
    onMore(result)
  } catch (thrown) {
    call.reject(thrown)
  }
}

/** A loss says whether the request may have been executed; what the daemon itself said stays as is. */
function interrupted(method: string, error: VaultError): VaultError {
  if (error.code !== 'CONNECTION_CLOSED') return error
  return vaultError('CONNECTION_CLOSED', `${error.detail}, before the reply to ${method}`, {
    suggestion: 'Check whether the call took effect before you repeat it.',
    context: { method, maybe_executed: true },
    ...(error.cause === undefined ? {} : { cause: error.cause }),
  })
}

function timedOut(method: string, timeoutMs: number): VaultError {
  return vaultError('TIMEOUT', `No reply to ${method} within ${timeoutMs} ms`, {
    suggestion: 'Check whether the call took effect before you repeat it, or allow more time.',
    context: { method, timeout_ms: timeoutMs, maybe_executed: true },
  })
}

function closedHere(): VaultError {
  return vaultError('CONNECTION_CLOSED', 'The connection was closed by this side')
}

function unreachable(endpoint: Endpoint, cause: unknown, fault?: string): VaultError {
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'closed'
  const detail = `Nothing answers at ${endpointName(endpoint)} (${fault ?? code})`
  return vaultError('DAEMON_UNREACHABLE', detail, {
    suggestion: 'Start the daemon with `vestry up`, or check the socket path or host and port.',
    cause,
  })
}

function isMessage(value: unknown): value is Message {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
