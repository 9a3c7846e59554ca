/** What stands between an agent and an environment: things to mend, each in words. */
import type { ProgramDefinition } from '../../dsl/definition.ts'
import type { AgentDefinition } from '../agents/definition.ts'
import { resolveTools } from '../agents/tool-names.ts'
import type { ToolSources } from '../agents/tool-source.ts'
import type { ProgramVersion } from '../programs/programs-api.ts'
import { type DeploymentConfig, PRODUCTION } from './deployment.ts'

export interface Blocker {
  readonly code:
    | 'COMPILE_ERRORS'
    | 'W_PERMISSIVE_POLICY'
    | 'TOOL_NOT_VERIFIED'
    | 'SANDBOX_UNAVAILABLE'
    | 'NO_DEFINITION'
  readonly message: string
}

export interface Candidate {
  readonly environment: string
  readonly config: DeploymentConfig
  readonly version: ProgramVersion | undefined
  readonly definition: AgentDefinition | undefined
}

export interface BlockerDeps {
  readonly tools: ToolSources
  /** Parses it again. @throws VestryError DSL_INVALID */
  readonly parse: (version: ProgramVersion) => unknown
  /** Isolation that this host offers, in lower case. */
  readonly sandboxes: ReadonlySet<string>
}

export async function blockersOf(
  { tools, parse, sandboxes }: BlockerDeps,
  { environment, config, version, definition }: Candidate,
): Promise<readonly Blocker[]> {
  const wanted = [
    ...(version?.definition.with ?? []).flatMap(({ sandbox }) => sandbox ?? []),
    ...(config.sandbox === undefined ? [] : [config.sandbox]),
  ]
  // Whatever the environment: never with less isolation than was asked for.
  const missing = [...new Set(wanted)].filter((name) => !sandboxes.has(name.toLowerCase()))
  const blockers: Blocker[] = missing.map((name) => ({
    code: 'SANDBOX_UNAVAILABLE',
    message: `sandbox "${name}" is not available on this host`,
  }))
  if (version === undefined && definition === undefined)
    blockers.push({ code: 'NO_DEFINITION', message: 'nobody said what the agent is to do' })
  if (environment !== PRODUCTION) return blockers
  if (version !== undefined) {
    if (!parses(parse, version))
      blockers.push({ code: 'COMPILE_ERRORS', message: 'the program has errors' })
    for (const name of permissive(version.definition))
      blockers.push({
        code: 'W_PERMISSIVE_POLICY',
        message: `policy "${name}" allows anything, without a condition`,
      })
  }
  const listed = version === undefined ? (definition?.tools ?? []) : toolsOf(version)
  return [...blockers, ...(await unverified(listed, tools))]
}

function parses(parse: BlockerDeps['parse'], version: ProgramVersion): boolean {
  try {
    parse(version)
    return true
  } catch {
    return false
  }
}

function permissive({ policies }: ProgramDefinition): readonly string[] {
  return policies
    .filter(({ rules }) =>
      rules.some(
        ({ effect, target, condition }) =>
          effect === 'allow' && condition === null && /^\[?\s*"?any"?\s*\]?$/.test(target),
      ),
    )
    .map(({ name }) => name)
}

function toolsOf({ permissions, definition }: ProgramVersion): readonly string[] {
  const { tools = [] } = definition.attributes
  const named = Array.isArray(tools) ? tools.filter((one) => typeof one === 'string') : []
  const asked = permissions.allows
    .filter(({ kind, name }) => (kind === 'tool' || kind === 'mcp') && !name.includes('*'))
    .map(({ name }) => name)
  return [...new Set([...named, ...asked])]
}

async function unverified(listed: readonly string[], tools: ToolSources): Promise<Blocker[]> {
  const { tools: found, unresolved } = resolveTools(listed, tools())
  const refused: string[] = []
  for (const { id, isRefused } of found.values())
    if ((await isRefused?.()) === true) refused.push(id)
  return [
    ...unresolved.map(({ name, why }) => `tool "${name}" is ${why} now`),
    ...refused.map((name) => `tool "${name}" is not verified`),
  ].map((message) => ({ code: 'TOOL_NOT_VERIFIED', message }))
}
