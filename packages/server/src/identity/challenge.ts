/**
 * The book of open challenges: at most one per connection, answered at most once, within 30 seconds.
 * It knows nothing about who exists, so opening a challenge takes the same steps for every name.
 */
import { randomFillSync } from 'node:crypto'
import { type Clock, elapsedMs, type Instant, instant } from './clock.ts'

export const CHALLENGE_BYTES = 32
/** Seconds a challenge stays valid; the wire's `expires_in`. */
export const CHALLENGE_SECONDS = 30
/** Refusals in a row after which a connection is to be closed (wire contract §5.5). */
export const MAX_FAILURES = 3

export interface Challenge {
  /** 32 random bytes. */
  readonly bytes: Uint8Array
  /** Becomes the id of the session once the challenge is answered. */
  readonly sessionId: string
  /** As the peer claimed it, malformed or not. */
  readonly agentName: string
}

export type Taken =
  | { state: 'open'; challenge: Challenge }
  /** `agentName` is what was claimed on this connection, for the audit log. */
  | { state: 'none' | 'expired' | 'foreign'; agentName: string | undefined }

interface Entry {
  readonly challenge: Challenge
  readonly opened: Instant
}

export class ChallengeBook {
  readonly #clock: Clock
  // Keyed by the connection itself: its end takes challenge and failure count along.
  readonly #open = new WeakMap<object, Entry>()
  readonly #failures = new WeakMap<object, number>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Replaces the connection's open challenge, if any. */
  open(connection: object, agentName: string): Challenge {
    const challenge: Challenge = {
      bytes: randomFillSync(new Uint8Array(CHALLENGE_BYTES)),
      sessionId: newSessionId(),
      agentName,
    }
    this.#open.set(connection, { challenge, opened: instant(this.#clock) })
    return challenge
  }

  /** Consumes the connection's challenge, whatever the answer will turn out to be. */
  take(connection: object, sessionId: string): Taken {
    const entry = this.#open.get(connection)
    if (entry === undefined) return { state: 'none', agentName: undefined }
    this.#open.delete(connection)
    const { challenge, opened } = entry
    const { agentName } = challenge
    if (elapsedMs(opened, this.#clock) >= CHALLENGE_SECONDS * 1000)
      return { state: 'expired', agentName }
    if (challenge.sessionId !== sessionId) return { state: 'foreign', agentName }
    return { state: 'open', challenge }
  }

  /** @returns Attempts this connection has left; at 0 the wire closes it gracefully. */
  failed(connection: object): number {
    const failures = (this.#failures.get(connection) ?? 0) + 1
    this.#failures.set(connection, failures)
    return Math.max(0, MAX_FAILURES - failures)
  }

  succeeded(connection: object): void {
    this.#failures.delete(connection)
  }
}

/** `sess_` and 256 random bits in base64url (43 characters). */
export function newSessionId(): string {
  return `sess_${Buffer.from(randomFillSync(new Uint8Array(32))).toString('base64url')}`
}
