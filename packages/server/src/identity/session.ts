/**
 * Live sessions: each belongs to one connection and dies with it. They slide while used, end for good
 * at the absolute limit, and every end is reported once.
 */
import { timingSafeEqual } from 'node:crypto'
import { VestryError } from '@vestry/contract/errors'
import { newTxn } from '@vestry/contract/ids'
import { type Caller, newCaller, type Peer, type Principal } from './caller.ts'
import { type Clock, elapsedMs, type Instant, instant } from './clock.ts'

export type EndReason =
  | 'idle'
  | 'expired'
  | 'logout'
  | 'replaced'
  | 'connection_closed'
  | 'revoked'
  | 'disabled'
  | 'key_rotated'
  | 'ended_by_operator'
  | 'sealed'
  | 'shutdown'
  | 'run_closed'

export interface Session {
  readonly id: string
  readonly principal: Principal
  readonly peer: Peer
  /** `ed25519:…` of the key that opened it. */
  readonly keyFingerprint: string
  readonly txn: string
  /** Epoch ms. */
  readonly createdAt: number
  /** Epoch ms of the absolute end; sooner when the key that opened it retires sooner. */
  readonly expiresAt: number
}

export interface SessionLimits {
  /** Seconds without a successful request. */
  idleSeconds: number
  /** Seconds from the login. */
  maxSeconds: number
  perAgent: number
}

/** wire contract §5.4. */
export const DEFAULT_SESSION_LIMITS: SessionLimits = {
  idleSeconds: 3600,
  maxSeconds: 86_400,
  perAgent: 64,
}

export interface SessionBookDeps {
  clock: Clock
  limits?: SessionLimits
  /** Called once per session, after it stopped working. */
  onEnd: (session: Session, reason: EndReason) => void
}

interface Live extends Session {
  principal: Principal
  expiresAt: number
  readonly connection: object
  readonly opened: Instant
  readonly used: Instant
}

export class SessionBook {
  readonly #clock: Clock
  readonly #limits: SessionLimits
  readonly #onEnd: SessionBookDeps['onEnd']
  readonly #byConnection = new Map<object, Live>()
  /** Every live session under itself: tells a live one from an ended one in one step. */
  readonly #live = new Map<Session, Live>()
  /** Principal key → its sessions, so that neither the cap nor a revocation scans all of them. */
  readonly #byPrincipal = new Map<string, Set<Live>>()

  constructor(deps: SessionBookDeps) {
    this.#clock = deps.clock
    this.#limits = deps.limits ?? DEFAULT_SESSION_LIMITS
    this.#onEnd = deps.onEnd
  }

  get size(): number {
    return this.#byConnection.size
  }

  get limits(): Readonly<SessionLimits> {
    return this.#limits
  }

  /**
   * Opens a session; the connection's previous one ends (`replaced`, or `logout` for someone else).
   *
   * @param input.id The id the challenge was issued under.
   * @param input.notAfter Epoch ms at which the key stops counting, or the run that was joined ends.
   * @param input.txn Of the run that was joined; a new one unless given.
   * @throws VestryError `RATE_LIMITED` when the agent holds as many sessions as it may.
   */
  open(
    connection: object,
    input: {
      id: string
      principal: Principal
      peer: Peer
      keyFingerprint: string
      notAfter?: number
      txn?: string
    },
  ): Session {
    const key = principalKey(input.principal)
    this.#assertRoom(key, connection)
    const previous = this.#byConnection.get(connection)
    if (previous !== undefined) {
      const same = principalKey(previous.principal) === key
      this.#end(previous, same ? 'replaced' : 'logout')
    }
    const now = instant(this.#clock)
    const absolute = now.wall + this.#limits.maxSeconds * 1000
    const session: Live = {
      id: input.id,
      principal: input.principal,
      peer: input.peer,
      keyFingerprint: input.keyFingerprint,
      txn: input.txn ?? newTxn(),
      createdAt: now.wall,
      expiresAt: Math.min(absolute, input.notAfter ?? absolute),
      connection,
      opened: now,
      used: { ...now },
    }
    this.#byConnection.set(connection, session)
    this.#live.set(session, session)
    const siblings = this.#byPrincipal.get(key)
    if (siblings === undefined) this.#byPrincipal.set(key, new Set([session]))
    else siblings.add(session)
    return session
  }

  /**
   * The session a request runs in.
   *
   * @param sessionId As sent; null and undefined mean the connection's own (wire contract §4.3).
   * @throws VestryError `SESSION_EXPIRED` for no session, an ended one and a foreign id alike.
   */
  current(connection: object, sessionId?: string | null): Session {
    const session = this.#byConnection.get(connection)
    if (session === undefined) throw notActive()
    const over = this.#over(session)
    if (over !== undefined) {
      this.#end(session, over)
      throw notActive()
    }
    if (sessionId !== undefined && sessionId !== null && !sameText(sessionId, session.id))
      throw notActive()
    return session
  }

  /** Slides the idle window. Call it when a request succeeded, and only then. */
  touch(session: Session): void {
    const live = this.#live.get(session)
    if (live === undefined) return
    live.used.wall = this.#clock.now()
    live.used.mono = this.#clock.monotonic()
  }

  /** Epoch ms at which the session ends if nothing more succeeds in it. */
  deadline(session: Session): number {
    const live = this.#live.get(session)
    if (live === undefined) return this.#clock.now()
    return Math.min(live.expiresAt, live.used.wall + this.#limits.idleSeconds * 1000)
  }

  isLive(session: Session): boolean {
    const live = this.#live.get(session)
    return live !== undefined && this.#over(live) === undefined
  }

  /** A caller for one request of this session. */
  caller(session: Session, traceparent?: string): Caller {
    return newCaller(session, traceparent)
  }

  /** The connection's session if it has one, over or not: for cleaning up after the connection. */
  ofConnection(connection: object): Session | undefined {
    return this.#byConnection.get(connection)
  }

  logout(connection: object): void {
    this.endConnection(connection, 'logout')
  }

  endConnection(connection: object, reason: EndReason = 'connection_closed'): void {
    const session = this.#byConnection.get(connection)
    if (session !== undefined) this.#end(session, reason)
  }

  /** @returns How many ended. */
  endWhere(match: (session: Session) => boolean, reason: EndReason): number {
    let ended = 0
    for (const session of [...this.#byConnection.values()]) {
      if (!match(session)) continue
      this.#end(session, reason)
      ended += 1
    }
    return ended
  }

  endAll(reason: EndReason): number {
    return this.endWhere(() => true, reason)
  }

  /** Ends what ran out unnoticed. One call a second or so serves all sessions; there are no timers. */
  sweep(): number {
    let ended = 0
    for (const session of [...this.#byConnection.values()]) {
      const over = this.#over(session)
      if (over === undefined) continue
      this.#end(session, over)
      ended += 1
    }
    return ended
  }

  /** Gives a live session its principal's new record, and the new end of its key if there is one. */
  refresh(session: Session, principal: Principal, notAfter?: number): void {
    const live = this.#live.get(session)
    if (live === undefined || principalKey(principal) !== principalKey(live.principal)) return
    live.principal = principal
    if (notAfter !== undefined) live.expiresAt = Math.min(live.expiresAt, notAfter)
  }

  list(): Session[] {
    return [...this.#byConnection.values()]
  }

  #assertRoom(key: string, connection: object): void {
    const held = this.#byPrincipal.get(key)
    if (held === undefined) return
    for (const session of [...held]) {
      const over = this.#over(session)
      if (over !== undefined) this.#end(session, over)
    }
    // The connection's own session makes room: it is about to be replaced.
    const others = [...held].filter((session) => session.connection !== connection)
    if (others.length < this.#limits.perAgent) return
    throw new VestryError('RATE_LIMITED', `${this.#limits.perAgent} sessions are open already`, {
      hint: 'Close connections that are no longer used, or log out on them.',
      context: { scope: 'sessions', limit: this.#limits.perAgent, retry_after_ms: 1_000 },
    })
  }

  #over(session: Live): EndReason | undefined {
    const clock = this.#clock
    if (elapsedMs(session.opened, clock) >= session.expiresAt - session.createdAt) return 'expired'
    return elapsedMs(session.used, clock) >= this.#limits.idleSeconds * 1000 ? 'idle' : undefined
  }

  #end(session: Live, reason: EndReason): void {
    this.#byConnection.delete(session.connection)
    this.#live.delete(session)
    const key = principalKey(session.principal)
    const siblings = this.#byPrincipal.get(key)
    siblings?.delete(session)
    if (siblings?.size === 0) this.#byPrincipal.delete(key)
    this.#onEnd(session, reason)
  }
}

function principalKey(principal: Principal): string {
  return principal.kind === 'agent'
    ? `agent:${principal.agent.id}`
    : `operator:${principal.operator.id}`
}

function sameText(given: string, own: string): boolean {
  const a = Buffer.from(given)
  const b = Buffer.from(own)
  return a.length === b.length && timingSafeEqual(a, b)
}

function notActive(): VestryError {
  return new VestryError('SESSION_EXPIRED', undefined, {
    hint: 'Authenticate again on this connection.',
    context: { reauthenticate: true },
  })
}
