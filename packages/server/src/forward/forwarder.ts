/**
 * The forwarder: a Unix socket in front of a gateway far away. One connection there for each one here,
 * spliced byte by byte; without a secret, without a view of what passes, and bounded in every direction.
 */
import { createServer, type Server, type Socket } from 'node:net'
import type { Dial } from '../egress/dial.ts'
import { listenOnSocket } from '../http/listen-on-socket.ts'
import { splice } from './splice.ts'
import { answerUnreachable } from './unreachable.ts'

export interface ForwarderLimits {
  /** At once; beyond them clients are told that the gateway is overloaded, and beyond twice that hung up on. */
  readonly maxConnections: number
  readonly idleMs: number
  readonly lingerMs: number
  /** Of a request that is read only to be refused. */
  readonly maxHeadBytes: number
  readonly maxBodyBytes: number
  readonly readMs: number
}

/** A gateway may think for ten minutes without a byte; its own limit for a body is 20 MiB. */
export const FORWARDER_LIMITS: ForwarderLimits = {
  maxConnections: 512,
  idleMs: 660_000,
  lingerMs: 5_000,
  maxHeadBytes: 131_072,
  maxBodyBytes: 64 * 1_048_576,
  readMs: 30_000,
}

export class Forwarder {
  readonly #dial: Dial
  readonly #speaksHttp: boolean
  readonly #limits: ForwarderLimits
  readonly #onUnreachable: (error: Error) => void
  readonly #server: Server
  readonly #running = new Map<Socket, Promise<void>>()
  #spliced = 0

  /**
   * @param deps.http Whether clients can read an answer of HTTP; others are hung up on when nobody is reached.
   * @param deps.onUnreachable Hears why, for each client that had to be told.
   */
  constructor(deps: {
    dial: Dial
    http?: boolean
    limits?: ForwarderLimits
    onUnreachable?: (error: Error) => void
  }) {
    this.#dial = deps.dial
    this.#speaksHttp = deps.http ?? true
    this.#limits = deps.limits ?? FORWARDER_LIMITS
    this.#onUnreachable = deps.onUnreachable ?? (() => undefined)
    this.#server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (client) =>
      this.#accept(client),
    )
    this.#server.maxConnections = 2 * this.#limits.maxConnections
  }

  get connections(): number {
    return this.#running.size
  }

  /** @throws VestryError when something else is or listens at `path`. */
  listen(path: string, mode: number): Promise<void> {
    return listenOnSocket(this.#server, path, mode)
  }

  /** Accepts nobody new, lets what is under way finish, and cuts what is left after `budgetMs`. */
  async close(budgetMs: number): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    const cut = setTimeout(() => {
      for (const client of this.#running.keys()) client.destroy()
    }, budgetMs)
    await Promise.all(this.#running.values())
    clearTimeout(cut)
    await closed
  }

  #accept(client: Socket): void {
    const serving = this.#serve(client).finally(() => this.#running.delete(client))
    this.#running.set(client, serving)
  }

  async #serve(client: Socket): Promise<void> {
    if (this.#spliced >= this.#limits.maxConnections) {
      this.#onUnreachable(new Error(`${this.#limits.maxConnections} connections are open already`))
      return this.#refuse(client)
    }
    this.#spliced += 1
    try {
      const gateway = await this.#reach()
      if (gateway === undefined) return await this.#refuse(client)
      // Cut off meanwhile: its end has been told already, and would be waited for.
      if (client.destroyed) return void gateway.destroy()
      await splice(client, gateway, this.#limits)
    } finally {
      this.#spliced -= 1
    }
  }

  async #refuse(client: Socket): Promise<void> {
    if (this.#speaksHttp) await answerUnreachable(client, this.#limits)
    else client.destroy()
  }

  async #reach(): Promise<Socket | undefined> {
    try {
      return await this.#dial()
    } catch (error) {
      this.#onUnreachable(error instanceof Error ? error : new Error(String(error)))
      return undefined
    }
  }
}
