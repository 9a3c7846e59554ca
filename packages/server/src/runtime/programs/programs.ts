/** Agents that are programs: their versions, what each may do while it is deployed, and how one is run. */
import { VestryError } from '@vestry/contract/errors'
import { programHold, programPolicies } from '../../dsl/cedar.ts'
import type { CheckedAgent } from '../../dsl/definition.ts'
import type { Agent } from '../../identity/agent.ts'
import type { PolicyStore } from '../../policy/policy-store.ts'
import { RecentMap } from '../../store/recent-map.ts'
import type { LoopEnd } from '../agents/loop.ts'
import type { PinnedProgram, ProgramRunner, ProgramWork } from '../agents/program-runner.ts'
import { checkedAgent } from './compile.ts'
import { withWorkflow } from './permitted.ts'
import type { ProgramStore } from './program-store.ts'
import type { Programs, ProgramVersion } from './programs-api.ts'
import { type RunProgramDeps, runProgram } from './run-program.ts'
import { type RunSourceDeps, runSource } from './run-source.ts'

export interface OwnProgramsDeps {
  readonly store: ProgramStore
  readonly agents: { byId(id: string): Promise<Agent | undefined> }
  readonly policies: Pick<PolicyStore, 'replaceOwn' | 'list'>
  /** Resolves when the policies in force are those on disk. */
  readonly reloadPolicies: () => Promise<void>
  readonly run: RunProgramDeps & RunSourceDeps
  /** What its deployer set, once deployments are there. */
  readonly configOf: (
    deploymentId: string,
  ) => Promise<Readonly<Record<string, unknown>> | undefined>
  /** The id of the newest deployment of this very version that serves. */
  readonly servingOf: (version: ProgramVersion) => Promise<string | undefined>
}

const PARSED = 64

export class OwnPrograms implements Programs, ProgramRunner {
  readonly #deps: OwnProgramsDeps
  readonly #parsed = new RecentMap<string, CheckedAgent>(PARSED)

  constructor(deps: OwnProgramsDeps) {
    this.#deps = deps
  }

  version(agentId: string, version?: number): Promise<ProgramVersion | undefined> {
    return this.#deps.store.get(agentId, version)
  }

  code(version: ProgramVersion): CheckedAgent {
    const key = `${version.agentId}/${version.version}`
    const known = this.#parsed.get(key)
    if (known !== undefined) return known
    const parsed = checkedAgent(version.source, version.definition.name)
    this.#parsed.set(key, parsed)
    return parsed
  }

  async grant(deploymentId: string, version: ProgramVersion): Promise<void> {
    const { agents, policies, reloadPolicies, configOf } = this.#deps
    const agent = await agents.byId(version.agentId)
    if (agent === undefined) throw new VestryError('AGENT_NOT_FOUND')
    const config = await configOf(deploymentId)
    const made = programPolicies({
      agentName: agent.name,
      deploymentId,
      version: heldVersion(version.version, deploymentId),
      permissions: withWorkflow(version.permissions, config?.['workflow_id']),
    })
    await policies.replaceOwn(
      prefixOf(deploymentId),
      made.map(({ text }) => text),
    )
    await reloadPolicies()
  }

  async withdraw(deploymentId: string): Promise<void> {
    const { policies, reloadPolicies } = this.#deps
    const prefix = prefixOf(deploymentId)
    if (!(await policies.list()).some(({ id }) => id.startsWith(prefix))) return
    await policies.replaceOwn(prefix, [])
    await reloadPolicies()
  }

  runSource(asked: Parameters<Programs['runSource']>[0]): Promise<unknown> {
    return runSource(this.#deps.run, asked)
  }

  async isProgram(agentId: string): Promise<boolean> {
    return (await this.version(agentId)) !== undefined
  }

  async runnable(agentId: string, version: number | undefined): Promise<number | undefined> {
    const found = await this.version(agentId, version)
    if (found === undefined) {
      if (version === undefined) return undefined
      throw new VestryError('AGENT_NOT_FOUND', `The agent has no version ${version}`)
    }
    return isRunnable(this.code(found)) ? found.version : undefined
  }

  async timeoutSeconds(
    agentId: string,
    { version, config }: PinnedProgram,
  ): Promise<number | undefined> {
    const set = config?.['timeout_seconds']
    if (typeof set === 'number') return set
    return (await this.version(agentId, version))?.permissions.budgets.timeoutSeconds
  }

  async run(work: ProgramWork): Promise<LoopEnd> {
    const version = await this.version(work.agent.id, work.program.version)
    if (version === undefined)
      throw new VestryError('AGENT_NOT_FOUND', `The agent has no version ${work.program.version}`)
    const { deploymentId = await this.#deps.servingOf(version) } = work.program
    const holds = [
      programHold(work.agent.name, version.version),
      ...(deploymentId === undefined
        ? []
        : [programHold(work.agent.name, heldVersion(version.version, deploymentId))]),
    ]
    return runProgram(this.#deps.run, work, { version, checked: this.code(version), holds })
  }
}

/** With attributes alone it is a definition, for a model to follow. */
export function isRunnable({ code }: CheckedAgent): boolean {
  if (code.actions.length > 0) return true
  if (code.bodies.some(({ block }) => block.statements.length > 0 || block.value !== undefined))
    return true
  return code.functions.some(({ name }) => name.text === 'main')
}

/** What one deployment was granted is of no use to the runs of another. */
function heldVersion(version: number, deploymentId: string): string {
  return `${version}/${deploymentId}`
}

function prefixOf(deploymentId: string): string {
  return `dsl:${deploymentId}#`
}
