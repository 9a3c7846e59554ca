/** Deployments that serve on this node: found by their id, and by the paths on which events reach them. */
import { VestryError } from '@vestry/contract/errors'
import type { Agent } from '../../identity/agent.ts'
import type { ProgramVersion } from '../programs/programs-api.ts'
import type { Deployment } from './deployment.ts'
import { type Hook, hooksOf, Live, takesOver } from './live.ts'

export interface Reached {
  readonly live: Live
  readonly hook: Hook
}

const MAX_LIVE = 1_024

export class Serving {
  readonly #live = new Map<string, Live>()

  get(id: string): Live | undefined {
    return this.#live.get(id)
  }

  all(): readonly Live[] {
    return [...this.#live.values()]
  }

  /** Those of one agent's record. */
  of(agentId: string): readonly Deployment[] {
    return this.all()
      .map(({ deployment }) => deployment)
      .filter((one) => one.agentId === agentId)
  }

  put(deployment: Deployment, version: ProgramVersion | undefined): Live {
    const known = this.#live.get(deployment.id)
    const live = known ?? new Live(deployment, version)
    live.deployment = deployment
    this.#live.set(deployment.id, live)
    return live
  }

  remove(id: string): void {
    this.#live.delete(id)
  }

  clear(): void {
    this.#live.clear()
  }

  /** Which one gets the events of a path: of its agent and trigger, or of one deployment by its id. */
  byPath(path: string): Reached | undefined {
    let best: Reached | undefined
    for (const live of this.#live.values()) {
      const own = `hooks/${live.deployment.id}/`
      const hook = live.hooks.find((one) => one.path === path || own + one.name === path)
      if (hook === undefined) continue
      if (best === undefined || takesOver(live.deployment, best.live.deployment))
        best = { live, hook }
    }
    return best
  }

  /** @throws VestryError CONFLICT */
  assertRoom(): void {
    if (this.#live.size < MAX_LIVE) return
    throw new VestryError('CONFLICT', `${MAX_LIVE} deployments serve already`, {
      hint: 'Stop some of them',
    })
  }

  /** Nobody takes the events of another agent. @throws VestryError ALREADY_EXISTS */
  assertPaths(version: ProgramVersion | undefined, agent: Agent): void {
    if (version === undefined) return
    for (const { path, name } of hooksOf(version.definition, agent.name)) {
      const taken = this.byPath(path)
      if (taken === undefined || taken.live.deployment.agentId === agent.id) continue
      throw new VestryError('ALREADY_EXISTS', `The path ${path} of "${name}" is another agent's`, {
        hint: 'Name another path in the source',
      })
    }
  }
}
