/** The agent's identity: a JWT-SVID in a file that somebody else replaces before it ends. */
import { type Clock, systemClock } from './clock.ts'
import { SpiffeAuthError } from './errors.ts'
import { jwtPayload } from './jwt.ts'
import { getLogger, type Logger } from './log.ts'
import { inspectHook } from './mask.ts'
import { readTokenFile } from './token-file.ts'

export interface JWTSourceOptions {
  /** The file is read again when less than this is left. Default 300. */
  refreshMarginSeconds?: number | undefined
  clock?: Clock | undefined
  logger?: Logger | undefined
}

export class JWTSource {
  readonly #path: string
  readonly #marginMs: number
  readonly #clock: Clock
  readonly #logger: Logger
  #cached: { token: string; expiresAtMs: number } | undefined

  /** Does not touch the file. */
  constructor(path: string, options: JWTSourceOptions = {}) {
    this.#path = path
    this.#marginMs = (options.refreshMarginSeconds ?? 300) * 1000
    this.#clock = options.clock ?? systemClock
    this.#logger = options.logger ?? getLogger('sage_sanctum.spiffe')
  }

  get path(): string {
    return this.#path
  }

  /** Nothing is cached, or what is cached is to be replaced. */
  get isExpired(): boolean {
    return (
      this.#cached === undefined || this.#clock.now() >= this.#cached.expiresAtMs - this.#marginMs
    )
  }

  /**
   * The SVID. Inside the margin the file is read at every call, and its token is used while it lasts.
   *
   * @throws SpiffeAuthError when the file is missing, unreadable, empty, no JWT with `exp`, or expired.
   */
  async getToken(): Promise<string> {
    if (this.#cached !== undefined && !this.isExpired) return this.#cached.token
    const token = await readTokenFile(this.#path).catch((cause: unknown) => {
      const reason = cause instanceof Error ? cause.message : String(cause)
      throw new SpiffeAuthError(`The SVID file ${this.#path} cannot be used: ${reason}`)
    })
    const expiresAtMs = this.#expiryOf(token)
    if (this.#clock.now() >= expiresAtMs) {
      throw new SpiffeAuthError(
        `The SVID in ${this.#path} expired at ${new Date(expiresAtMs).toISOString()}`,
      )
    }
    this.#cached = { token, expiresAtMs }
    this.#logger.debug('spiffe_jwt_refreshed', { path: this.#path, expiry: expiresAtMs / 1000 })
    return token
  }

  /** Forgets the cached SVID. */
  invalidate(): void {
    this.#cached = undefined
  }

  [inspectHook](): string {
    return `JWTSource(${this.#path})`
  }

  #expiryOf(token: string): number {
    const exp = jwtPayload(token)?.['exp']
    if (typeof exp === 'number' && Number.isFinite(exp) && Math.abs(exp) < 1e12) return exp * 1000
    throw new SpiffeAuthError(`The SVID file ${this.#path} holds no JWT with an expiry`)
  }
}
