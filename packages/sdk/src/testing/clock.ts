/** Time that passes when a test says so. */
import type { Clock } from '../sage/clock.ts'

export interface FakeClockOptions {
  /** Milliseconds since the epoch. Default 2026-01-01T00:00:00Z. */
  nowMs?: number
  /** Sleeping moves the time on by itself. Default true; false waits for `advance`. */
  autoAdvance?: boolean
}

interface Sleeper {
  readonly atMs: number
  readonly wake: () => void
}

export class FakeClock implements Clock {
  /** Milliseconds of every sleep, in order. */
  readonly sleeps: number[] = []
  readonly #autoAdvance: boolean
  readonly #sleepers = new Set<Sleeper>()
  #nowMs: number

  constructor({ nowMs = Date.UTC(2026, 0, 1), autoAdvance = true }: FakeClockOptions = {}) {
    this.#nowMs = nowMs
    this.#autoAdvance = autoAdvance
  }

  now(): number {
    return this.#nowMs
  }

  /** Rejects with the signal's own reason. */
  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    this.sleeps.push(ms)
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason)
      if (this.#autoAdvance) {
        this.advance(ms)
        return resolve()
      }
      const sleeper = { atMs: this.#nowMs + ms, wake: () => settle(resolve) }
      const aborted = (): void => settle(() => reject(signal?.reason))
      const settle = (how: () => void): void => {
        this.#sleepers.delete(sleeper)
        signal?.removeEventListener('abort', aborted)
        how()
      }
      this.#sleepers.add(sleeper)
      signal?.addEventListener('abort', aborted, { once: true })
    })
  }

  /** Moves the time on and wakes whoever's time has come, earliest first. */
  advance(ms: number): void {
    this.#nowMs += ms
    const due = [...this.#sleepers].filter(({ atMs }) => atMs <= this.#nowMs)
    for (const { wake } of due.sort((a, b) => a.atMs - b.atMs)) wake()
  }
}
