/**
 * All deployments: brought up, kept serving over restarts, drained and stopped. What a program may do is in force
 * from before its deployment serves until after it has stopped: the row is there before the first of it and until
 * after the last, so that a crash between any two steps is put right at the next opening.
 */
import { asVestryError, VestryError } from '@vestry/contract/errors'
import { newTimeOrderedId } from '@vestry/contract/ids'
import type { Agent } from '../../identity/agent.ts'
import type { AgentDefinition } from '../agents/definition.ts'
import type { Programs, ProgramVersion } from '../programs/programs-api.ts'
import type { DeploymentSchedules } from '../schedules/schedules-api.ts'
import type { Blocker, Candidate } from './blockers.ts'
import {
  type AskedDeployment,
  type Deployment,
  type DeploymentFacts,
  isLive,
  readDeployRequest,
  unknownDeployment,
} from './deployment.ts'
import type { DeploymentStore } from './deployment-store.ts'
import { hooksOf, Live, schedulesOf, takesOver } from './live.ts'

export interface DeploymentsDeps {
  readonly store: DeploymentStore
  readonly agents: {
    /** @throws VestryError AGENT_NOT_FOUND */
    named(name: string): Promise<Agent>
    byId(id: string): Promise<Agent | undefined>
  }
  readonly definitionOf: (agentId: string) => Promise<AgentDefinition | undefined>
  /** Both come to be later than this. */
  readonly programs: () => Programs | undefined
  readonly schedules: () => DeploymentSchedules | undefined
  readonly blockers: (candidate: Candidate) => Promise<readonly Blocker[]>
  /** Ends an execution. */
  readonly cancel: (executionId: string) => Promise<void>
  /** No other process uses this store. */
  readonly alone: boolean
  /** Epoch ms. */
  readonly now: () => number
  readonly warn: (line: string) => void
  readonly times?: Partial<typeof TIMES>
}

/** Adds facts to the record of a change. */
export type Note = (facts: Record<string, unknown>) => void

const TIMES = { readyMs: 20_000, drainMs: 30_000, answerMs: 15_000, deployingMs: 60_000 }
const MAX_LIVE = 1_024
const DEGRADED_AFTER = 3
const FAILED_AFTER = 10
const MAX_ERROR = 512
/** Among these is the one that was stopped last, or near enough. */
const NEWEST = 50

export class Deployments {
  readonly #deps: DeploymentsDeps
  readonly #times: typeof TIMES
  readonly #live = new Map<string, Live>()
  readonly #stopping = new Map<string, Promise<void>>()
  /** Serves no more, and has runs still. */
  readonly #leaving = new Map<string, Live>()
  #closed = true
  #following: Promise<void> = Promise.resolve()

  constructor(deps: DeploymentsDeps) {
    this.#deps = deps
    this.#times = { ...TIMES, ...deps.times }
  }

  /** The vault is open: those that served serve again, and what a crash left half done is brought to its end. */
  async open(): Promise<void> {
    this.#closed = false
    const { store, alone, now } = this.#deps
    for (const found of await store.open()) {
      if (isLive(found)) await this.#bringBack(found)
      else if (found.status === 'stopping') void this.#finish(found.id)
      else if (alone || found.deployedAt < now() - this.#times.deployingMs)
        await this.#fail(found.id, new VestryError('INTERRUPTED')).catch((error: unknown) =>
          this.#deps.warn(`deployment ${found.id}: ${tell(error)}`),
        )
    }
  }

  /** Sealed: nothing of it stays in memory. */
  async close(): Promise<void> {
    this.#closed = true
    await this.#following
    this.#live.clear()
    this.#leaving.clear()
  }

  /** What was changed, here or on another node. */
  onChange(tables: readonly string[]): void {
    if (this.#closed || !(tables.includes('deployment') || tables.includes('agent'))) return
    this.#following = this.#following
      .then(() => this.#follow(tables))
      .catch((error: unknown) => this.#deps.warn(`deployments: ${String(error)}`))
  }

  /** @throws VestryError DEPLOYMENT_NOT_FOUND. @param agentName Only of this agent. */
  async get(id: string, agentName?: string): Promise<Deployment> {
    const found = await this.#deps.store.get(id)
    if (found === undefined || (agentName !== undefined && found.facts.agentName !== agentName))
      throw unknownDeployment(id)
    return found
  }

  /** Newest first. */
  async list(agentName?: string): Promise<readonly Deployment[]> {
    const all = await this.#deps.store.list()
    return all.filter(({ facts }) => agentName === undefined || facts.agentName === agentName)
  }

  /** One that serves here. */
  live(id: string): Live | undefined {
    return this.#live.get(id)
  }

  /** Which one gets the events of a path: of its agent and trigger, or of one deployment by its id. */
  byPath(path: string): { readonly live: Live; readonly hook: Live['hooks'][number] } | undefined {
    let best: ReturnType<Deployments['byPath']>
    for (const live of this.#live.values()) {
      const own = `hooks/${live.deployment.id}/`
      const hook = live.hooks.find((one) => one.path === path || own + one.name === path)
      if (hook === undefined) continue
      if (best === undefined || takesOver(live.deployment, best.live.deployment))
        best = { live, hook }
    }
    return best
  }

  /** Of one agent: since when it serves, how it does, and when its last deployment was stopped. */
  async standing(agentId: string): Promise<{
    readonly sinceMs: number | undefined
    readonly isWell: boolean
    readonly stoppedMs: number | undefined
  }> {
    const live = [...this.#live.values()]
      .map(({ deployment }) => deployment)
      .filter((one) => one.agentId === agentId)
    const stopped =
      live.length > 0
        ? []
        : (await this.#deps.store.list(agentId, NEWEST))
            .filter(({ status }) => status === 'stopped')
            .flatMap((one) => one.stoppedAt ?? [])
    return {
      sinceMs: live.length === 0 ? undefined : Math.min(...live.map((one) => one.deployedAt)),
      isWell: live.every(({ status }) => status === 'running'),
      stoppedMs: stopped.length === 0 ? undefined : Math.max(...stopped),
    }
  }

  /** Of agents' records, those that are deployed here. */
  deployedAgents(): readonly string[] {
    return [...new Set(Array.from(this.#live.values(), (live) => live.deployment.agentId))]
  }

  /** @throws VestryError VALIDATION_ERROR, AGENT_NOT_FOUND, DEPLOYMENT_BLOCKED, ALREADY_EXISTS, POLICY_INVALID */
  async deploy(
    body: Readonly<Record<string, unknown>>,
    by: string,
    note: Note,
  ): Promise<Deployment> {
    const asked = readDeployRequest(body)
    const agent = await this.#deps.agents.named(asked.agentName)
    const version = await this.#deps.programs()?.version(agent.id)
    const previous =
      asked.config.replace_previous === true
        ? (await this.#deps.store.open()).filter(
            (one) => isLive(one) && isSame(one, agent.id, asked.environment),
          )
        : []
    return this.#start({ asked, agent, version, by, note, replaces: previous.map(({ id }) => id) })
  }

  /**
   * What was deployed before of the same agent in the same environment takes over in one change.
   *
   * @throws VestryError DEPLOYMENT_NOT_FOUND, INVALID_STATE_TRANSITION, and as {@link deploy}
   */
  async rollback(id: string, by: string, note: Note): Promise<Deployment> {
    const now = await this.get(id)
    const agent = await this.#deps.agents.named(now.facts.agentName)
    if (!isLive(now)) throw wrongState(now, 'only one that serves can be rolled back')
    const before = (await this.#deps.store.list(agent.id)).find(
      (one) =>
        isSame(one, agent.id, now.environment) &&
        (one.stoppedAt === undefined || one.status === 'stopped') &&
        isEarlier(one, now),
    )
    if (before === undefined) throw wrongState(now, 'no earlier version was deployed there')
    const version =
      before.programVersion === undefined
        ? undefined
        : await this.#deps.programs()?.version(agent.id, before.programVersion)
    if (before.programVersion !== undefined && version === undefined)
      throw wrongState(now, `version ${before.programVersion} is no longer known`)
    const { environment, facts, config } = before
    const asked = { agentName: agent.name, environment, config, warnings: facts.warnings }
    return this.#start({ asked, agent, version, by, note, replaces: [id], rollbackOf: id })
  }

  /** @returns as it is then: `stopped`, or `stopping` where runs take longer. Once is as good as often. */
  async stop(id: string, note: Note): Promise<Deployment> {
    const found = await this.get(id)
    if (found.stoppedAt !== undefined) return found
    const { generation } = await this.#deps.store.change([{ id, change: leaving }])
    note({ deployment: id, agent: found.facts.agentName, generation })
    await within(this.#finish(id), this.#times.answerMs)
    return this.get(id)
  }

  /** How a run of it ended. */
  async ran(live: Live, error: { readonly code: string; readonly message: string } | undefined) {
    if (error?.code === 'CANCELLED' || error?.code === 'INTERRUPTED') return
    live.failures = error === undefined ? 0 : live.failures + 1
    const status = statusAfter(live.failures)
    const { id, status: before } = live.deployment
    if (status === undefined || status === before || this.#live.get(id) !== live) return
    const told = error && `${error.code}: ${error.message}`.slice(0, MAX_ERROR)
    const change = (now: Deployment): Partial<Deployment> =>
      isLive(now)
        ? { status, facts: { ...now.facts, ...(told !== undefined && { lastError: told }) } }
        : {}
    const { value } = await this.#deps.store.change([{ id, change }])
    live.deployment = value[0] ?? live.deployment
  }

  async #start(to: {
    readonly asked: AskedDeployment
    readonly agent: Agent
    readonly version: ProgramVersion | undefined
    readonly by: string
    readonly note: Note
    readonly replaces: readonly string[]
    readonly rollbackOf?: string
  }): Promise<Deployment> {
    const { asked, agent, version, by, note } = to
    const { store, now } = this.#deps
    const { environment, config } = asked
    if (agent.status !== 'enabled')
      throw new VestryError('INVALID_STATE_TRANSITION', `Agent "${agent.name}" is disabled`)
    const definition = await this.#deps.definitionOf(agent.id)
    assertFree(await this.#deps.blockers({ environment, config, version, definition }), asked)
    this.#assertPaths(version, agent)
    if (this.#live.size >= MAX_LIVE)
      throw new VestryError('CONFLICT', `${MAX_LIVE} deployments serve already`)
    const deployedAt = now()
    const id = newTimeOrderedId('dep', deployedAt)
    const facts: DeploymentFacts = {
      agentName: agent.name,
      warnings: asked.warnings,
      ...(to.rollbackOf !== undefined && { rollbackOf: to.rollbackOf }),
    }
    const { value: added } = await store.add({
      id,
      agentId: agent.id,
      programVersion: version?.version,
      environment,
      status: 'deploying',
      config,
      facts,
      createdBy: by,
      deployedAt,
      stoppedAt: undefined,
    })
    note({ deployment: id, agent: agent.name, environment, version: version?.version ?? null })
    const ready = this.#bringUp(added, version, to.replaces)
    await within(ready, this.#times.readyMs)
    return this.get(id)
  }

  async #bringUp(
    deployment: Deployment,
    version: ProgramVersion | undefined,
    replaces: readonly string[],
  ): Promise<void> {
    const { id } = deployment
    try {
      await this.#grant(deployment, version)
      const { value } = await this.#deps.store.change([
        { id, change: running },
        ...replaces.map((other) => ({ id: other, change: leaving })),
      ])
      this.#serve(value[0] ?? deployment, version)
    } catch (error) {
      await this.#fail(id, error)
      throw error
    }
    for (const other of replaces) void this.#finish(other)
  }

  async #grant(deployment: Deployment, version: ProgramVersion | undefined): Promise<void> {
    if (version === undefined) return
    const { id, facts, createdBy } = deployment
    await this.#deps.programs()?.grant(id, version, createdBy)
    const schedules = schedulesOf(version, facts.agentName)
    if (schedules.length === 0) return
    const scheduler = this.#deps.schedules()
    if (scheduler === undefined)
      throw new VestryError('NOT_READY', 'Schedules are not served by this daemon')
    await scheduler.put(id, schedules, createdBy)
  }

  #serve(deployment: Deployment, version: ProgramVersion | undefined): void {
    const known = this.#live.get(deployment.id)
    if (known !== undefined) known.deployment = deployment
    else if (!this.#closed) this.#live.set(deployment.id, new Live(deployment, version))
  }

  /** Takes no more; what runs still is known until it has ended. */
  #retire(id: string): void {
    const live = this.#live.get(id)
    if (live === undefined) return
    this.#live.delete(id)
    this.#leaving.set(id, live)
    void live.places.idle().then(() => this.#leaving.delete(id))
  }

  /** After a restart. One that cannot serve says why, and is tried again at the next. */
  async #bringBack(found: Deployment): Promise<void> {
    try {
      const version = await this.#versionOf(found)
      await this.#grant(found, version)
      this.#serve(found, version)
    } catch (error) {
      const told = tell(error)
      this.#deps.warn(`deployment ${found.id}: ${told}`)
      const change = (now: Deployment): Partial<Deployment> => ({
        status: 'failed',
        facts: { ...now.facts, lastError: told },
      })
      await this.#deps.store.change([{ id: found.id, change }]).catch(() => undefined)
    }
  }

  /** @throws VestryError STORE_CORRUPT for one whose program is gone. */
  async #versionOf({ agentId, programVersion }: Deployment): Promise<ProgramVersion | undefined> {
    if (programVersion === undefined) return undefined
    const version = await this.#deps.programs()?.version(agentId, programVersion)
    if (version === undefined)
      throw new VestryError('STORE_CORRUPT', `Version ${programVersion} of the program is gone`)
    return version
  }

  /** Runs come to their end, permissions go, and then it is stopped. One at a time for each. */
  #finish(id: string): Promise<void> {
    const known = this.#stopping.get(id)
    if (known !== undefined) return known
    const mine = this.#drain(id)
      .catch((error: unknown) => this.#deps.warn(`deployment ${id}: ${tell(error)}`))
      .finally(() => this.#stopping.delete(id))
    this.#stopping.set(id, mine)
    return mine
  }

  async #drain(id: string): Promise<void> {
    this.#retire(id)
    await this.#deps.schedules()?.remove(id)
    const live = this.#leaving.get(id)
    if (live !== undefined) {
      await within(live.places.idle(), this.#times.drainMs)
      for (const execution of live.running) await this.#deps.cancel(execution)
    }
    await this.#deps.programs()?.withdraw(id)
    const stoppedAt = this.#deps.now()
    await this.#deps.store.change([
      {
        id,
        change: (now) => (now.stoppedAt === undefined ? { status: 'stopped', stoppedAt } : {}),
      },
    ])
  }

  /** It never served. */
  async #fail(id: string, error: unknown): Promise<void> {
    await this.#deps.schedules()?.remove(id)
    await this.#deps.programs()?.withdraw(id)
    const stoppedAt = this.#deps.now()
    const change = (now: Deployment): Partial<Deployment> =>
      now.status === 'deploying'
        ? { status: 'failed', stoppedAt, facts: { ...now.facts, lastError: tell(error) } }
        : {}
    await this.#deps.store.change([{ id, change }])
  }

  async #follow(tables: readonly string[]): Promise<void> {
    if (this.#closed) return
    const open = await this.#deps.store.open()
    const live = new Map(open.filter(isLive).map((one) => [one.id, one]))
    for (const one of live.values()) {
      if (this.#live.has(one.id)) this.#serve(one, undefined)
      // Whoever brought it up has put into force what it may do.
      else if (one.status === 'running') this.#serve(one, await this.#versionOf(one))
    }
    for (const [id, one] of this.#live) {
      if (!live.has(id)) this.#retire(id)
      else if (tables.includes('agent')) await this.#stopOfRevoked(one.deployment)
    }
  }

  /** Nobody is left who could serve. */
  async #stopOfRevoked({ id, agentId }: Deployment): Promise<void> {
    const agent = await this.#deps.agents.byId(agentId)
    if (agent !== undefined && agent.status !== 'revoked') return
    await this.#deps.store.change([{ id, change: leaving }])
    void this.#finish(id)
  }

  /** Nobody takes the events of another agent. @throws VestryError ALREADY_EXISTS */
  #assertPaths(version: ProgramVersion | undefined, agent: Agent): void {
    if (version === undefined) return
    for (const { path, name } of hooksOf(version.definition, agent.name)) {
      const taken = this.byPath(path)
      if (taken === undefined || taken.live.deployment.agentId === agent.id) continue
      throw new VestryError('ALREADY_EXISTS', `The path ${path} of "${name}" is another agent's`)
    }
  }
}

function statusAfter(failures: number): 'running' | 'degraded' | 'failed' | undefined {
  if (failures === 0) return 'running'
  if (failures >= FAILED_AFTER) return 'failed'
  return failures >= DEGRADED_AFTER ? 'degraded' : undefined
}

function running(now: Deployment): Partial<Deployment> {
  if (now.status !== 'deploying')
    throw new VestryError('INVALID_STATE_TRANSITION', 'It was stopped before it served')
  return { status: 'running' }
}

function leaving(now: Deployment): Partial<Deployment> {
  return now.stoppedAt === undefined ? { status: 'stopping' } : {}
}

function isSame(one: Deployment, agentId: string, environment: string): boolean {
  return one.agentId === agentId && one.environment === environment
}

/** Of a program an earlier version; of any other agent what was deployed before. */
function isEarlier(one: Deployment, now: Deployment): boolean {
  if (now.programVersion === undefined || one.programVersion === undefined)
    return one.deployedAt < now.deployedAt && one.id !== now.id && one.id !== now.facts.rollbackOf
  return one.programVersion < now.programVersion
}

function assertFree(blockers: readonly Blocker[], { environment }: AskedDeployment): void {
  const [first] = blockers
  if (first === undefined) return
  const isSandbox = blockers.every(({ code }) => code === 'SANDBOX_UNAVAILABLE')
  throw new VestryError(
    isSandbox ? 'SANDBOX_UNAVAILABLE' : 'DEPLOYMENT_BLOCKED',
    `Not ready for ${environment}: ${first.message}`,
    { hint: 'Mend what is listed, and deploy again', context: { details: { blockers } } },
  )
}

function wrongState({ id, status }: Deployment, why: string): VestryError {
  return new VestryError('INVALID_STATE_TRANSITION', `${id} is ${status}: ${why}`)
}

function tell(error: unknown): string {
  const { code, message } = asVestryError(error)
  return `${code}: ${message}`.slice(0, MAX_ERROR)
}

/** Resolves with the work or when the time is over, and the work goes on. @throws what the work throws in time. */
async function within(work: Promise<void>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms)
  })
  // What it throws later is told in its row.
  work.catch(() => undefined)
  await Promise.race([work, late]).finally(() => clearTimeout(timer))
}
