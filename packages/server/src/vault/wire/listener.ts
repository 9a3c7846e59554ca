/**
 * Accepts connections for one {@link Protocol} on a Unix socket or a TCP address, within limits, and
 * drains them at shutdown. Knows nothing of methods.
 */
import { createServer, type Server, type Socket } from 'node:net'
import { VestryError } from '@vestry/contract/errors'
import { newRequestId } from '@vestry/contract/ids'
import { listenOnSocket } from '../../http/listen-on-socket.ts'
import { Connection } from './connection.ts'
import type { Protocol } from './protocol.ts'
import { encodeError } from './reply.ts'
import { TurnedAway } from './turned-away.ts'
import type { WireLimits } from './wire-limits.ts'

const SWEEP_EVERY_MS = 1_000
const CLOSE_POLL_MS = 10

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
    if ('socket' in address)
      await listenOnSocket(this.#server, address.socket, address.mode ?? 0o600)
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

  #bind(where: { host: string; port: number }): Promise<void> {
    return new Promise((resolve, reject) => {
      const failed = (cause: Error): void => {
        const place = `${where.host}:${where.port}`
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
