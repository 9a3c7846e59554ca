/**
 * The policy engine: holds one compiled set, swaps it whole, answers questions about it. Reads no file,
 * no table and no clock. A set that cannot be read closes the engine: built-in policies stay, so an
 * operator can mend it, and everything an agent asks is refused.
 */
import { hash } from 'node:crypto'
import { canonicalJson } from '@vestry/contract/canonical'
import type { VestryError } from '@vestry/contract/errors'
import { TOOL_CALL } from './actions.ts'
import { BUILTIN_POLICIES } from './builtin-json.ts'
import { type CedarRequest, EvalContext } from './cedar/entity.ts'
import { type CompiledPolicy, scopeCovers } from './cedar/policy.ts'
import { type CompiledSet, compilePolicies, type StoredPolicy } from './cedar/policy-set.ts'
import { type Decision, type Judge, judge } from './decision.ts'
import type { GatewayGroup } from './gateway-group.ts'
import { GatewayGroups } from './gateway-groups.ts'
import { isGatewayId } from './gateway-row.ts'
import { mergeDuties } from './merge-duties.ts'
import type { Obligations } from './obligations.ts'
import type { PolicyPrincipal, PolicyRequest, PolicyResource } from './policy-request.ts'
import { type PreparedPolicy, preparePolicy } from './prepared-policy.ts'
import { contextRecord } from './request-context.ts'
import { type Sight, type Visible, visible } from './visibility.ts'
import { actionEntity, Vocabulary } from './vocabulary.ts'

export type { Closest, Decision } from './decision.ts'
export type { Obligations } from './obligations.ts'
export type {
  PolicyContext,
  PolicyPrincipal,
  PolicyRequest,
  PolicyResource,
  ToolResource,
} from './policy-request.ts'
export type { Sight, Visible } from './visibility.ts'

/** The columns of a `policy` row that the engine reads. */
export interface PolicyRow {
  id: string
  /** Cedar's JSON form; of a gateway policy its owner and spec. */
  json: string
  /** SHA-256 hex of `json`. */
  digest: string
  enabled: number
  position: number
}

export interface Explanation {
  decision: Decision
  /** Every policy whose scope matches, and how each of its conditions fared; built-in ones if they count. */
  policies: ExplainedPolicy[]
}

export interface ExplainedPolicy {
  id: string
  effect: 'permit' | 'forbid'
  state: 'holds' | 'fails' | 'error'
  clauses: { name: string; state: 'holds' | 'fails' | 'error' }[]
}

/** Of a transaction: the labels of all that it has read. */
export type TaintOf = (txn: string) => readonly string[]

export class PolicyEngine {
  readonly #taintOf: TaintOf
  #current = new PolicySet([])
  #closed: string | undefined = 'policies are not loaded yet'

  constructor(taintOf: TaintOf = () => []) {
    this.#taintOf = taintOf
  }

  /** SHA-256 hex over the ids and digests of all policies in force, built-in ones included. */
  get digest(): string {
    return this.#current.digest
  }

  /** How many policies are in force, built-in ones not counted. */
  get size(): number {
    return this.#current.size
  }

  /**
   * Compiles and swaps. Questions asked before keep the set they began with.
   *
   * @throws VestryError `POLICY_INVALID`; the engine is closed then, and stays so until a load succeeds.
   */
  load(rows: readonly PolicyRow[]): void {
    try {
      this.#current = new PolicySet(rows)
      this.#closed = undefined
    } catch (cause) {
      this.close((cause as VestryError).message)
      throw cause
    }
  }

  /** Refuses everything to agents until the next load: the stored policies cannot be trusted. */
  close(why: string): void {
    this.#current = new PolicySet([])
    this.#closed = why
  }

  decide(request: PolicyRequest): Decision {
    const decision = this.#current.decide(this.#whole(request))
    return this.#closed === undefined || decision.allow ? decision : this.#whileClosed(decision)
  }

  /** The same decision, and what each policy contributed. Costs more; for people. */
  explain(request: PolicyRequest): Explanation {
    const policies = this.#current.explain(this.#whole(request))
    return { decision: this.decide(request), policies }
  }

  /** What a principal may do with a credential, for `list`. No operations: it must not be listed. */
  visible(principal: PolicyPrincipal, resource: PolicyResource, sight: Sight): Visible {
    const taint = this.#taint(principal)
    const seen = taint.length === 0 ? sight : { ...sight, context: { ...sight.context, taint } }
    return this.#current.visible(principal, resource, seen)
  }

  /** Ids of the policies in force that speak of this principal at all, built-in ones not counted. */
  policiesOf(principal: PolicyPrincipal): string[] {
    return this.#current.policiesOf(principal)
  }

  /** Adds what follows the principal wherever it asks, so that no wire can forget it. */
  #whole(request: PolicyRequest): PolicyRequest {
    const { holds = NONE } = request.principal
    const taint = this.#taint(request.principal)
    if (taint.length === 0 && holds.length === 0) return request
    const { context } = request
    const all = holds.length === 0 ? context.holds : [...(context.holds ?? NONE), ...holds]
    return {
      ...request,
      context: { ...context, taint, ...(all !== undefined && { holds: all }) },
    }
  }

  #taint({ txn }: PolicyPrincipal): readonly string[] {
    return txn === undefined ? NONE : this.#taintOf(txn)
  }

  #whileClosed(decision: Decision): Decision {
    return { ...decision, reasonCode: 'policy_error', reason: this.#closed ?? decision.reason }
  }
}

const NONE: readonly string[] = []
const MAX_MERGED = 1_000
/** Groups are many, and each has few combinations of permits. */
const MAX_MERGED_IN_GROUP = 50

/** One immutable set. */
export class PolicySet {
  readonly digest: string
  readonly size: number
  readonly #set: CompiledSet
  readonly #vocabulary: Vocabulary
  readonly #groups: GatewayGroups
  /** By ordinal. */
  readonly #prepared: readonly PreparedPolicy[]
  readonly #merged = new Map<string, Obligations>()

  constructor(rows: readonly PolicyRow[]) {
    const enabled = inForce(rows)
    const [gateway, cedar] = parted(enabled, ({ id }) => isGatewayId(id))
    const stored: StoredPolicy[] = [
      ...BUILTIN_POLICIES,
      ...cedar.map(({ id, json }) => ({ id, json: JSON.parse(json) as unknown })),
    ]
    this.digest = setDigest(enabled)
    this.size = enabled.length
    this.#set = compilePolicies(stored)
    this.#vocabulary = new Vocabulary(stored)
    this.#prepared = this.#set.policies.map(preparePolicy)
    this.#groups = new GatewayGroups(gateway, stored.length)
  }

  decide(request: PolicyRequest): Decision {
    const group = this.#groupOf(request)
    const cedar = this.#question(request)
    const source = this.#vocabulary.surroundings(request.context, group)
    const evaluation = this.#set.evaluate(cedar, source, group?.find(cedar))
    return judge(this.#with(group), request, cedar, source, evaluation)
  }

  explain(request: PolicyRequest): ExplainedPolicy[] {
    const cedar = this.#question(request)
    const group = this.#groupOf(request)
    const source = this.#vocabulary.surroundings(request.context, group)
    const context = new EvalContext(cedar, source)
    const judge = this.#with(group)
    const found = judge.candidates(cedar).map((policy): ExplainedPolicy => {
      const { clauses: names } = judge.prepared(policy)
      const clauses = policy.conditions.map((condition, i) => {
        const result = condition.holds(context)
        const state = result === true ? 'holds' : result === false ? 'fails' : 'error'
        return { name: names[i] ?? '', state } as const
      })
      const state = clauses.find((clause) => clause.state !== 'holds')?.state ?? 'holds'
      return { id: policy.id, effect: policy.effect, state, clauses }
    })
    // A built-in forbid that does not apply is no news.
    return found.filter(({ id, state }) => state !== 'fails' || !id.startsWith('builtin:'))
  }

  visible(principal: PolicyPrincipal, resource: PolicyResource, sight: Sight): Visible {
    const context = { ...sight.context, nowMs: sight.nowMs }
    return visible(this, this.#vocabulary, principal, resource, context, sight.credentialHosts)
  }

  policiesOf(given: PolicyPrincipal): string[] {
    const { principal } = this.#vocabulary.subjects(given, { kind: 'system' })
    const spoken = this.#set.policies.filter(({ id, scope }) => {
      return !id.startsWith('builtin:') && scopeCovers(scope.principal, principal)
    })
    return [...spoken, ...this.#groups.policiesOf(given)].map(({ id }) => id)
  }

  candidates(request: CedarRequest): CompiledPolicy[] {
    return this.#set.candidates(request)
  }

  prepared(policy: CompiledPolicy): PreparedPolicy {
    const found = this.#prepared[policy.ordinal]
    if (found?.policy !== policy) throw new TypeError(`policy "${policy.id}" is not of this set`)
    return found
  }

  /** Merged once per combination of permits: few combinations answer nearly all requests. */
  obligations(permits: readonly CompiledPolicy[]): Obligations {
    return mergedOnce(this.#merged, MAX_MERGED, permits, (policy) => this.prepared(policy))
  }

  /** Gateway policies speak of nothing but tools. */
  #groupOf({ action, principal }: PolicyRequest): GatewayGroup | undefined {
    return action === TOOL_CALL ? this.#groups.of(principal) : undefined
  }

  /** This set and the gateway policies of one principal, judged as one. */
  #with(group: GatewayGroup | undefined): Judge {
    if (group === undefined) return this
    const prepared = (policy: CompiledPolicy): PreparedPolicy =>
      group.prepared(policy) ?? this.prepared(policy)
    return {
      digest: this.digest,
      prepared,
      obligations: (permits) => mergedOnce(group.merged, MAX_MERGED_IN_GROUP, permits, prepared),
      candidates: (request) => [...this.candidates(request), ...group.find(request)],
    }
  }

  #question({ principal, action, resource, context }: PolicyRequest): CedarRequest {
    const subjects = this.#vocabulary.subjects(principal, resource)
    return { ...subjects, action: actionEntity(action), context: contextRecord(context) }
  }
}

function mergedOnce(
  known: Map<string, Obligations>,
  most: number,
  permits: readonly CompiledPolicy[],
  prepared: (policy: CompiledPolicy) => PreparedPolicy,
): Obligations {
  let key = ''
  for (const { ordinal } of permits) key += `${ordinal},`
  const found = known.get(key)
  if (found !== undefined) return found
  const duties = permits.map((policy) => ({ id: policy.id, duties: prepared(policy).duties }))
  const merged = deepFreeze(mergeDuties(duties))
  if (known.size >= most) known.clear()
  known.set(key, merged)
  return merged
}

function parted<T>(all: readonly T[], first: (one: T) => boolean): [first: T[], rest: T[]] {
  return [all.filter(first), all.filter((one) => !first(one))]
}

/** Rows that count, in the order in which their ids are reported. */
export function inForce<R extends PolicyRow>(rows: readonly R[]): R[] {
  return rows
    .filter(({ enabled }) => enabled === 1)
    .sort((a, b) => a.position - b.position || (a.id < b.id ? -1 : 1))
}

/** What identifies a set. Order matters: it decides which of two equal answers is reported. */
export function setManifest(enabled: readonly Pick<PolicyRow, 'id' | 'digest'>[]): {
  builtin: string
  policies: [id: string, digest: string][]
} {
  return { builtin: BUILTIN_DIGEST, policies: enabled.map(({ id, digest }) => [id, digest]) }
}

/** SHA-256 hex of the canonical manifest. */
export function setDigest(enabled: readonly Pick<PolicyRow, 'id' | 'digest'>[]): string {
  return hash('sha256', canonicalJson(setManifest(enabled)))
}

/** SHA-256 hex of the built-in policies. */
export const BUILTIN_DIGEST = hash('sha256', canonicalJson(BUILTIN_POLICIES))

/** Shared between decisions, so nobody may change it. */
function deepFreeze<T extends object>(value: T): T {
  for (const member of Object.values(value)) {
    if (typeof member === 'object' && member !== null) deepFreeze(member)
  }
  return Object.freeze(value)
}
