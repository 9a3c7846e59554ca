/**
 * Agents as the runtime serves them: the one record of each agent, what it is told to be, what it did, and the state
 * that follows from all of it.
 */
import { asVestryError, VestryError } from '@vestry/contract/errors'
import type { Agent } from '../../identity/agent.ts'
import type { AgentStore } from '../../identity/agent-store.ts'
import {
  type AgentDefinition,
  changeDefinition,
  definitionBody,
  invalidFields,
  readDefinition,
} from './definition.ts'
import type { DefinitionStore } from './definition-store.ts'
import { iso } from './execution.ts'
import type { ExecutionStore } from './execution-store.ts'
import type { Executions } from './executions.ts'
import type { Mailbox } from './mailbox.ts'
import type { ReportStore } from './report-store.ts'
import { type Deployed, type Standing, standingOf } from './state.ts'
import { offeredTools } from './tool-names.ts'
import type { ToolSources } from './tool-source.ts'

export interface AgentsDeps {
  readonly records: AgentStore
  readonly definitions: DefinitionStore
  readonly store: ExecutionStore
  readonly executions: Executions
  readonly reports: ReportStore
  readonly mailbox: Mailbox
  readonly tools: ToolSources
  /** What is wrong with a model's name, in words; undefined: it could be asked now. */
  readonly modelProblem: (model: string) => Promise<string | undefined>
  /** Which of them serve, and when their last deployment ended. */
  readonly deployed: {
    standing(agentId: string): Promise<Deployed>
    /** Ids of agents' records. */
    deployedAgents(): readonly string[]
  }
  /** Written in the language: what it is follows from its source alone. */
  readonly isProgram: (agentId: string) => Promise<boolean>
  readonly heartbeatMs: number
  /** Epoch ms. */
  readonly now: () => number
}

export interface Created {
  readonly agent: Agent
  readonly warnings: readonly string[]
  readonly generation: number
}

export class Agents {
  readonly #deps: AgentsDeps

  constructor(deps: AgentsDeps) {
    this.#deps = deps
  }

  /** Sorted by when they were made. */
  async ids(): Promise<readonly string[]> {
    const all = await this.#deps.records.list()
    all.sort((a, b) => a.createdAt - b.createdAt || (a.name < b.name ? -1 : 1))
    return all.map(({ name }) => name)
  }

  /** @throws VestryError AGENT_NOT_FOUND */
  async named(name: string): Promise<Agent> {
    const agent = await this.#deps.records.byName(name)
    if (agent === undefined) throw agentNotFound(name)
    return agent
  }

  /** @throws VestryError VALIDATION_ERROR, ALREADY_EXISTS */
  async create(body: Readonly<Record<string, unknown>>): Promise<Created> {
    const { records, definitions } = this.#deps
    const { id, name, definition } = readDefinition(body)
    const { value: agent } = await records
      .add({ name: id, displayName: name, ...roleOf(body) })
      .catch((error: unknown) => {
        throw asVestryError(error).code === 'CONFLICT' ? alreadyExists(id) : error
      })
    try {
      const { generation } = await definitions.change(agent.id, () => definition)
      return { agent, generation, warnings: await this.warnings(definition) }
    } catch (error) {
      // Nobody was told that it is there, so its name is free again.
      await records.revoke(id).catch(() => undefined)
      throw error
    }
  }

  /** What the body names is changed. @throws VestryError AGENT_NOT_FOUND, VALIDATION_ERROR */
  async update(id: string, body: Readonly<Record<string, unknown>>): Promise<Created> {
    const { records, definitions } = this.#deps
    const before = await this.named(id)
    if (await this.#deps.isProgram(before.id)) throw isProgram(id)
    const changed = (definition: AgentDefinition | undefined) =>
      changeDefinition(id, { name: before.displayName, definition }, body)
    const { name } = changed(await definitions.get(before.id))
    const changes = { displayName: name, ...roleOf(body) }
    const isSame = name === before.displayName && (changes.role ?? before.role) === before.role
    const agent = isSame ? before : (await records.amend(id, changes)).value
    const { definition, generation } = await definitions.change(
      agent.id,
      (now) => changed(now).definition,
    )
    return { agent, generation, warnings: await this.warnings(definition) }
  }

  async status(agent: Agent): Promise<Record<string, unknown>> {
    const standing = await this.standing(agent)
    const definition = await this.#deps.definitions.get(agent.id)
    return {
      agent_id: agent.name,
      state: standing.state,
      last_activity: iso(standing.lastActivityMs),
      resource_usage: {
        // It runs within the server's own process.
        memory_bytes: 0,
        cpu_percent: 0,
        active_tasks: standing.activeTasks,
      },
      lifecycle_state: standing.lifecycle,
      name: agent.displayName,
      role: agent.role,
      spiffe_id: agent.spiffeId,
      created_at: iso(agent.createdAt),
      definition:
        definition === undefined
          ? null
          : { ...definitionBody(definition), metadata: definition.metadata },
    }
  }

  async metrics(agent: Agent): Promise<Record<string, unknown>> {
    const { store, now } = this.#deps
    const { completed, failed, timed, totalMs } = await store.totals(agent.id)
    const { lastActivityMs, upSinceMs } = await this.standing(agent)
    return {
      agent_id: agent.name,
      tasks_completed: completed,
      tasks_failed: failed,
      average_response_time_ms: timed === 0 ? 0 : Math.round((totalMs / timed) * 10) / 10,
      memory_usage_bytes: 0,
      cpu_usage_percent: 0,
      last_activity: iso(lastActivityMs),
      uptime_seconds:
        upSinceMs === undefined ? 0 : Math.max(0, Math.floor((now() - upSinceMs) / 1_000)),
    }
  }

  async standing(agent: Agent): Promise<Standing> {
    const { store, reports, heartbeatMs, now } = this.#deps
    const [totals, open, report, deployed] = await Promise.all([
      store.totals(agent.id),
      store.open(agent.id),
      reports.get(agent.id),
      this.#deps.deployed.standing(agent.id),
    ])
    const begun = open.map(({ startedAt }) => startedAt)
    return standingOf({ agent, totals, open: begun, report, deployed, heartbeatMs }, now())
  }

  /** For the metrics of the system. */
  async counts(): Promise<{ active_agents: number; total_agents: number }> {
    const { records, store, reports, heartbeatMs, now } = this.#deps
    const all = await records.list()
    const open = await store.open()
    const reporting = await reports.alive(now() - 3 * heartbeatMs)
    // Only of these it can be said at all that they are there.
    const candidates = new Set([
      ...open.map(({ agentId }) => agentId),
      ...reporting,
      ...this.#deps.deployed.deployedAgents(),
    ])
    const known = all.filter(({ id }) => candidates.has(id))
    const standings = await Promise.all(known.map((agent) => this.standing(agent)))
    const active = standings.filter(({ state }) => state === 'active' || state === 'busy')
    return { active_agents: active.length, total_agents: all.length }
  }

  /** What could not work if it were executed now; it may later. */
  async warnings({ tools, model }: AgentDefinition): Promise<readonly string[]> {
    const { unresolved } = await offeredTools(tools, this.#deps.tools())
    const problem = await this.#deps.modelProblem(model)
    return [
      ...unresolved.map(({ name, why }) => `tools: ${WORDS[why](name)}`),
      ...(problem === undefined ? [] : [`model: ${problem}`]),
    ]
  }

  /** Revoked: what it was told and did stays in the record, and nothing else of it. */
  async forget(agentId: string): Promise<void> {
    const { executions, mailbox, reports } = this.#deps
    await executions.cancelAll(agentId)
    await mailbox.forget(agentId)
    await reports.forget(agentId)
  }
}

const WORDS = {
  unknown: (name: string) => `no tool is called "${name}" now`,
  ambiguous: (name: string) => `"${name}" could be several tools: name its server, as server/tool`,
  too_many: (name: string) => `"${name}" is one too many`,
  refused: (name: string) => `"${name}" may not be called: "vestry mcp tools" says why`,
} as const

export function agentNotFound(name: string): VestryError {
  return new VestryError('AGENT_NOT_FOUND', `There is no agent "${name.slice(0, 128)}"`)
}

function isProgram(name: string): VestryError {
  return new VestryError('INVALID_STATE_TRANSITION', `Agent "${name}" is what its source says`, {
    hint: 'Change the source and compile it: POST dsl/compile, or "vestry dsl deploy"',
  })
}

function alreadyExists(name: string): VestryError {
  return new VestryError('ALREADY_EXISTS', `There is an agent "${name}"`, {
    hint: 'Change it with PUT, or choose another id',
  })
}

/** Not of the published client: the role that policies see. */
function roleOf(body: Readonly<Record<string, unknown>>): { role?: string } {
  const role = body['role']
  if (role === undefined || role === null) return {}
  if (typeof role === 'string' && /^[^\p{C}]{1,128}$/u.test(role)) return { role }
  throw invalidFields([{ path: 'role', problem: 'must be 1 to 128 printable characters' }])
}
