/**
 * Stops calling a provider that fails (gateway contract §12.1). Only faults within the window count, and only
 * those of the provider: the caller says which. Time comes in with each question.
 */
import { VestryError } from '@vestry/contract/errors'

export type BreakerState = 'closed' | 'half_open' | 'open'

export interface BreakerOptions {
  /** Faults within the window that open it. */
  readonly threshold: number
  readonly windowMs: number
  /** How long it stays open before one call may probe. */
  readonly openMs: number
}

/** Leave to make one logical call. Dispose it; without a verdict the call counts for nothing. */
export interface BreakerPass extends Disposable {
  /** The provider answered, be it with a refusal. */
  succeeded(nowMs: number): void
  /** The provider failed: network, time-out, 5xx or 429. */
  failed(nowMs: number): void
}

type Phase =
  | { readonly state: 'closed'; faultsAtMs: readonly number[] }
  | { readonly state: 'open'; openedAtMs: number }
  | { readonly state: 'half_open'; probing: boolean }

/** While the one probe is under way nobody knows how long it takes. */
const PROBE_RETRY_MS = 1_000

export class Breaker {
  readonly #tool: string
  readonly #name: string
  readonly #options: BreakerOptions
  /** Replaced at each transition, so a verdict from an earlier phase is told by its identity. */
  #phase: Phase = { state: 'closed', faultsAtMs: [] }

  /** @param host Where it stands for one of the many providers of a tool. */
  constructor(tool: string, options: BreakerOptions, host?: string) {
    this.#tool = tool
    this.#name = host === undefined ? `Tool "${tool}"` : `Host "${host}"`
    this.#options = options
  }

  /** What the next call would meet. */
  state(nowMs: number): BreakerState {
    const phase = this.#phase
    return phase.state === 'open' && this.#remainingMs(phase, nowMs) === 0
      ? 'half_open'
      : phase.state
  }

  /** @throws VestryError `CIRCUIT_OPEN` with `retry_after_ms`. */
  enter(nowMs: number): BreakerPass {
    if (this.#phase.state === 'open') {
      const remainingMs = this.#remainingMs(this.#phase, nowMs)
      if (remainingMs > 0) throw this.#refusal(remainingMs)
      this.#phase = { state: 'half_open', probing: false }
    }
    const phase = this.#phase
    if (phase.state === 'half_open') {
      if (phase.probing) throw this.#refusal(PROBE_RETRY_MS)
      phase.probing = true
    }
    let settled = false
    const settle = (verdict: (phase: Phase) => void) => {
      if (settled) return
      settled = true
      if (phase === this.#phase) verdict(phase)
    }
    return {
      succeeded: () => settle(() => this.#succeeded(phase)),
      failed: (atMs) => settle(() => this.#failed(phase, atMs)),
      [Symbol.dispose]: () =>
        settle(() => {
          if (phase.state === 'half_open') phase.probing = false
        }),
    }
  }

  #succeeded(phase: Phase): void {
    if (phase.state === 'half_open') this.#phase = { state: 'closed', faultsAtMs: [] }
  }

  #failed(phase: Phase, nowMs: number): void {
    const { threshold, windowMs } = this.#options
    if (phase.state === 'half_open') this.#phase = { state: 'open', openedAtMs: nowMs }
    if (phase.state !== 'closed') return
    const recent = phase.faultsAtMs.filter((atMs) => atMs <= nowMs && nowMs - atMs < windowMs)
    phase.faultsAtMs = [...recent, nowMs]
    if (phase.faultsAtMs.length >= threshold) this.#phase = { state: 'open', openedAtMs: nowMs }
  }

  #remainingMs(phase: Phase & { state: 'open' }, nowMs: number): number {
    // A clock that was set back must not keep it open for as long as it was set back by.
    if (nowMs < phase.openedAtMs) phase.openedAtMs = nowMs
    return Math.max(0, phase.openedAtMs + this.#options.openMs - nowMs)
  }

  #refusal(retryAfterMs: number): VestryError {
    return new VestryError('CIRCUIT_OPEN', `${this.#name} has failed too often`, {
      hint: `Retry after ${retryAfterMs} ms.`,
      context: { tool: this.#tool, retry_after_ms: retryAfterMs },
    })
  }
}
