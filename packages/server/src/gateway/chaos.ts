/** Faults on purpose, for trying out what an agent does with them (gateway contract §15.3). Never in production. */
import { setTimeout as wait } from 'node:timers/promises'
import { VestryError } from '@vestry/contract/errors'

export const CHAOS_MODES = ['timeout', '500', 'jitter'] as const
export type ChaosMode = (typeof CHAOS_MODES)[number]

export interface Fault {
  readonly mode: ChaosMode
  /** Per cent of calls. */
  readonly pct: number
}

const TIMEOUT_MS = 10_000
const JITTER_MS = { least: 1_000, span: 5_000 }
/** What the `chaos` setting does to calls that are mocked. */
const BACKGROUND = { pct: 20, leastMs: 300, spanMs: 1_200 }

export class Chaos {
  readonly #faults = new Map<string, Fault>()
  readonly #background: boolean
  /** Uniform in [0, 1). */
  readonly #random: () => number
  readonly #onInjected: (tool: string, mode: ChaosMode) => void

  constructor(deps: {
    background: boolean
    random: () => number
    onInjected: (tool: string, mode: ChaosMode) => void
  }) {
    this.#background = deps.background
    this.#random = deps.random
    this.#onInjected = deps.onInjected
  }

  set(tool: string, fault: Fault): void {
    this.#faults.set(tool, fault)
  }

  clear(tool: string): boolean {
    return this.#faults.delete(tool)
  }

  list(): [tool: string, fault: Fault][] {
    return [...this.#faults]
  }

  /** @throws VestryError UPSTREAM_FAILED or UPSTREAM_TIMEOUT, where a fault strikes. */
  async beforeCall(
    tool: string,
    door: 'mock' | 'live',
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const fault = this.#faults.get(tool)
    if (fault !== undefined && this.#strikes(fault.pct))
      await this.#inject(tool, fault.mode, signal)
    if (door === 'mock' && this.#background && this.#strikes(BACKGROUND.pct)) {
      await pause(BACKGROUND.leastMs + this.#random() * BACKGROUND.spanMs, signal)
      throw new VestryError('UPSTREAM_FAILED', 'injected fault', {
        context: { upstream_status: 503 },
      })
    }
  }

  async #inject(tool: string, mode: ChaosMode, signal: AbortSignal | undefined): Promise<void> {
    this.#onInjected(tool, mode)
    switch (mode) {
      case 'jitter':
        return pause(JITTER_MS.least + this.#random() * JITTER_MS.span, signal)
      case '500':
        throw new VestryError('UPSTREAM_FAILED', 'injected fault', {
          context: { upstream_status: 500 },
        })
      case 'timeout':
        await pause(TIMEOUT_MS, signal)
        throw new VestryError('UPSTREAM_TIMEOUT', 'injected fault')
    }
  }

  #strikes(pct: number): boolean {
    return this.#random() * 100 < pct
  }
}

async function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  await wait(ms, undefined, { ...(signal !== undefined && { signal }) })
}
