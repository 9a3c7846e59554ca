/**
 * All deployments: brought up, kept serving over restarts, drained and stopped. What a program may do is in force
 * from before its deployment serves until after it has stopped: the row is there before the first of it and until
 * after the last, so that a crash between any two steps is put right at the next opening.
 */
import { VestryError } from '@vestry/contract/errors'
import { newTimeOrderedId } from '@vestry/contract/ids'
import type { Approved } from '../../call/approval.ts'
import type { Agent } from '../../identity/agent.ts'
import type { AgentDefinition } from '../agents/definition.ts'
import type { Programs, ProgramVersion } from '../programs/programs-api.ts'
import type { DeploymentSchedules } from '../schedules/schedules-api.ts'
import type { Blocker, Candidate } from './blockers.ts'
import { BringUp } from './bring-up.ts'
import {
  assertFree,
  before,
  doing,
  isSame,
  leaving,
  statusAfter,
  tell,
  wrongState,
} from './changes.ts'
import {
  type AskedDeployment,
  type Deployment,
  type DeploymentFacts,
  isLive,
  readDeployRequest,
  unknownDeployment,
} from './deployment.ts'
import type { DeploymentRuns } from './deployment-runs.ts'
import type { DeploymentStore } from './deployment-store.ts'
import { Draining } from './draining.ts'
import type { Live } from './live.ts'
import { type Reached, Serving } from './serving.ts'
import { type Standing, standingOf } from './standing.ts'
import { TIMES } from './times.ts'
import type { Wanted } from './widening.ts'
import { within } from './within.ts'

export interface DeploymentsDeps {
  readonly store: DeploymentStore
  readonly runs: DeploymentRuns
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
  /** An operator's yes, where one is needed. @throws VestryError APPROVAL_REQUIRED … */
  readonly approved: (wanted: Wanted) => Promise<Approved | undefined>
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

export class Deployments {
  readonly #deps: DeploymentsDeps
  readonly #times: typeof TIMES
  readonly #serving = new Serving()
  readonly #draining: Draining
  readonly #bringUp: BringUp
  #closed = true
  #following: Promise<void> = Promise.resolve()

  constructor(deps: DeploymentsDeps) {
    this.#deps = deps
    this.#times = { ...TIMES, ...deps.times }
    const closed = () => this.#closed
    this.#draining = new Draining({ ...deps, ...this.#times, closed })
    this.#bringUp = new BringUp({
      ...deps,
      retryMs: this.#times.retryMs,
      closed,
      serving: this.#serving,
      draining: this.#draining,
      finish: (id) => this.#finish(id),
    })
  }

  /** The vault is open: those that served serve again, and what a crash left half done is brought to its end. */
  async open(): Promise<void> {
    this.#closed = false
    const { store, alone, now, warn } = this.#deps
    for (const found of await store.open()) {
      if (isLive(found)) await this.#bringUp.again(found)
      else if (found.status === 'stopping') void this.#finish(found.id)
      else if (alone || found.deployedAt < now() - this.#times.deployingMs)
        await this.#draining
          .undo(found.id, new VestryError('INTERRUPTED'))
          .catch((error: unknown) => warn(`deployment ${found.id}: ${tell(error)}`))
    }
  }

  /** Sealed: nothing of it stays in memory. */
  async close(): Promise<void> {
    this.#closed = true
    this.#bringUp.close()
    await this.#following
    this.#serving.clear()
  }

  /** What was changed, here or on another node. */
  onChange(tables: readonly string[]): void {
    if (this.#closed || !(tables.includes('deployment') || tables.includes('agent'))) return
    this.#following = this.#following
      .then(() => this.#follow(tables))
      .catch((error: unknown) => this.#deps.warn(`deployments: ${String(error)}`))
  }

  /** What a node that died was about to stop is stopped by another one. */
  async prune(): Promise<void> {
    if (this.#closed) return
    for (const { id, status } of await this.#deps.store.open())
      if (status === 'stopping') void this.#finish(id)
    await this.#deps.runs.prune()
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
    return this.#serving.get(id)
  }

  /** Those of one agent that serve, the newest first; as the store says, so also while they are brought up again. */
  async serving(agentId: string): Promise<readonly Deployment[]> {
    return (await this.#deps.store.list(agentId)).filter(isLive)
  }

  byPath(path: string): Reached | undefined {
    return this.#serving.byPath(path)
  }

  standing(agentId: string): Promise<Standing> {
    return standingOf(agentId, this.#serving.of(agentId), this.#deps.store)
  }

  /** Of agents' records, those that are deployed here. */
  deployedAgents(): readonly string[] {
    return [...new Set(this.#serving.all().map(({ deployment }) => deployment.agentId))]
  }

  /** @throws VestryError VALIDATION_ERROR, AGENT_NOT_FOUND, APPROVAL_REQUIRED, DEPLOYMENT_BLOCKED, POLICY_INVALID … */
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
    const earlier = before(now, await this.#deps.store.list(agent.id))
    if (earlier === undefined) throw wrongState(now, 'no earlier version was deployed there')
    const version =
      earlier.programVersion === undefined
        ? undefined
        : await this.#deps.programs()?.version(agent.id, earlier.programVersion)
    if (earlier.programVersion !== undefined && version === undefined)
      throw wrongState(now, `version ${earlier.programVersion} is no longer known`)
    const { environment, facts, config } = earlier
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
    const { id, status: known } = live.deployment
    if (status === undefined || status === known || this.#serving.get(id) !== live) return
    const { value } = await this.#deps.store.change([{ id, change: doing(status, error) }])
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
    const { store, now, definitionOf, blockers } = this.#deps
    const { environment, config } = asked
    if (agent.status !== 'enabled')
      throw new VestryError('INVALID_STATE_TRANSITION', `Agent "${agent.name}" is disabled`)
    const definition = await definitionOf(agent.id)
    assertFree(await blockers({ environment, config, version, definition }), asked)
    this.#serving.assertPaths(version, agent)
    this.#serving.assertRoom()
    await using approved = await this.#deps.approved({ agent, environment, config, version })
    const deployedAt = now()
    const id = newTimeOrderedId('dep', deployedAt)
    const { warnings } = asked
    const rolledBack = to.rollbackOf !== undefined && { rollbackOf: to.rollbackOf }
    const facts: DeploymentFacts = { agentName: agent.name, warnings, ...rolledBack }
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
    approved?.commit()
    note({ deployment: id, agent: agent.name, environment, version: version?.version ?? null })
    await within(this.#bringUp.first(added, version, to.replaces), this.#times.readyMs)
    return this.get(id)
  }

  /** It takes no more from now on. */
  #finish(id: string): Promise<void> {
    this.#serving.remove(id)
    return this.#draining.finish(id)
  }

  async #follow(tables: readonly string[]): Promise<void> {
    if (this.#closed) return
    const open = await this.#deps.store.open()
    for (const one of open) {
      if (one.status === 'stopping') void this.#finish(one.id)
      else if (isLive(one)) await this.#bringUp.seen(one)
    }
    const live = new Set(open.filter(isLive).map(({ id }) => id))
    for (const { deployment } of this.#serving.all()) {
      if (!live.has(deployment.id)) this.#serving.remove(deployment.id)
      else if (tables.includes('agent')) await this.#stopOfRevoked(deployment)
    }
  }

  /** Nobody is left who could serve. */
  async #stopOfRevoked({ id, agentId }: Deployment): Promise<void> {
    const agent = await this.#deps.agents.byId(agentId)
    if (agent !== undefined && agent.status !== 'revoked') return
    await this.#deps.store.change([{ id, change: leaving }])
    void this.#finish(id)
  }
}
