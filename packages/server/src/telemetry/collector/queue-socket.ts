/** The queue socket: accepts producers and action clients at one or more places, within limits, and drains them. */
import { createServer, type Server, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { listenOnSocket } from '../../http/listen-on-socket.ts'
import type { ProcessPeer, UnknownPeer } from '../../identity/claims/resolution.ts'
import { Connection, type ConnectionDeps } from './connection.ts'

const POLL_MS = 10
/** What had been sent when the daemon was told to stop has arrived when nothing did for so long. */
const QUIET_MS = 50
/** Some never stop sending; they keep what is not acknowledged. */
const PATIENCE_MS = 500

export interface QueueSocketDeps extends ConnectionDeps {
  /** Asked once, before any byte is looked at. */
  readonly peer: (socket: Socket) => ProcessPeer | UnknownPeer
  /** At once, in all places together. */
  readonly maxConnections: number
  /** A connection was turned away. */
  readonly onRefused: () => void
}

export class QueueSocket {
  readonly #deps: QueueSocketDeps
  readonly #servers: Server[] = []
  readonly #connections = new Set<Connection>()
  readonly #perProcess = new Map<number, number>()
  #number = 0
  #acceptedAtMs = Number.NEGATIVE_INFINITY

  constructor(deps: QueueSocketDeps) {
    this.#deps = deps
  }

  get connections(): number {
    return this.#connections.size
  }

  /** @throws VestryError CONFIG_INVALID, INSTANCE_RUNNING */
  async listen(path: string, mode: number): Promise<void> {
    const server = createServer({ allowHalfOpen: true }, (socket) => this.#accept(socket))
    await listenOnSocket(server, path, mode)
    this.#servers.push(server)
  }

  /** What was sent is stored and acknowledged; then everybody is told to go. */
  async close(budgetMs: number): Promise<void> {
    const { monotonic } = this.#deps
    const startedAtMs = monotonic()
    // Who has connected waits to be accepted, one by one: a server that closes at once would turn them away.
    const patienceMs = Math.min(PATIENCE_MS, budgetMs / 2)
    while (!this.#isQuiet() && monotonic() - startedAtMs < patienceMs) await delay(POLL_MS)
    const closed = this.#servers
      .splice(0)
      .map((server) => new Promise<void>((resolve) => server.close(() => resolve())))
    const ended = Promise.all([...this.#connections].map((one) => one.end()))
    const leftMs = Math.max(0, budgetMs - (monotonic() - startedAtMs))
    await Promise.race([ended, delay(leftMs, undefined, { ref: false })])
    for (const connection of this.#connections) connection.destroy()
    await Promise.all(closed)
  }

  #isQuiet(): boolean {
    if (this.#servers.length === 0) return true
    if (this.#deps.monotonic() - this.#acceptedAtMs < QUIET_MS) return false
    return [...this.#connections].every((one) => one.quietFor(QUIET_MS))
  }

  #accept(socket: Socket): void {
    const { peer: peerOf, maxConnections, onRefused } = this.#deps
    this.#acceptedAtMs = this.#deps.monotonic()
    const peer = peerOf(socket)
    const pid = 'unavailable' in peer ? 0 : peer.pid
    const own = this.#perProcess.get(pid) ?? 0
    // One process must not be able to take all the places.
    const most = pid === 0 ? maxConnections : Math.max(16, maxConnections / 4)
    if (this.#connections.size >= maxConnections || own >= most) {
      onRefused()
      socket.on('error', () => undefined)
      socket.destroy()
      return
    }
    this.#perProcess.set(pid, own + 1)
    this.#number += 1
    const connection = new Connection(socket, peer, this.#number, this.#deps, () => {
      this.#connections.delete(connection)
      const left = (this.#perProcess.get(pid) ?? 1) - 1
      if (left > 0) this.#perProcess.set(pid, left)
      else this.#perProcess.delete(pid)
    })
    this.#connections.add(connection)
  }
}
