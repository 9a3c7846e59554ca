/**
 * Keeps connections apart: each belongs to one version of one credential, one vetted address, one name and
 * one set of pins (wire contract §8.8), so no reply meant for one credential is ever read under another.
 */
import { VestryError } from '@vestry/contract/errors'
import { Pool } from 'undici'
import { type Endpoint, pinnedConnector } from './connector.ts'
import { trustStore } from './trust.ts'
import type { Target } from './url.ts'

/** On whose behalf a connection is open. */
export interface PoolKey {
  /** Path of the credential; for calls without one, the caller's own name. */
  path: string
  version: number
  /** Connections per place for these requests; the pool's own number unless told. */
  connections?: number
}

export interface PoolOptions {
  /** Certificate authorities trusted besides the system's, as PEM. */
  caPem?: string
  /** For TCP and TLS together. */
  connectTimeoutMs?: number
  /** How long an unused connection stays open. */
  idleMs?: number
  /** Places connected to at once; the one idle for longest makes room. */
  maxEndpoints?: number
  /** Connections per place; further requests wait for one. */
  maxConnections?: number
  now?: () => number
}

interface Entry {
  pool: Pool
  path: string
  usedAtMs: number
}

/** Longer heads are a protocol error; what is handed on is cut well below. */
const MAX_HEAD_BYTES = 256 * 1024

export class EgressPool implements AsyncDisposable {
  readonly #entries = new Map<string, Entry>()
  /** Pools that finish what they have, and take nothing more. */
  readonly #closing = new Map<Pool, Promise<void>>()
  readonly #secureContext: ReturnType<typeof trustStore>
  readonly #options: Required<Omit<PoolOptions, 'caPem'>>
  #closed = false

  constructor({ caPem, ...options }: PoolOptions = {}) {
    this.#secureContext = trustStore(caPem)
    this.#options = {
      connectTimeoutMs: 5_000,
      idleMs: 30_000,
      maxEndpoints: 512,
      maxConnections: 32,
      now: Date.now,
      ...options,
    }
  }

  get size(): number {
    return this.#entries.size
  }

  /** True when this very place has been connected to and may still be open. */
  has(key: PoolKey, endpoint: Endpoint): boolean {
    return this.#entries.has(identity(key, endpoint))
  }

  /** The HTTP/1.1 pool of one place, made if needed. Borrowed: use it in the same tick, do not close it. */
  at(key: PoolKey, endpoint: Endpoint): Pool {
    if (this.#closed) throw new VestryError('SHUTTING_DOWN')
    const id = identity(key, endpoint)
    const usedAtMs = this.#options.now()
    const entry = this.#entries.get(id)
    // Set again, so that the map's order is the order of use.
    this.#entries.delete(id)
    const pool = entry?.pool ?? this.#open(endpoint, key.connections)
    this.#entries.set(id, { pool, path: key.path, usedAtMs })
    this.#trim(usedAtMs)
    return pool
  }

  /** New requests for this credential open new connections; those under way finish on the old ones. */
  dropCredential(path: string): void {
    for (const [id, entry] of this.#entries) if (entry.path === path) this.#retire(id, entry)
  }

  /** The same for every credential: sealing forgets all of them. */
  drop(): void {
    for (const [id, entry] of this.#entries) this.#retire(id, entry)
  }

  /** Resolves when the requests under way are done and every connection is closed. */
  async close(): Promise<void> {
    this.#closed = true
    this.drop()
    await Promise.all(this.#closing.values())
  }

  /** Breaks off what is still under way. */
  async destroy(): Promise<void> {
    const closed = this.close()
    for (const pool of this.#closing.keys()) await pool.destroy()
    await closed
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.destroy()
  }

  #open(endpoint: Endpoint, connections?: number): Pool {
    const { connectTimeoutMs, idleMs, maxConnections } = this.#options
    return new Pool(origin(endpoint.target), {
      connect: pinnedConnector(endpoint, {
        secureContext: this.#secureContext,
        timeoutMs: connectTimeoutMs,
      }),
      connections: connections ?? maxConnections,
      pipelining: 1,
      allowH2: false,
      keepAliveTimeout: idleMs,
      keepAliveMaxTimeout: idleMs,
      maxHeaderSize: MAX_HEAD_BYTES,
      // Every request carries a signal with a deadline; a stream may pause for longer than any guess.
      headersTimeout: 0,
      bodyTimeout: 0,
    })
  }

  /** The first entries are those unused for longest. */
  #trim(nowMs: number): void {
    const { idleMs, maxEndpoints } = this.#options
    for (const [id, entry] of this.#entries) {
      const full = this.#entries.size > maxEndpoints
      if (!full && nowMs - entry.usedAtMs < idleMs) return
      if (full || entry.pool.stats.size === 0) this.#retire(id, entry)
    }
  }

  #retire(id: string, { pool }: Entry): void {
    this.#entries.delete(id)
    this.#closing.set(
      pool,
      pool.close().finally(() => this.#closing.delete(pool)),
    )
  }
}

function origin({ scheme, host, port }: Target): string {
  return `${scheme}://${host}:${port}`
}

function identity(
  { path, version, connections }: PoolKey,
  { target, address, pins }: Endpoint,
): string {
  const place = [origin(target), address.text, ...[...pins].sort()]
  return JSON.stringify([path, version, connections ?? 0, ...place])
}
