/** Sessions of MCP clients: each belongs to the proof that opened it, and ends when nobody uses it. */
import { VestryError } from '@vestry/contract/errors'
import { randomHex } from '@vestry/contract/ids'
import type { Caller } from '../../identity/caller.ts'
import type { McpClient } from './client.ts'
import type { RpcId } from './rpc.ts'

export interface Session {
  readonly id: string
  readonly keyId: string
  readonly txn: string
  readonly protocolVersion: string
  /** Requests under way by their id. */
  readonly underWay: Map<string, AbortController>
  lastUsedMs: number
  /** Fingerprint of the tools that the client was last told of. */
  listed: string | undefined
  /** Where notifications go, while the client listens. */
  stream: SessionStream | undefined
}

export interface SessionStream {
  /** Who listens, as they were when they began to. */
  readonly client: McpClient
  readonly caller: Caller
  /** Whether the proof they showed counts to this day. */
  isStill(): Promise<boolean>
  send(message: Readonly<Record<string, unknown>>): void
  end(): void
}

export interface SessionsDeps {
  /** Milliseconds on a clock that never goes back. */
  readonly monotonic: () => number
}

const MAX_SESSIONS = 1_024
/** Of one key; a client that forgets to end its sessions loses the oldest. */
const MAX_OF_KEY = 64
const IDLE_MS = 30 * 60_000
/** Of one session. */
const MAX_UNDER_WAY = 64
const ID_BYTES = 16

export class Sessions {
  readonly #deps: SessionsDeps
  readonly #sessions = new Map<string, Session>()

  constructor(deps: SessionsDeps) {
    this.#deps = deps
  }

  get size(): number {
    return this.#sessions.size
  }

  /** @throws VestryError QUEUE_FULL */
  open({ keyId }: Pick<McpClient, 'keyId'>, txn: string, protocolVersion: string): Session {
    this.expire()
    const own = [...this.#sessions.values()].filter((session) => session.keyId === keyId)
    if (own.length >= MAX_OF_KEY) this.#end(leastUsed(own))
    if (this.#sessions.size >= MAX_SESSIONS)
      throw new VestryError('QUEUE_FULL', 'Too many MCP clients have a session', {
        hint: 'End sessions that are not used with DELETE',
      })
    const session: Session = {
      id: `mcps_${randomHex(ID_BYTES)}`,
      keyId,
      txn,
      protocolVersion,
      underWay: new Map(),
      lastUsedMs: this.#deps.monotonic(),
      listed: undefined,
      stream: undefined,
    }
    this.#sessions.set(session.id, session)
    return session
  }

  /** @returns undefined also for a session of somebody else. */
  find(id: string, { keyId }: Pick<McpClient, 'keyId'>): Session | undefined {
    const session = this.#sessions.get(id)
    if (session?.keyId !== keyId) return undefined
    if (this.#isIdle(session)) {
      this.#end(session)
      return undefined
    }
    session.lastUsedMs = this.#deps.monotonic()
    return session
  }

  end(session: Session): void {
    this.#end(session)
  }

  expire(): void {
    for (const session of this.#sessions.values()) if (this.#isIdle(session)) this.#end(session)
  }

  /** Whoever listens, or has a request under way, uses its session. */
  #isIdle({ lastUsedMs, stream, underWay }: Session): boolean {
    const isUsed = stream !== undefined || underWay.size > 0
    return !isUsed && lastUsedMs < this.#deps.monotonic() - IDLE_MS
  }

  listening(): Session[] {
    return [...this.#sessions.values()].filter(({ stream }) => stream !== undefined)
  }

  close(): void {
    for (const session of [...this.#sessions.values()]) this.#end(session)
  }

  #end(session: Session | undefined): void {
    if (session === undefined) return
    this.#sessions.delete(session.id)
    for (const work of session.underWay.values())
      work.abort(new VestryError('CANCELLED', 'The session was ended'))
    session.stream?.end()
    session.stream = undefined
  }
}

/**
 * A request that the client can cancel by its id.
 *
 * @throws VestryError RATE_LIMITED, INVALID_REQUEST for an id that is in use.
 */
export function begin({ underWay }: Session, id: RpcId): { signal: AbortSignal } & Disposable {
  const key = keyOf(id)
  if (underWay.has(key))
    throw new VestryError('INVALID_REQUEST', 'A request with this id is under way')
  if (underWay.size >= MAX_UNDER_WAY)
    throw new VestryError('RATE_LIMITED', `At most ${MAX_UNDER_WAY} requests at once in a session`)
  const work = new AbortController()
  underWay.set(key, work)
  return { signal: work.signal, [Symbol.dispose]: () => void underWay.delete(key) }
}

export function cancel({ underWay }: Session, id: unknown): void {
  if (typeof id !== 'string' && typeof id !== 'number') return
  underWay.get(keyOf(id))?.abort(new VestryError('CANCELLED', 'The client cancelled the request'))
}

function keyOf(id: RpcId): string {
  return `${typeof id}:${id}`
}

/** One that nobody listens to first. */
function leastUsed(sessions: readonly Session[]): Session | undefined {
  const order = (session: Session) =>
    session.stream === undefined ? session.lastUsedMs : Number.MAX_SAFE_INTEGER
  return sessions.toSorted((a, b) => order(a) - order(b))[0]
}
