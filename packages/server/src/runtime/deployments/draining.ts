/**
 * Deployments on their way out: runs come to their end, wherever they are, then permissions go, then it is stopped.
 * Every node that hears of it does all of this, so that it comes to its end whichever of them dies.
 */
import type { Programs } from '../programs/programs-api.ts'
import type { DeploymentSchedules } from '../schedules/schedules-api.ts'
import { failedAt, stoppedAt, tell } from './changes.ts'
import type { DeploymentRuns } from './deployment-runs.ts'
import type { DeploymentStore } from './deployment-store.ts'
import { becomes } from './within.ts'

export interface DrainingDeps {
  readonly store: Pick<DeploymentStore, 'get' | 'change'>
  readonly runs: Pick<DeploymentRuns, 'open'>
  readonly programs: () => Pick<Programs, 'withdraw'> | undefined
  readonly schedules: () => Pick<DeploymentSchedules, 'remove'> | undefined
  /** Ends an execution, as far as this node can. */
  readonly cancel: (executionId: string) => Promise<void>
  /** Sealed: what was begun waits for the next opening. */
  readonly closed: () => boolean
  readonly drainMs: number
  /** For those that were told to end. */
  readonly endMs: number
  /** Epoch ms. */
  readonly now: () => number
  readonly warn: (line: string) => void
}

const TELL_AGAIN_MS = 1_000

export class Draining {
  readonly #deps: DrainingDeps
  readonly #underWay = new Map<string, Promise<void>>()

  constructor(deps: DrainingDeps) {
    this.#deps = deps
  }

  /** One at a time for each. Never rejects. */
  finish(id: string): Promise<void> {
    const known = this.#underWay.get(id)
    if (known !== undefined) return known
    const mine = this.#drain(id)
      .catch((error: unknown) => this.#deps.warn(`deployment ${id}: ${tell(error)}`))
      .finally(() => this.#underWay.delete(id))
    this.#underWay.set(id, mine)
    return mine
  }

  /** It never served. @throws VestryError STORE_UNAVAILABLE, VAULT_LOCKED */
  async undo(id: string, error: unknown): Promise<void> {
    const { store, schedules, programs, now } = this.#deps
    await schedules()?.remove(id)
    await programs()?.withdraw(id)
    await store.change([{ id, change: failedAt(now(), error) }])
  }

  async #drain(id: string): Promise<void> {
    const { store, schedules, programs, closed, drainMs, now } = this.#deps
    await schedules()?.remove(id)
    if (!(await this.#empty(id, drainMs))) await this.#end(id)
    if (closed() || (await store.get(id))?.stoppedAt !== undefined) return
    await programs()?.withdraw(id)
    await store.change([{ id, change: stoppedAt(now()) }])
  }

  /** Runs of a node that died are given to another one meanwhile, which ends them. */
  async #end(id: string): Promise<void> {
    const { runs, cancel, closed, endMs, warn } = this.#deps
    const untilMs = performance.now() + endMs
    while (!closed()) {
      for (const execution of await runs.open(id)) await cancel(execution)
      if (await this.#empty(id, TELL_AGAIN_MS)) return
      if (performance.now() < untilMs) continue
      // What it may do ends all the same.
      warn(`deployment ${id}: stopped while a run of it does not end`)
      return
    }
  }

  #empty(id: string, ms: number): Promise<boolean> {
    const { runs, closed } = this.#deps
    return becomes(async () => closed() || (await runs.open(id)).length === 0, ms)
  }
}
