/**
 * The merged gateway policies of one group of agents, compiled. Small, so there is no index: all of them
 * are about calls of tools, and which tool is compared one by one.
 */
import type { CedarRequest } from './cedar/entity.ts'
import { type CompiledPolicy, scopeCovers } from './cedar/policy.ts'
import type { EntityUid } from './cedar/value.ts'
import { gatewayPolicies } from './gateway-import.ts'
import type { MergedGateway } from './gateway-merge.ts'
import type { GatewayParts } from './gateway-parts.ts'
import type { Obligations } from './obligations.ts'
import type { KnownPatterns, Patterns } from './patterns.ts'
import type { PolicyContext } from './policy-request.ts'
import type { PreparedPolicy } from './prepared-policy.ts'

export class GatewayGroup implements KnownPatterns {
  /** Merged obligations by the permits that held; of the whole decision, not only of ours. */
  readonly merged = new Map<string, Obligations>()
  readonly #prepared: readonly PreparedPolicy[]
  readonly #patterns: readonly Patterns[]
  readonly #first: number

  /** @param first Ordinal of the first policy: behind those of the set it is evaluated with. */
  constructor(merged: MergedGateway, parts: GatewayParts, first: number) {
    const compiled = gatewayPolicies(merged).map((policy, i) => parts.compile(policy, first + i))
    this.#first = first
    this.#prepared = compiled.map(({ prepared }) => prepared)
    this.#patterns = compiled.flatMap(({ patterns }) => patterns ?? [])
  }

  /** Policies whose resource matches. Principal and action match all requests this group is asked about. */
  find({ resource }: CedarRequest): CompiledPolicy[] {
    const found: CompiledPolicy[] = []
    for (const { policy } of this.#prepared) {
      if (scopeCovers(policy.scope.resource, resource)) found.push(policy)
    }
    return found
  }

  /** Undefined for a policy that is not of this group. */
  prepared(policy: CompiledPolicy): PreparedPolicy | undefined {
    const found = this.#prepared[policy.ordinal - this.#first]
    return found?.policy === policy ? found : undefined
  }

  holdsHost(uid: EntityUid, context: PolicyContext): boolean {
    return this.#patterns.some((patterns) => patterns.holdsHost(uid, context))
  }

  isOpen(uid: EntityUid, context: PolicyContext): boolean {
    return this.#patterns.some((patterns) => patterns.isOpen(uid, context))
  }
}
