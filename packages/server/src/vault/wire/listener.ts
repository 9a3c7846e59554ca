/**
 * Accepts connections for one {@link Protocol} on a Unix socket or a TCP address, within limits, and
 * drains them at shutdown. Knows nothing of methods.
 */
import { chmodSync, lstatSync, unlinkSync } from 'node:fs'
import { createConnection, createServer, type Server, type Socket } from 'node:net'
import { VestryError } from '@vestry/contract/errors'
import { newRequestId } from '@vestry/contract/ids'
import { Connection } from './connection.ts'
import type { Protocol } from './protocol.ts'
import { encodeError } from './reply.ts'
import { TurnedAway } from './turned-away.ts'
import type { WireLimits } from './wire-limits.ts'

const SWEEP_EVERY_MS = 1_000
const CLOSE_POLL_MS = 10
const STALE_PROBE_MS = 1_000
/** Linux allows 108 bytes in sun_path, the terminating NUL included; macOS 104. */
export const MAX_SOCKET_PATH_BYTES = 103

export interface AcceptLimits {
  /** In all, over every listener with the same {@link Population}. */
  readonly connections: number
  readonly perTcpSource: number
  readonly unauthenticated: number
}

/** How many connections there are, when several listeners share one total. */
export interface Population {
  size: number
}

export const DEFAULT_ACCEPT_LIMITS: AcceptLimits = {
  connections: 1_024,
  perTcpSource: 256,
  unauthenticated: 64,
}

export type Address = { socket: string; mode?: number } | { host: string; port: number }

export class Listener<State> {
  readonly #server: Server
  readonly #protocol: Protocol<State>
  readonly #wire: WireLimits
  readonly #accept: AcceptLimits
  readonly #population: Population
  readonly #now: () => number
  readonly #connections = new Set<Connection<State>>()
  readonly #turnedAway: TurnedAway
  readonly #perSource = new Map<string, number>()
  #tcp = false
  #sweeper: NodeJS.Timeout | undefined

  /** @param deps.now Milliseconds of a clock that is never set back. */
  constructor(deps: {
    protocol: Protocol<State>
    wire: WireLimits
    accept: AcceptLimits
    population?: Population
    now: () => number
  }) {
    this.#protocol = deps.protocol
    this.#wire = deps.wire
    this.#accept = deps.accept
    this.#turnedAway = new TurnedAway(deps.wire.closeLingerMs)
    this.#population = deps.population ?? { size: 0 }
    this.#now = deps.now
    this.#server = createServer(
      { allowHalfOpen: true, pauseOnConnect: false, noDelay: true },
      (socket) => this.#onConnection(socket),
    )
    // Out of descriptors, say: that peer was not accepted, and the next one may be.
    this.#server.on('error', (error) => {
      if (this.#server.listening) deps.protocol.onInternalError?.('accept', error)
    })
  }

  get connections(): ReadonlySet<Connection<State>> {
    return this.#connections
  }

  /** @returns The bound address; for `port: 0` the port that was given. */
  async listen(address: Address): Promise<{ socket: string } | { host: string; port: number }> {
    if ('socket' in address) await this.#listenUnix(address.socket, address.mode ?? 0o600)
    else {
      this.#tcp = true
      await this.#bind({ host: address.host, port: address.port })
    }
    this.#sweeper = setInterval(() => this.#sweep(), SWEEP_EVERY_MS)
    this.#sweeper.unref()
    if ('socket' in address) return { socket: address.socket }
    const bound = this.#server.address()
    if (bound === null || typeof bound === 'string') throw new VestryError('INTERNAL_ERROR')
    return { host: bound.address, port: bound.port }
  }

  /**
   * Closes in the order that keeps every client alive: no new connections, requests in flight are
   * answered (with SHUTTING_DOWN once half of `budgetMs` is spent), then FIN. A connection that still
   * waits for an answer is read on: the protocol refuses what arrives, where silence would hang a peer.
   */
  async close(budgetMs: number): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    const startedAt = this.#now()
    const refusal = shuttingDown()
    for (const connection of this.#connections) connection.drain(refusal)
    while (this.#connections.size > 0 && this.#now() < startedAt + budgetMs) {
      if (this.#now() >= startedAt + budgetMs / 2) {
        for (const connection of this.#connections) connection.failInflight(refusal)
      }
      this.#sweep()
      await new Promise((resolve) => setTimeout(resolve, CLOSE_POLL_MS))
    }
    for (const connection of this.#connections) connection.destroy()
    this.#turnedAway.close()
    clearInterval(this.#sweeper)
    await closed
  }

  #sweep(): void {
    const nowMs = this.#now()
    for (const connection of this.#connections) connection.sweep(nowMs)
    this.#turnedAway.sweep(nowMs)
  }

  #onConnection(socket: Socket): void {
    const source = this.#tcp ? socket.remoteAddress : 'unix'
    if (source === undefined) {
      socket.destroy() // gone before we got to it
      return
    }
    const refusal = this.#refusal(source)
    if (refusal !== undefined) {
      const { docsBaseUrl } = this.#protocol
      const { bytes } = encodeError(null, refusal, newRequestId(), docsBaseUrl)
      this.#turnedAway.add(socket, bytes, this.#now())
      return
    }
    if (this.#tcp) socket.setKeepAlive(true, 30_000)
    this.#perSource.set(source, (this.#perSource.get(source) ?? 0) + 1)
    const connection: Connection<State> = new Connection({
      socket,
      protocol: this.#protocol,
      limits: this.#wire,
      now: this.#now,
      onClosed: () => {
        this.#connections.delete(connection)
        this.#population.size -= 1
        const left = (this.#perSource.get(source) ?? 1) - 1
        if (left === 0) this.#perSource.delete(source)
        else this.#perSource.set(source, left)
      },
    })
    this.#connections.add(connection)
    this.#population.size += 1
  }

  #refusal(source: string): VestryError | undefined {
    const { connections, perTcpSource, unauthenticated } = this.#accept
    if (this.#population.size >= connections) return tooMany('connections', connections)
    if (this.#tcp && (this.#perSource.get(source) ?? 0) >= perTcpSource) {
      return tooMany('connections_per_source', perTcpSource)
    }
    if (this.#connections.size < unauthenticated) return undefined
    let strangers = 0
    for (const { state } of this.#connections)
      if (!this.#protocol.authenticated(state)) strangers += 1
    return strangers >= unauthenticated ? tooMany('unauthenticated', unauthenticated) : undefined
  }

  async #listenUnix(path: string, mode: number): Promise<void> {
    assertSocketPath(path)
    await removeStale(path)
    // The mask closes the moment between bind and chmod. It is process-wide: a Unix socket is bound
    // before listen() returns, so nothing else runs under it.
    const before = process.umask(0o177)
    let bound: Promise<void>
    try {
      bound = this.#bind({ path })
    } finally {
      process.umask(before)
    }
    await bound
    chmodSync(path, mode)
  }

  #bind(where: { path: string } | { host: string; port: number }): Promise<void> {
    return new Promise((resolve, reject) => {
      const failed = (cause: Error): void => {
        const place = 'path' in where ? where.path : `${where.host}:${where.port}`
        reject(
          new VestryError('CONFIG_INVALID', `cannot listen on ${place}: ${cause.message}`, {
            hint: 'Is another process using it? Choose another address',
            cause,
          }),
        )
      }
      this.#server.once('error', failed)
      this.#server.listen({ ...where, backlog: 1024 }, () => {
        this.#server.removeListener('error', failed)
        resolve()
      })
    })
  }
}

/** Removes a socket file nobody listens on. The caller holds the instance lock. */
export async function removeStale(path: string): Promise<void> {
  let kind: ReturnType<typeof lstatSync>
  try {
    kind = lstatSync(path)
  } catch {
    return
  }
  if (!kind?.isSocket()) {
    throw new VestryError('CONFIG_INVALID', `${path} exists and is not a socket`, {
      hint: 'Move the file away or choose another socket path',
    })
  }
  const outcome = await probe(path)
  if (outcome === 'answered') {
    throw new VestryError('INSTANCE_RUNNING', `another process answers on ${path}`, {
      hint: 'Stop it first, or use another --home',
    })
  }
  if (outcome !== 'ECONNREFUSED') {
    throw new VestryError('CONFIG_INVALID', `${path} exists and cannot be probed: ${outcome}`, {
      hint: 'Make sure no other process uses it, then remove the file',
    })
  }
  unlinkSync(path)
}

/** Only a refused connect proves that nobody listens: a full queue, for one, says EAGAIN. */
function probe(path: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = createConnection({ path })
    const finish = (outcome: string): void => {
      socket.destroy()
      resolve(outcome)
    }
    socket.once('connect', () => finish('answered'))
    socket.on('error', (error: NodeJS.ErrnoException) => finish(error.code ?? error.message))
    socket.setTimeout(STALE_PROBE_MS, () => finish('answered'))
  })
}

function tooMany(scope: string, limit: number): VestryError {
  return new VestryError('RATE_LIMITED', `too many connections (${scope})`, {
    hint: 'Close unused connections and try again',
    context: { scope, limit, retry_after_ms: 1_000 },
  })
}

function shuttingDown(): VestryError {
  return new VestryError('SHUTTING_DOWN', 'the daemon is shutting down', {
    hint: 'Reconnect when it is back',
  })
}

/** @throws VestryError CONFIG_INVALID for a path that no socket address can hold. */
export function assertSocketPath(path: string): void {
  if (Buffer.byteLength(path) > MAX_SOCKET_PATH_BYTES) {
    throw new VestryError(
      'CONFIG_INVALID',
      `the socket path is ${Buffer.byteLength(path)} bytes long; ${MAX_SOCKET_PATH_BYTES} are allowed: ${path}`,
      { hint: 'Choose a shorter --home' },
    )
  }
}
