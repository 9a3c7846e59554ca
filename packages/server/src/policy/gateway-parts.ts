/**
 * Compiles what gateway policies became, each different part once: ten thousand agents with a policy of
 * their own mostly have the same guards, and differ in ids.
 */
import { RecentMap } from '../store/recent-map.ts'
import { policyJson, type WrittenPolicy } from './cedar/expression.ts'
import { compilePolicy } from './cedar/policy.ts'
import { Patterns } from './patterns.ts'
import { type PreparedPolicy, preparePolicy } from './prepared-policy.ts'

export interface CompiledPart {
  prepared: PreparedPolicy
  /** Undefined when it names none. */
  patterns: Patterns | undefined
}

const MAX_PARTS = 20_000
/** These obligations carry the id of their policy. */
const PERSONAL = ['quota', 'rate']

export class GatewayParts {
  readonly #parts = new RecentMap<string, CompiledPart>(MAX_PARTS)

  /** @throws VestryError `POLICY_INVALID` naming the policy. */
  compile(policy: WrittenPolicy, ordinal: number): CompiledPart {
    if (policy.notes.some(([name]) => PERSONAL.includes(name))) return compileAlone(policy, ordinal)
    const key = keyOf(policy)
    let part = this.#parts.get(key)
    if (part === undefined) {
      part = compileAlone(policy, ordinal)
      this.#parts.set(key, part)
    }
    // The scope's principal is that of whoever came first: groups never look at it.
    const own = { ...part.prepared.policy, id: policy.id, ordinal }
    return { prepared: { ...part.prepared, policy: own }, patterns: part.patterns }
  }
}

function compileAlone(policy: WrittenPolicy, ordinal: number): CompiledPart {
  const json = policyJson(policy)
  const prepared = preparePolicy(compilePolicy(policy.id, json, ordinal))
  const patterns = new Patterns([{ id: policy.id, json }])
  return { prepared, patterns: patterns.size === 0 ? undefined : patterns }
}

/** All but the id and the principal. */
function keyOf({ effect, notes, resource, conditions }: WrittenPolicy): string {
  return JSON.stringify([effect, notes, resource, conditions.map(({ text }) => text)])
}
