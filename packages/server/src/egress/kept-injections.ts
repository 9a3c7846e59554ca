/**
 * Ready headers of credentials in steady use. Making one costs more than the request around it, and a credential
 * that is used many times a second is in memory all the time anyway; one that rests is wiped within a second.
 */
import type { Injection } from './injection.ts'

const IDLE_MS = 1_000

interface Entry {
  readonly injection: Injection
  users: number
  /** On a clock that never goes back. */
  usedMs: number
  dropped: boolean
}

/** Borrowed: dispose it when the exchange is over. */
export interface Borrowed extends Disposable {
  readonly injection: Injection
}

export class KeptInjections {
  readonly #entries = new Map<string, Entry>()
  /** Milliseconds on a clock that never goes back. */
  readonly #now: () => number
  #sweeper: NodeJS.Timeout | undefined
  #drops = 0

  constructor(now: () => number = () => performance.now()) {
    this.#now = now
  }

  get size(): number {
    return this.#entries.size
  }

  /** Grows with each {@link drop}: read before a secret is opened, it tells whether that still holds afterwards. */
  get drops(): number {
    return this.#drops
  }

  /** @param key Says everything that shapes the header: path, version and place. */
  borrow(key: string): Borrowed | undefined {
    const entry = this.#entries.get(key)
    return entry && this.#lend(entry)
  }

  /**
   * Takes `injection` over; another one under the same key serves those who have it, and no others.
   *
   * @param since {@link drops} from before it was made: after a drop it serves this one exchange only.
   */
  keep(key: string, injection: Injection, since = this.#drops): Borrowed {
    if (since !== this.#drops) {
      return this.#lend({ injection, users: 0, usedMs: this.#now(), dropped: true })
    }
    const before = this.#entries.get(key)
    if (before !== undefined) this.#drop(before)
    const entry = { injection, users: 0, usedMs: this.#now(), dropped: false }
    this.#entries.set(key, entry)
    this.#sweeper ??= setInterval(() => this.sweep(), IDLE_MS / 2).unref()
    return this.#lend(entry)
  }

  /** Wipes all: at once, or when the exchange that has it is over. */
  drop(): void {
    this.#drops += 1
    for (const entry of this.#entries.values()) this.#drop(entry)
    this.#entries.clear()
    this.#rest()
  }

  /** Wipes what nobody used for a second. */
  sweep(): void {
    const before = this.#now() - IDLE_MS
    for (const [key, entry] of this.#entries) {
      if (entry.users > 0 || entry.usedMs > before) continue
      this.#entries.delete(key)
      this.#drop(entry)
    }
    this.#rest()
  }

  #rest(): void {
    if (this.#entries.size > 0) return
    clearInterval(this.#sweeper)
    this.#sweeper = undefined
  }

  #lend(entry: Entry): Borrowed {
    entry.users += 1
    let held = true
    return {
      injection: entry.injection,
      [Symbol.dispose]: () => {
        if (!held) return
        held = false
        entry.users -= 1
        entry.usedMs = this.#now()
        if (entry.dropped) this.#drop(entry)
      },
    }
  }

  #drop(entry: Entry): void {
    entry.dropped = true
    if (entry.users === 0) entry.injection[Symbol.dispose]()
  }
}
