/** A small pool of sessions, in the shape that Kysely's PostgreSQL dialect expects. Replaces what was lost. */
import type { PostgresPool as KyselyPool, PostgresPoolClient } from 'kysely'
import { PostgresSession, type SessionOptions } from './postgres-session.ts'
import { unavailable } from './store-error.ts'

/** A session collects one prepared statement per query text, so it is replaced now and then. */
const MAX_SESSION_AGE_MS = 30 * 60_000

export interface PoolOptions {
  readonly url: string
  readonly size: number
  /** Callers that may wait for a session. */
  readonly maxWaiting: number
  /** How long one waits before it is refused. */
  readonly waitMs: number
  readonly now: () => number
  readonly session: Omit<SessionOptions, 'onLost' | 'onNotify'>
}

interface Waiter {
  readonly resolve: (client: PostgresPoolClient) => void
  readonly reject: (error: Error) => void
  readonly timer: NodeJS.Timeout
}

interface Member {
  readonly session: PostgresSession
  readonly openedAtMs: number
}

export class PostgresPool implements KyselyPool {
  readonly options = {}
  readonly #options: PoolOptions
  readonly #idle: Member[] = []
  readonly #waiting = new Set<Waiter>()
  /** Sessions that are open, being opened or borrowed. */
  #count = 0
  #borrowed = 0
  #ended = false
  #drained: (() => void) | undefined

  constructor(options: PoolOptions) {
    this.#options = options
  }

  /** @throws VestryError STORE_UNAVAILABLE: server not reachable, every session busy for too long, or closed. */
  async connect(): Promise<PostgresPoolClient> {
    if (this.#ended) throw unavailable('The store is closed')
    const member = this.#takeIdle()
    if (member !== undefined) return this.#lend(member)
    if (this.#count < this.#options.size) return this.#lend(await this.#open())
    return this.#wait()
  }

  /** Waits for borrowed sessions, but not for long: what they do is bounded by its own time-outs. */
  async end(): Promise<void> {
    if (this.#ended) return
    this.#ended = true
    for (const waiter of this.#waiting) this.#refuse(waiter, 'The store is closed')
    if (this.#borrowed > 0) {
      await new Promise<void>((resolve) => {
        this.#drained = resolve
        setTimeout(resolve, this.#options.waitMs).unref()
      })
    }
    for (const { session } of this.#idle.splice(0)) session.end()
  }

  #takeIdle(): Member | undefined {
    for (let member = this.#idle.pop(); member !== undefined; member = this.#idle.pop()) {
      if (member.session.usable) return member
      this.#count -= 1
    }
    return undefined
  }

  async #open(): Promise<Member> {
    this.#count += 1
    try {
      const { url, session, now } = this.#options
      return { session: await PostgresSession.open(url, session), openedAtMs: now() }
    } catch (error) {
      this.#count -= 1
      throw error
    }
  }

  #wait(): Promise<PostgresPoolClient> {
    if (this.#waiting.size >= this.#options.maxWaiting) {
      throw unavailable('Too many queries wait for the database', undefined, 'Retry later.')
    }
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => this.#refuse(waiter, 'No database connection became free in time'),
        this.#options.waitMs,
      )
      const waiter: Waiter = { resolve, reject, timer }
      this.#waiting.add(waiter)
    })
  }

  #refuse(waiter: Waiter, message: string): void {
    clearTimeout(waiter.timer)
    this.#waiting.delete(waiter)
    waiter.reject(unavailable(message))
  }

  #lend(member: Member): PostgresPoolClient {
    this.#borrowed += 1
    let returned = false
    const { session } = member
    return {
      query: session.query.bind(session),
      release: (destroy = false) => {
        if (returned) return
        returned = true
        this.#takeBack(member, destroy)
      },
    }
  }

  #takeBack(member: Member, destroy: boolean): void {
    this.#borrowed -= 1
    const aged = this.#options.now() - member.openedAtMs > MAX_SESSION_AGE_MS
    if (destroy || aged || this.#ended || !member.session.usable) {
      member.session.end()
      this.#count -= 1
    } else {
      this.#idle.push(member)
    }
    if (this.#ended) {
      if (this.#borrowed === 0) this.#drained?.()
      return
    }
    this.#serveNext()
  }

  #serveNext(): void {
    const [waiter] = this.#waiting
    if (waiter === undefined) return
    clearTimeout(waiter.timer)
    this.#waiting.delete(waiter)
    this.connect().then(waiter.resolve, (error) => {
      waiter.reject(error)
      this.#serveNext() // or the others would wait for a session that nobody opens
    })
  }
}
