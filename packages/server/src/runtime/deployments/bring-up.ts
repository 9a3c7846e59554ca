/** Brings a deployment up: first what it may do is put into force, then it serves. */
import { VestryError } from '@vestry/contract/errors'
import type { Programs, ProgramVersion } from '../programs/programs-api.ts'
import type { DeploymentSchedules } from '../schedules/schedules-api.ts'
import { failing, leaving, running, servesAgain, tell } from './changes.ts'
import { type Deployment, isLive } from './deployment.ts'
import type { DeploymentStore } from './deployment-store.ts'
import type { Draining } from './draining.ts'
import { schedulesOf } from './live.ts'
import type { Serving } from './serving.ts'

export interface BringUpDeps {
  readonly store: Pick<DeploymentStore, 'get' | 'change'>
  readonly programs: () => Programs | undefined
  readonly schedules: () => DeploymentSchedules | undefined
  readonly serving: Serving
  readonly draining: Pick<Draining, 'undo'>
  readonly finish: (id: string) => Promise<void>
  readonly closed: () => boolean
  /** Before what could not be brought up is tried again; doubled each time. */
  readonly retryMs: number
  readonly warn: (line: string) => void
}

const LONGEST_RETRY_MS = 60_000

export class BringUp {
  readonly #deps: BringUpDeps
  readonly #retries = new Map<string, NodeJS.Timeout>()

  constructor(deps: BringUpDeps) {
    this.#deps = deps
  }

  close(): void {
    for (const timer of this.#retries.values()) clearTimeout(timer)
    this.#retries.clear()
  }

  /** @param replaces Those that stop in the same change. @throws VestryError what keeps it from serving. */
  async first(
    deployment: Deployment,
    version: ProgramVersion | undefined,
    replaces: readonly string[],
  ): Promise<void> {
    const { store, draining, finish } = this.#deps
    const { id } = deployment
    try {
      await this.#grant(deployment, version)
      await this.#schedule(deployment, version)
      const { value } = await store.change([
        { id, change: running },
        ...replaces.map((other) => ({ id: other, change: leaving })),
      ])
      this.#serve(value[0] ?? deployment, version)
    } catch (error) {
      await draining.undo(id, error)
      throw error
    }
    for (const other of replaces) void finish(other)
  }

  /** After a restart: its schedules are as they were left. One that cannot serve says why, and is tried again. */
  async again(found: Deployment, attempt = 0): Promise<void> {
    const { store, warn } = this.#deps
    const { id } = found
    try {
      const version = await this.#versionOf(found)
      await this.#grant(found, version)
      const { value } =
        attempt === 0 ? { value: [found] } : await store.change([{ id, change: servesAgain }])
      const now = value[0] ?? found
      if (isLive(now)) this.#serve(now, version)
    } catch (error) {
      warn(`deployment ${id}: ${tell(error)}`)
      const change = (now: Deployment) => (isLive(now) ? failing(now, error) : {})
      await store.change([{ id, change }]).catch(() => undefined)
      this.#later(id, attempt + 1)
    }
  }

  /** One that serves, says the store. Whoever brought it up has put into force what it may do. */
  async seen(found: Deployment): Promise<void> {
    const { serving } = this.#deps
    if (serving.get(found.id) !== undefined) this.#serve(found, undefined)
    else if (found.status === 'running') this.#serve(found, await this.#versionOf(found))
  }

  #later(id: string, attempt: number): void {
    const { retryMs, closed, store, warn } = this.#deps
    if (closed()) return
    const again = async (): Promise<void> => {
      this.#retries.delete(id)
      const found = await store.get(id)
      if (found !== undefined && isLive(found) && !closed()) await this.again(found, attempt)
    }
    const ms = Math.min(retryMs * 2 ** (attempt - 1), LONGEST_RETRY_MS)
    const timer = setTimeout(() => {
      again().catch((error: unknown) => {
        warn(`deployment ${id}: ${tell(error)}`)
        this.#later(id, attempt + 1)
      })
    }, ms).unref()
    this.#retries.set(id, timer)
  }

  async #grant({ id, createdBy }: Deployment, version: ProgramVersion | undefined): Promise<void> {
    if (version !== undefined) await this.#deps.programs()?.grant(id, version, createdBy)
  }

  /** @throws VestryError NOT_READY */
  async #schedule(deployment: Deployment, version: ProgramVersion | undefined): Promise<void> {
    const { id, createdBy } = deployment
    const schedules = version === undefined ? [] : schedulesOf(version, deployment)
    if (schedules.length === 0) return
    const scheduler = this.#deps.schedules()
    if (scheduler === undefined)
      throw new VestryError('NOT_READY', 'Schedules are not served by this daemon')
    await scheduler.put(id, schedules, createdBy)
  }

  #serve(deployment: Deployment, version: ProgramVersion | undefined): void {
    if (!this.#deps.closed()) this.#deps.serving.put(deployment, version)
  }

  /** @throws VestryError STORE_CORRUPT for one whose program is gone. */
  async #versionOf({ agentId, programVersion }: Deployment): Promise<ProgramVersion | undefined> {
    if (programVersion === undefined) return undefined
    const version = await this.#deps.programs()?.version(agentId, programVersion)
    if (version === undefined)
      throw new VestryError('STORE_CORRUPT', `Version ${programVersion} of the program is gone`)
    return version
  }
}
