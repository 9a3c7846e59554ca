/**
 * Hears, over LISTEN/NOTIFY, what other nodes changed. A connection that was lost may have missed something,
 * so every table counts as changed once it is back.
 */
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Kysely, sql } from 'kysely'
import { PostgresSession, type SessionOptions } from './postgres-session.ts'
import { TABLE_NAMES, type Tables } from './schema.ts'

const CHANNEL = 'vestry_change'
/** Finds a connection whose other end vanished without a word. */
const HEARTBEAT_MS = 15_000
const MAX_BACKOFF_MS = 5_000

export interface ChangeFeedOptions {
  readonly url: string
  readonly session: SessionOptions
  readonly warn: (message: string, cause: unknown) => void
  readonly onChange: (tables: readonly string[]) => void
}

export class ChangeFeed {
  readonly #options: ChangeFeedOptions
  /** Tells our own notifications from those of others; local listeners have heard ours already. */
  readonly #node = randomUUID()
  readonly #closed = new AbortController()
  #session: PostgresSession | undefined
  #heartbeat: NodeJS.Timeout | undefined

  private constructor(options: ChangeFeedOptions) {
    this.#options = options
  }

  static async open(options: ChangeFeedOptions): Promise<ChangeFeed> {
    const feed = new ChangeFeed(options)
    await feed.#listen()
    return feed
  }

  /** Sent by the server when the transaction commits, dropped when it does not. */
  async announce(trx: Kysely<Tables>, tables: readonly string[]): Promise<void> {
    const payload = JSON.stringify({ node: this.#node, tables })
    await sql`select pg_notify(${CHANNEL}, ${payload})`.execute(trx)
  }

  close(): void {
    this.#closed.abort()
    clearInterval(this.#heartbeat)
    this.#session?.end()
  }

  async #listen(): Promise<void> {
    const session = await PostgresSession.open(this.#options.url, {
      ...this.#options.session,
      onLost: () => this.#recover(),
      onNotify: (_channel, payload) => this.#hear(payload),
    })
    try {
      await session.query(`listen ${CHANNEL}`, [])
    } catch (error) {
      session.end()
      throw error
    }
    this.#session = session
    clearInterval(this.#heartbeat)
    // A heartbeat that fails ends the session, and with it comes `onLost`.
    this.#heartbeat = setInterval(() => session.query('select 1', []).catch(() => {}), HEARTBEAT_MS)
    this.#heartbeat.unref()
    if (this.#closed.signal.aborted) this.close()
  }

  #hear(payload: string): void {
    const heard = parse(payload)
    if (heard?.node === this.#node) return
    this.#options.onChange(heard?.tables ?? TABLE_NAMES)
  }

  #recover(): void {
    // Only for a session that was in use: a failed first attempt is the caller's to see.
    if (this.#session === undefined || this.#closed.signal.aborted) return
    this.#session = undefined
    this.#reconnect().catch((cause) => this.#options.warn('Store changes are not heard', cause))
  }

  async #reconnect(): Promise<void> {
    const { signal } = this.#closed
    for (let backoffMs = 50; !signal.aborted; backoffMs = Math.min(backoffMs * 2, MAX_BACKOFF_MS)) {
      try {
        await this.#listen()
        this.#options.onChange(TABLE_NAMES)
        return
      } catch (cause) {
        this.#options.warn('The connection that hears store changes is down; retrying', cause)
      }
      await sleep(backoffMs * (0.5 + Math.random() / 2), undefined, { signal }).catch(() => {})
    }
  }
}

function parse(payload: string): { node: string; tables: readonly string[] } | undefined {
  try {
    const { node, tables } = JSON.parse(payload)
    const sound = typeof node === 'string' && Array.isArray(tables)
    return sound ? { node, tables: tables.filter((name) => typeof name === 'string') } : undefined
  } catch {
    return undefined // not ours, but better one reload too many than one too few
  }
}
