/**
 * A program's permissions as Cedar policies of its deployment: for its agent alone, and only while that program runs.
 * Every name from the source is written as an escaped literal, and one that no policy can hold exactly is refused.
 */
import { VestryError } from '@vestry/contract/errors'
import { cedarString } from '../policy/cedar/expression.ts'
import { nameProblem, splitTool } from './permission-names.ts'
import type { Permission, Permissions } from './permissions.ts'

export interface ProgramPolicies {
  readonly agentName: string
  readonly deploymentId: string
  readonly version: string | number
  readonly permissions: Permissions
}

export interface ProgramPolicy {
  /** `dsl:<deployment>#<n>` */
  readonly id: string
  readonly text: string
}

/** What holds for everything that a run of this program does; goes into `Caller.holds`. */
export function programHold(agentName: string, version: string | number): string {
  return `program:${agentName}@${version}`
}

/**
 * One policy for each permission and denial; what built-in policies permit anyway needs none: the agent's own secrets
 * and knowledge, and shared knowledge without labels. In the order of the permissions.
 *
 * @throws VestryError DSL_INVALID for a name that no policy can hold.
 */
export function programPolicies(given: ProgramPolicies): readonly ProgramPolicy[] {
  const { permissions, agentName, deploymentId, version } = given
  const hosts = permissions.allows.filter(({ kind }) => kind === 'host')
  const parts = [
    ...permissions.allows.map((one) => ({ effect: 'permit' as const, one })),
    ...permissions.denies.map((one) => ({ effect: 'forbid' as const, one })),
  ].flatMap(({ effect, one }) => {
    const problem = nameProblem(one)
    if (problem !== undefined)
      throw new VestryError('DSL_INVALID', `The name of a ${one.kind} ${problem}`)
    const scope =
      effect === 'permit' ? permitted(one, permissions, hosts) : forbidden(one, agentName)
    return scope === undefined ? [] : [{ effect, one, scope }]
  })
  const hold = programHold(agentName, version)
  return parts.map(({ effect, one, scope }, i) => {
    const id = `dsl:${deploymentId}#${i + 1}`
    const clauses = [
      { name: 'program', test: holds(hold) },
      ...one.conditions.map((rule) => ({ name: 'rule', test: holds(`dsl:${rule}`) })),
      ...(scope.clauses ?? []),
    ]
    const notes: (readonly [string, string])[] = [
      ['id', id],
      ['description', described(effect, one)],
      ['clauses', clauses.map(({ name }) => name).join(',')],
      ...(effect === 'permit'
        ? obligations(one, permissions)
        : ([['reason', 'DSL_POLICY_DENIED']] as const)),
    ]
    const lines = [
      ...notes.map(([name, value]) => `@${name}(${cedarString(value)})`),
      `${effect} (`,
      `  principal == Agent::${cedarString(agentName)},`,
      `  action in [${scope.actions.map((name) => `Action::${cedarString(name)}`).join(', ')}],`,
      `  resource ${scope.resource}`,
      ')',
      ...clauses.map(({ test }) => `when { ${test} }`),
    ]
    return { id, text: `${lines.join('\n')};` }
  })
}

interface Scope {
  readonly actions: readonly string[]
  /** After the word `resource`. */
  readonly resource: string
  readonly clauses?: readonly Clause[]
}

interface Clause {
  readonly name: string
  readonly test: string
}

const NO_REQUESTS: Clause = { name: 'tool', test: 'resource.tool != "http"' }
const NO_LOCAL_TOOL: Clause = { name: 'server', test: 'resource.tool like "mcp/*"' }
const NO_OWNER: Clause = { name: 'shared', test: '!(resource has owner)' }

/** Undefined: built-in policies permit it, or it is not asked of policies. */
function permitted(
  one: Permission,
  permissions: Permissions,
  hosts: readonly Permission[],
): Scope | undefined {
  switch (one.kind) {
    case 'credential':
      return { ...common(one), clauses: [destination(hosts)] }
    case 'secret':
      return undefined
    case 'host': {
      const clauses = [hostClause(one.name)]
      if (one.access !== 'cleartext')
        clauses.push({
          name: 'encrypted',
          test: 'context has host && context.host.scheme == "https"',
        })
      return { ...common(one), clauses }
    }
    case 'knowledge':
      return labelled(one, permissions)
    default:
      return common(one)
  }
}

function forbidden(one: Permission, agentName: string): Scope {
  switch (one.kind) {
    case 'secret': {
      const path = one.name === '*' ? '**' : one.name
      const own = cedarString(`secrets/${agentName}/${path}`)
      return { actions: ['vault:*'], resource: `in PathGlob::${own}` }
    }
    case 'credential':
      return { ...common(one), actions: ['vault:*'] }
    case 'host':
      return one.name === '*' ? common(one) : { ...common(one), clauses: [hostClause(one.name)] }
    default:
      return common(one)
  }
}

/** The same for both effects: what is meant, without what a permit asks for beside it. */
function common({ kind, name }: Permission): Scope {
  const text = cedarString(name)
  switch (kind) {
    case 'tool':
    case 'mcp':
      return toolScope(kind, name)
    case 'model':
      return modelScope(name)
    case 'credential':
      return {
        actions: ['vault:use'],
        resource: `in PathGlob::${cedarString(name === '*' ? '**' : name)}`,
      }
    case 'host':
      return { actions: ['tool:call'], resource: 'in Tool::"http"' }
    case 'agent':
      return { actions: ['agent:run'], resource: name === '*' ? 'is Agent' : `== Agent::${text}` }
    case 'workflow':
      return {
        actions: ['workflow:run'],
        resource: name === '*' ? 'is Workflow' : `== Workflow::${text}`,
      }
    case 'knowledge':
      return {
        actions: ['knowledge:search', 'knowledge:write'],
        resource: 'is Knowledge',
        ...labels(name),
      }
    case 'secret':
      return { actions: ['vault:retrieve'], resource: `in PathGlob::${text}` }
  }
}

function toolScope(kind: 'tool' | 'mcp', name: string): Scope {
  const actions = [kind === 'mcp' ? 'mcp:call' : 'tool:call']
  // Requests are tool calls too, and asked for by their hosts.
  if (name === '*')
    return { actions, resource: 'is Tool', clauses: [kind === 'mcp' ? NO_LOCAL_TOOL : NO_REQUESTS] }
  const { tool, action } = splitTool(name)
  if (!action.includes('*')) return { actions, resource: `== Tool::${cedarString(name)}` }
  const resource = `in Tool::${cedarString(tool)}`
  if (action === '*') return { actions, resource }
  return {
    actions,
    resource,
    clauses: [{ name: 'action', test: `resource.action like ${cedarString(action)}` }],
  }
}

function modelScope(name: string): Scope {
  const actions = ['llm:chat', 'llm:embed']
  if (name === '*') return { actions, resource: 'is Model' }
  if (name.endsWith(':*'))
    return { actions, resource: `in Model::${cedarString(name.slice(0, -2))}` }
  if (name.includes(':')) return { actions, resource: `== Model::${cedarString(name)}` }
  const test = `resource.model == ${cedarString(name)}`
  return { actions, resource: 'is Model', clauses: [{ name: 'model', test }] }
}

/** Denials name one label, or all knowledge. */
function labels(name: string): { clauses?: readonly Clause[] } {
  if (name === '*') return {}
  if (name === 'own') return { clauses: [{ name: 'own', test: 'resource has owner' }] }
  if (name === 'shared') return { clauses: [NO_OWNER] }
  return { clauses: [{ name: 'labels', test: `resource.labels.contains(${cedarString(name)})` }] }
}

/** An item may have several labels, so all that are asked for under the same conditions stand in each permit. */
function labelled(one: Permission, { allows }: Permissions): Scope | undefined {
  if (one.name === 'own' || one.name === 'shared') return undefined
  const scope = { actions: ['knowledge:search'], resource: 'is Knowledge' }
  if (one.name === '*') return { ...scope, clauses: [NO_OWNER] }
  const under = new Set(one.conditions)
  const listed = allows
    .filter(
      ({ kind, conditions }) => kind === 'knowledge' && conditions.every((rule) => under.has(rule)),
    )
    .map(({ name }) => name)
    .filter((name) => !['own', 'shared', '*'].includes(name))
  const set = [...new Set(listed)].sort().map(cedarString).join(', ')
  const test = `[${set}].containsAll(resource.labels)`
  const has = `resource.labels.contains(${cedarString(one.name)})`
  return { ...scope, clauses: [NO_OWNER, { name: 'label', test: has }, { name: 'labels', test }] }
}

/** A credential goes to the hosts that the program asks for; without any, where it is bound to itself. */
function destination(hosts: readonly Permission[]): Clause {
  const free = hosts.filter(({ conditions }) => conditions.length === 0)
  const globs = free.map(({ name }) => `HostGlob::${cedarString(name)}`)
  const bound = 'context has credential_hosts && context.credential_hosts == "match"'
  const sent = 'action == Action::"vault:use:http_request"'
  const listed = `context has host && context.host in [${globs.join(', ')}]`
  return { name: 'destination', test: `!(${sent}) || (${globs.length === 0 ? bound : listed})` }
}

function hostClause(name: string): Clause {
  return {
    name: 'host',
    test: `context has host && context.host in HostGlob::${cedarString(name)}`,
  }
}

function holds(name: string): string {
  return `context.holds.contains(${cedarString(name)})`
}

/** Each permit counts for itself. */
function obligations(
  one: Permission,
  { budgets }: Permissions,
): readonly (readonly [string, string])[] {
  const notes: (readonly [string, string])[] = []
  if (budgets.rate !== undefined) notes.push(['rate', budgets.rate])
  if (budgets.quota !== undefined) notes.push(['quota', budgets.quota])
  if (one.kind === 'model' && budgets.maxTokens !== undefined)
    notes.push(['cap', `max_tokens ${budgets.maxTokens}`])
  return notes
}

function described(effect: 'permit' | 'forbid', { kind, name, line }: Permission): string {
  const where = line === 0 ? 'the attributes of the program' : `line ${line} of the program`
  return `${where} ${effect === 'permit' ? 'asks for' : 'denies'} ${kind} ${name}`
}
