/**
 * The current transaction token of one run, kept in memory for its socket and its file (sage contract §5.2). One
 * request at a time fetches a new one, for everybody who waits.
 */
import type { IssuedToken } from './svid.ts'

export interface TratSourceDeps {
  readonly issue: () => Promise<IssuedToken>
  /** Epoch ms. */
  readonly now: () => number
}

/** Clients apply no margin of their own, so what is handed out lives at least so long. */
const MIN_LEFT_MS = 60_000
/** Tokens count whole seconds: for the rest of its first one a token is as good as new. */
const SECOND_MS = 1_000

export class TratSource {
  readonly #deps: TratSourceDeps
  #current: IssuedToken | undefined
  #fetching: Promise<IssuedToken> | undefined

  constructor(deps: TratSourceDeps) {
    this.#deps = deps
  }

  /**
   * A token with a minute left, or with its whole life where that is shorter.
   * @throws whatever the service throws, once the token in memory has expired.
   */
  async get(): Promise<IssuedToken> {
    const token = this.#current
    if (token === undefined) return this.#fetch()
    const nowMs = this.#deps.now()
    const leftMs = token.expiresAtMs - nowMs
    const lifeMs = token.expiresAtMs - token.issuedAtMs
    if (leftMs > 0 && leftMs >= Math.min(MIN_LEFT_MS, lifeMs - SECOND_MS)) {
      if (leftMs * 2 < lifeMs) this.#fetch().catch(() => undefined) // tried again at the next request
      return token
    }
    return this.#fetch().catch((error: unknown) => {
      if (this.#deps.now() < token.expiresAtMs) return token
      throw error
    })
  }

  /** Fetches a new one when half of the life is over. */
  async renew(): Promise<IssuedToken> {
    const token = this.#current
    if (token === undefined) return this.#fetch()
    const halfMs = (token.issuedAtMs + token.expiresAtMs) / 2
    return this.#deps.now() < halfMs ? token : this.#fetch()
  }

  #fetch(): Promise<IssuedToken> {
    this.#fetching ??= this.#deps
      .issue()
      .then((token) => {
        this.#current = token
        return token
      })
      .finally(() => {
        this.#fetching = undefined
      })
    return this.#fetching
  }
}
