/** Sources made into agents: everything that is wrong is told, and what is right gets an agent and a version. */
import { VestryError } from '@vestry/contract/errors'
import { type Compiled, compileSource } from '../../dsl/compile.ts'
import type { CheckedAgent } from '../../dsl/definition.ts'
import { type Diagnostic, diagnosticLine } from '../../dsl/diagnostic.ts'
import { permissionsOf } from '../../dsl/permissions-of.ts'
import type { Agent } from '../../identity/agent.ts'
import type { AgentStore } from '../../identity/agent-store.ts'
import type { AgentDefinition } from '../agents/definition.ts'
import type { DefinitionStore } from '../agents/definition-store.ts'
import type { ToolSources } from '../agents/tool-source.ts'
import { definitionOf } from './definition-of.ts'
import type { ProgramStore } from './program-store.ts'
import type { ProgramVersion } from './programs-api.ts'

export interface CompilerDeps {
  readonly records: Pick<AgentStore, 'add' | 'byName' | 'list'>
  readonly definitions: Pick<DefinitionStore, 'get' | 'change'>
  readonly programs: ProgramStore
  readonly tools: ToolSources
}

export interface Registered {
  readonly agent: Agent
  readonly version: ProgramVersion
  readonly generation: number
}

export class Compiler {
  readonly #deps: CompilerDeps

  constructor(deps: CompilerDeps) {
    this.#deps = deps
  }

  /** Stores nothing. @param isOperator Others must not learn from it who is there. */
  async check(source: string, agentName: string, isOperator: boolean): Promise<Compiled> {
    const { tools } = this.#deps
    const known = new Set(
      tools().flatMap(({ id, names, bare = id, group = id }) => [id, ...names, bare, group]),
    )
    const options = { agentName, tools: (name: string) => known.has(name) }
    if (!isOperator) return compileSource(source, options)
    const agents = new Set((await this.#deps.records.list()).map(({ name }) => name))
    const isTaken = await this.#isTaken(agentName)
    return compileSource(source, {
      ...options,
      agents: (name) => agents.has(name),
      registered: (name) => name === agentName && isTaken,
    })
  }

  /** An identity alone may become a program; what somebody defined otherwise may not. */
  async #isTaken(agentName: string): Promise<boolean> {
    const { records, definitions, programs } = this.#deps
    const existing = await records.byName(agentName)
    if (existing === undefined || (await programs.get(existing.id)) !== undefined) return false
    return (await definitions.get(existing.id)) !== undefined
  }

  /**
   * A new version, and its agent where there was none. A crash in between leaves at most an agent without a
   * program, which the next attempt takes.
   *
   * @throws VestryError VALIDATION_ERROR, QUEUE_FULL …
   */
  async register(
    checked: CheckedAgent,
    given: { readonly source: string; readonly agentName: string; readonly by: string },
  ): Promise<Registered> {
    const { records, definitions, programs } = this.#deps
    const { source, agentName, by } = given
    const permissions = permissionsOf(checked)
    const definition: AgentDefinition = definitionOf(checked.definition)
    const known = await records.byName(agentName)
    const agent =
      known ??
      (await records.add({ name: agentName, displayName: displayName(checked, agentName) })).value
    const { version, generation } = await programs.add({
      agentId: agent.id,
      source,
      sourceHash: checked.definition.source_hash,
      definition: checked.definition,
      permissions,
      createdBy: by,
    })
    await definitions.change(agent.id, () => definition)
    return { agent, version, generation }
  }
}

/** @throws VestryError DSL_INVALID with every diagnostic */
export function checkedAgent(source: string, agentName: string): CheckedAgent {
  const { agent, diagnostics } = compileSource(source, { agentName })
  if (agent !== undefined) return agent
  throw invalidSource(diagnostics)
}

export function invalidSource(diagnostics: readonly Diagnostic[]): VestryError {
  const errors = diagnostics.filter(({ severity }) => severity === 'error').map(diagnosticLine)
  return new VestryError('DSL_INVALID', errors.slice(0, 5).join('; '), {
    context: { errors },
    hint: '"vestry dsl check" shows each of them in its place',
  })
}

function displayName({ definition }: CheckedAgent, agentName: string): string {
  const name = definition.attributes['name']
  return typeof name === 'string' && /^[^\p{C}]{1,128}$/u.test(name) ? name : agentName
}
