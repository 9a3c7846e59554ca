/**
 * Which gateway policies bind an agent: those of its role, then its own. Agents with the same ones share a
 * group, compiled when the first of them asks and remembered with a bound.
 */
import { RecentMap } from '../store/recent-map.ts'
import { GatewayGroup } from './gateway-group.ts'
import { mergeGateway } from './gateway-merge.ts'
import { GatewayParts } from './gateway-parts.ts'
import { type GatewayPolicy, readGatewayRow } from './gateway-row.ts'
import type { PolicyPrincipal } from './policy-request.ts'

/** Half of them are kept for certain: 10 000 agents with policies of their own, some 10 KB each. */
const MAX_GROUPS = 20_000

export class GatewayGroups {
  readonly #byRole = new Map<string, GatewayPolicy[]>()
  readonly #byAgent = new Map<string, GatewayPolicy[]>()
  readonly #ofRole = new RecentMap<string, GatewayGroup>(MAX_GROUPS)
  readonly #ofAgent = new RecentMap<string, { role: string; group: GatewayGroup }>(MAX_GROUPS)
  readonly #parts = new GatewayParts()
  readonly #firstOrdinal: number

  /**
   * @param rows In the order in which they were made.
   * @throws VestryError `POLICY_INVALID` naming the policy that cannot be read.
   */
  constructor(rows: readonly { id: string; json: string }[], firstOrdinal: number) {
    this.#firstOrdinal = firstOrdinal
    for (const row of rows) {
      const policy = readGatewayRow(row)
      const { owner } = policy
      if ('role' in owner) file(this.#byRole, owner.role, policy)
      else file(this.#byAgent, owner.agent_id, policy)
    }
  }

  /** Undefined when no gateway policy speaks of this principal. */
  of(principal: PolicyPrincipal): GatewayGroup | undefined {
    if (principal.kind !== 'agent') return undefined
    const { id, role } = principal
    if (this.#byAgent.has(id)) {
      const known = this.#ofAgent.get(id)
      if (known?.role === role) return known.group
      const group = this.#compile(principal)
      this.#ofAgent.set(id, { role, group })
      return group
    }
    if (!this.#byRole.has(role)) return undefined
    let group = this.#ofRole.get(role)
    if (group === undefined) {
      group = this.#compile(principal)
      this.#ofRole.set(role, group)
    }
    return group
  }

  /** In the order in which they are merged. */
  policiesOf({ kind, id, role }: PolicyPrincipal): GatewayPolicy[] {
    if (kind !== 'agent') return []
    return [...(this.#byRole.get(role) ?? []), ...(this.#byAgent.get(id) ?? [])]
  }

  #compile(principal: PolicyPrincipal): GatewayGroup {
    const merged = mergeGateway(this.policiesOf(principal))
    return new GatewayGroup(merged, this.#parts, this.#firstOrdinal)
  }
}

function file(map: Map<string, GatewayPolicy[]>, key: string, policy: GatewayPolicy): void {
  const known = map.get(key)
  if (known === undefined) map.set(key, [policy])
  else known.push(policy)
}
