/** Whose knowledge a caller may see or write, class by class. */
import { VestryError } from '@vestry/contract/errors'
import { principalOf, type Stations } from '../../call/perform.ts'
import type { Agent } from '../../identity/agent.ts'
import type { Caller } from '../../identity/caller.ts'
import type { KnowledgeResource, PolicyPrincipal } from '../../policy/policy-request.ts'
import type { KnowledgeClass } from '../item.ts'

export type KnowledgeAction = 'knowledge:search' | 'knowledge:write'

export interface SightDeps {
  readonly stations: Pick<Stations, 'policy' | 'now'>
}

/** As whom somebody looks. */
export interface View {
  readonly caller: Caller
  /** Shared knowledge and that of this agent only; undefined: shared only, or all for `everything`. */
  readonly agent: Agent | undefined
  readonly everything: boolean
}

export interface Sight {
  readonly classes: readonly KnowledgeClass[]
  /** That passed the first filter. */
  readonly seen: number
  /** Of them, by policy. */
  readonly refused: number
}

export function resourceOf({ owner, sourceType, labels }: KnowledgeClass): KnowledgeResource {
  return { kind: 'knowledge', owner, sourceType, labels }
}

/** Who owns it comes first, then policy, for who asks and for whom it is looked at. */
export function sightOf(
  { stations }: SightDeps,
  view: View,
  all: Iterable<KnowledgeClass>,
  sourceTypes: readonly string[],
): Sight {
  const classes: KnowledgeClass[] = []
  let seen = 0
  for (const one of all) {
    if (sourceTypes.length > 0 && !sourceTypes.includes(one.sourceType)) continue
    if (!isOwned(view, one)) continue
    seen += 1
    if (mayUse(stations, view, 'knowledge:search', one)) classes.push(one)
  }
  return { classes, seen, refused: seen - classes.length }
}

function isOwned({ agent, everything }: View, { ownerId }: KnowledgeClass): boolean {
  return everything || ownerId === undefined || ownerId === agent?.id
}

/** What needs somebody's approval cannot be asked for in passing: it is refused here. */
export function mayUse(
  { policy, now }: SightDeps['stations'],
  { caller, agent }: View,
  action: KnowledgeAction,
  of: KnowledgeClass,
): boolean {
  const context = { nowMs: now(), transport: caller.peer.transport }
  const resource = resourceOf(of)
  const own = principalOf(caller)
  const principals: PolicyPrincipal[] = [own]
  const lentSight = agent !== undefined && caller.principal.kind === 'operator'
  if (lentSight) principals.push(principalOf({ ...caller, principal: { kind: 'agent', agent } }))
  return principals.every((principal) => {
    const decision = policy.decide({ principal, action, resource, context })
    return decision.allow && decision.obligations.approve.length === 0
  })
}

export function isAdministrator({ principal }: Caller): boolean {
  if (principal.kind !== 'operator') return false
  return principal.operator.role === 'owner' || principal.operator.role === 'admin'
}

/**
 * @param named As the request has it: the name of an agent.
 * @throws VestryError AGENT_NOT_FOUND, also for an agent that is not the caller's to ask about
 */
export async function viewOf(
  caller: Caller,
  named: string | undefined,
  byName: (name: string) => Promise<Agent | undefined>,
): Promise<View> {
  const { principal } = caller
  if (principal.kind === 'agent') {
    if (named !== undefined && named !== principal.agent.name && named !== principal.agent.id)
      throw new VestryError('AGENT_NOT_FOUND', `Agent ${named.slice(0, 64)} does not exist`)
    return { caller, agent: named === undefined ? undefined : principal.agent, everything: false }
  }
  if (named === undefined) return { caller, agent: undefined, everything: isAdministrator(caller) }
  const agent = await byName(named)
  if (agent === undefined)
    throw new VestryError('AGENT_NOT_FOUND', `Agent ${named.slice(0, 64)} does not exist`)
  return { caller, agent, everything: false }
}
