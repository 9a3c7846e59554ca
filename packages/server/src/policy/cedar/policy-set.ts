/**
 * A compiled set of policies. Says which policies are satisfied and which failed to evaluate; it
 * does not decide, because what an error means is the engine's business.
 */
import { VestryError } from '@vestry/contract/errors'
import { type CedarRequest, type EntitySource, EvalContext } from './entity.ts'
import { type CompiledPolicy, compilePolicy, satisfied } from './policy.ts'
import { PolicyIndex } from './policy-index.ts'

export interface StoredPolicy {
  readonly id: string
  /** Cedar's JSON policy form. */
  readonly json: unknown
}

export interface PolicyFailure {
  readonly policy: CompiledPolicy
  readonly message: string
}

/** Each list is in the order the policies were given. */
export interface Evaluation {
  readonly permits: readonly CompiledPolicy[]
  readonly forbids: readonly CompiledPolicy[]
  readonly errors: readonly PolicyFailure[]
}

export class CompiledSet {
  readonly policies: readonly CompiledPolicy[]
  readonly #index: PolicyIndex

  constructor(policies: readonly CompiledPolicy[]) {
    this.policies = policies
    this.#index = new PolicyIndex(policies)
  }

  /**
   * Evaluates every policy whose scope matches, permits and forbids alike.
   *
   * @param more Policies of another set whose scopes are known to match; their ordinals come after ours.
   */
  evaluate(
    request: CedarRequest,
    entities: EntitySource,
    more: readonly CompiledPolicy[] = [],
  ): Evaluation {
    const context = new EvalContext(request, entities)
    const permits: CompiledPolicy[] = []
    const forbids: CompiledPolicy[] = []
    const errors: PolicyFailure[] = []
    const found = this.#index.find(request)
    for (const policy of more) found.push(policy)
    for (const policy of found) {
      const met = satisfied(policy, context)
      if (met === false) continue
      if (met !== true) errors.push({ policy, message: met.message })
      else if (policy.effect === 'permit') permits.push(policy)
      else forbids.push(policy)
    }
    if (permits.length > 1) permits.sort(byOrdinal)
    if (forbids.length > 1) forbids.sort(byOrdinal)
    if (errors.length > 1) errors.sort((a, b) => byOrdinal(a.policy, b.policy))
    return { permits, forbids, errors }
  }

  /** The policies whose scope matches, conditions not looked at, in the order they were given. */
  candidates(request: CedarRequest): CompiledPolicy[] {
    return this.#index.find(request).sort(byOrdinal)
  }
}

/** @throws VestryError `POLICY_INVALID` naming the policy and the place in it. */
export function compilePolicies(policies: readonly StoredPolicy[]): CompiledSet {
  const ids = new Set<string>()
  const compiled = policies.map(({ id, json }, ordinal) => {
    if (ids.has(id)) throw new VestryError('POLICY_INVALID', `Two policies are named "${id}"`)
    ids.add(id)
    return compilePolicy(id, json, ordinal)
  })
  return new CompiledSet(compiled)
}

function byOrdinal(a: CompiledPolicy, b: CompiledPolicy): number {
  return a.ordinal - b.ordinal
}
