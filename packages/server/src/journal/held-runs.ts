/** All runs that this process holds: kept alive, ended late when the store was away, or given up together. */
import type { Store } from '../store/store.ts'
import type { ExecutionRow, Lease } from './execution-row.ts'
import { HeldRun, type HeldRunDeps } from './held-run.ts'
import { extend, giveUp } from './interruption.ts'

export interface HeldRunsDeps extends Omit<HeldRunDeps, 'onRelease'> {
  readonly store: Store
  readonly owner: string
  /** A run has ended, or somebody else has it. */
  readonly onEnd: (id: string) => void
}

export class HeldRuns {
  readonly #deps: HeldRunsDeps
  readonly #runDeps: HeldRunDeps
  readonly #held = new Map<string, HeldRun>()
  #waiting: (() => void)[] = []

  constructor(deps: HeldRunsDeps) {
    this.#deps = deps
    this.#runDeps = { ...deps, onRelease: (run) => this.#release(run) }
  }

  /** @param row As this process wrote it. */
  hold(row: ExecutionRow): HeldRun {
    this.#held.get(row.id)?.lose() // an earlier run of ours that was taken for dead
    const run = new HeldRun(this.#runDeps, row, this.#deps.owner)
    this.#held.set(run.id, run)
    return run
  }

  get(id: string): HeldRun | undefined {
    return this.#held.get(id)
  }

  all(): HeldRun[] {
    return [...this.#held.values()]
  }

  /** Prolongs them; what is not ours any more is lost. @throws VestryError STORE_UNAVAILABLE. */
  async extend(lease: Lease): Promise<void> {
    const runs = this.all()
    if (runs.length === 0) return
    const ids = runs.map(({ id }) => id)
    const kept = await extend(this.#deps.store, lease, ids)
    for (const run of runs) if (!kept.has(run.id)) run.lose()
  }

  /** Tries again what the store did not take. */
  async saveAgain(): Promise<void> {
    await Promise.allSettled(this.all().map((run) => run.saveAgain()))
  }

  /** As if this process had died while it ran them. */
  async giveUp(runs: readonly HeldRun[]): Promise<void> {
    if (runs.length === 0) return
    const { store, owner, now } = this.#deps
    const ids = runs.map(({ id }) => id)
    try {
      await giveUp(store, owner, ids, now())
    } catch {
      // The store is away: they count as dead when their lease ends, or at the next start.
    }
    for (const run of runs) run.lose()
  }

  /** Resolves when none is held. */
  quiet(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#held.size === 0) resolve()
      else this.#waiting.push(resolve)
    })
  }

  #release(run: HeldRun): void {
    if (this.#held.get(run.id) === run) this.#held.delete(run.id)
    if (this.#held.size === 0) for (const resolve of this.#waiting.splice(0)) resolve()
    this.#deps.onEnd(run.id)
  }
}
