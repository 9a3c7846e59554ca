/**
 * One login, kept alive: renewed at two thirds of its life, made anew when renewing fails or the server no longer
 * knows the token. Whoever asks while nobody is logged in waits for one login, not for one each.
 */
import { asVestryError, VestryError } from '@vestry/contract/errors'
import { Secret } from '../../seal/secret.ts'
import { untilAborted } from '../deadline.ts'
import { type GrantedToken, type LoginDeps, logIn, lookUpSelf, renew } from './login.ts'

/** Calls `fn` later; disposing it forgets the call. */
export type Schedule = (delayMs: number, fn: () => void) => Disposable

export const systemSchedule: Schedule = (delayMs, fn) => {
  // Timers hold 31 bits; a renewal that comes too early does no harm.
  const timer = setTimeout(fn, Math.min(delayMs, 2 ** 31 - 1)).unref()
  return { [Symbol.dispose]: () => clearTimeout(timer) }
}

interface Live extends GrantedToken {
  readonly endsAtMs: number
  /** What the login itself granted. */
  readonly firstLeaseMs: number
}

const BACKGROUND_MS = 20_000
const REVOKE_MS = 2_000
/** After a renewal that could not be tried. */
const RETRY_MS = 5_000

export class VaultSession {
  readonly #deps: LoginDeps
  readonly #schedule: Schedule
  readonly #closed = new AbortController()
  #live: Live | undefined
  #login: Promise<Live> | undefined
  #renewal: Disposable | undefined

  constructor(deps: LoginDeps, schedule: Schedule = systemSchedule) {
    this.#deps = deps
    this.#schedule = schedule
  }

  /**
   * Runs `use` with a token; once more with a new one when the server no longer knows the first.
   * @param use Borrows the token. `isRefused` says whether its result may be that refusal.
   */
  async with<T>(
    signal: AbortSignal,
    use: (token: Secret) => Promise<T>,
    isRefused: (result: T) => boolean,
  ): Promise<T> {
    const first = await this.#current(signal)
    const result = await borrow(first, use)
    if (!isRefused(result) || (await this.#isKnown(first, signal))) return result
    this.#drop(first)
    return borrow(await this.#current(signal), use)
  }

  /** Logs in again, whatever there is. @throws VestryError as {@link logIn} does. */
  async check(signal: AbortSignal): Promise<{ leaseMs: number; renewable: boolean }> {
    if (this.#live !== undefined) this.#drop(this.#live)
    const { leaseMs, renewable } = await this.#current(signal)
    return { leaseMs, renewable }
  }

  /** A token that was made for us ends with us. */
  async close(): Promise<void> {
    this.#closed.abort(new VestryError('BACKEND_UNAVAILABLE', 'The secret back end was closed'))
    this.#renewal?.[Symbol.dispose]()
    await this.#login?.catch(() => undefined)
    const live = this.#live
    this.#live = undefined
    if (live === undefined) return
    using token = live.token
    if (!live.ours) return
    const signal = AbortSignal.timeout(REVOKE_MS)
    const path = 'auth/token/revoke-self'
    await this.#deps.client
      .request({ method: 'POST', path, body: {}, token, signal })
      .catch(() => undefined) // it ends by itself
  }

  /** What a policy forbids is answered as an unknown token is; a login for each would leave one token after the other. */
  async #isKnown(live: Live, signal: AbortSignal): Promise<boolean> {
    if (this.#live !== live) return false
    const { status } = await borrow(live, (token) => lookUpSelf(this.#deps.client, token, signal))
    return status === 200
  }

  #current(signal: AbortSignal): Promise<Live> {
    this.#closed.signal.throwIfAborted()
    const live = this.#live
    if (live !== undefined && this.#deps.now() < live.endsAtMs) return Promise.resolve(live)
    this.#login ??= this.#logIn().finally(() => {
      this.#login = undefined
    })
    return untilAborted(this.#login, signal)
  }

  /** Not ended by whoever began it: others wait for it, too. */
  async #logIn(): Promise<Live> {
    const signal = AbortSignal.any([this.#closed.signal, AbortSignal.timeout(BACKGROUND_MS)])
    const granted = await logIn(this.#deps, signal)
    return this.#keep({ ...granted, firstLeaseMs: granted.leaseMs })
  }

  #keep(granted: GrantedToken & { firstLeaseMs: number }): Live {
    const { leaseMs, renewable } = granted
    const endsAtMs = leaseMs === 0 ? Number.POSITIVE_INFINITY : this.#deps.now() + leaseMs
    const live = { ...granted, endsAtMs }
    if (this.#live !== undefined && this.#live.token !== live.token)
      this.#live.token[Symbol.dispose]()
    this.#live = live
    this.#renewal?.[Symbol.dispose]()
    this.#renewal = undefined
    if (leaseMs > 0 && renewable) this.#renewIn((leaseMs * 2) / 3)
    return live
  }

  #renewIn(delayMs: number): void {
    if (this.#closed.signal.aborted) return
    this.#renewal = this.#schedule(delayMs, () => void this.#renew())
  }

  async #renew(): Promise<void> {
    const live = this.#live
    if (live === undefined) return
    const signal = AbortSignal.any([this.#closed.signal, AbortSignal.timeout(BACKGROUND_MS)])
    try {
      using token = Secret.copy(live.token.bytes)
      const renewed = await renew(this.#deps, token, signal)
      if (this.#live !== live) return
      // At the end of its longest life a token is renewed for less and less; ours is then made anew.
      const fading = renewed !== undefined && live.ours && renewed.leaseMs * 2 < live.firstLeaseMs
      if (renewed !== undefined && !fading) {
        this.#keep({ ...live, ...renewed })
        return
      }
      this.#drop(live)
      await this.#current(signal)
    } catch (error) {
      if (signal.aborted && this.#closed.signal.aborted) return
      // Refused for good: the next request says so. Not reached: it may be back before the token ends.
      if (asVestryError(error).code !== 'BACKEND_AUTH_FAILED' && this.#live === live)
        this.#renewIn(Math.min(RETRY_MS, Math.max(100, (live.endsAtMs - this.#deps.now()) / 3)))
    }
  }

  #drop(live: Live): void {
    if (this.#live !== live) return
    this.#live = undefined
    this.#renewal?.[Symbol.dispose]()
    this.#renewal = undefined
    live.token[Symbol.dispose]()
  }
}

async function borrow<T>(live: Live, use: (token: Secret) => Promise<T>): Promise<T> {
  // A copy: the session may let go of its own meanwhile.
  using token = Secret.copy(live.token.bytes)
  return await use(token)
}
