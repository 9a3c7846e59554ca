/**
 * What the engine needs to know of a compiled policy besides its closures: duties, clause names, rank,
 * the host patterns it names and which conditions look at the operation's own parameters. Everything
 * is checked here, at load, so that a decision never meets a policy it cannot read.
 */
import { VestryError } from '@vestry/contract/errors'
import { entityRefs } from './cedar/entity-refs.ts'
import type { CompiledPolicy } from './cedar/policy.ts'
import { type HostPattern, parseHostPatterns } from './host.ts'
import { type Duties, parseDuties } from './obligations.ts'

export interface PreparedPolicy {
  readonly policy: CompiledPolicy
  readonly duties: Duties
  /** One per condition, in order. */
  readonly clauses: readonly string[]
  /** Among fired forbids the lowest rank gives the answer. */
  readonly rank: number
  /** `@reason`: the code a forbid answers with. */
  readonly reason: string | undefined
  readonly description: string | undefined
  readonly hosts: readonly HostPattern[]
  /** One per condition: true when it reads parameters that only a concrete operation has. */
  readonly concrete: readonly boolean[]
}

/** Context attributes that are unknown until someone asks for a concrete operation. */
const CONCRETE = new Set([
  'host',
  'credential_hosts',
  'method',
  'header_type',
  'header_name',
  'content_type',
  'request_bytes',
  'redirect',
  'algorithm',
  'data_bytes',
  'args',
  'nums',
  'holds',
  'has_reason',
])

const LAST_RANK = 1_000_000

/** @throws VestryError `POLICY_INVALID` naming the policy. */
export function preparePolicy(policy: CompiledPolicy): PreparedPolicy {
  const { id, annotations, conditions } = policy
  const named = annotations['clauses']
  const clauses =
    named === undefined || named === null
      ? conditions.map((_, i) => `condition ${i + 1}`)
      : named.split(',').map((name) => name.trim())
  if (clauses.length !== conditions.length) {
    throw new VestryError(
      'POLICY_INVALID',
      `Policy "${id}": @clauses names ${clauses.length} conditions, the policy has ${conditions.length}`,
      { context: { policy: id } },
    )
  }
  const bodies = conditions.map(({ json }) => json)
  const hosts = [...new Set(bodies.flatMap((body) => entityRefs(body, 'HostGlob')))]
  return {
    policy,
    duties: parseDuties(id, policy.effect, annotations),
    clauses,
    rank: Number(annotations['rank'] ?? LAST_RANK),
    reason: annotations['reason'] ?? undefined,
    description: annotations['description'] ?? undefined,
    hosts: inPolicy(id, () => hosts.flatMap(parseHostPatterns)),
    concrete: bodies.map(readsConcrete),
  }
}

/** Runs a parser; its refusal then names the policy too. */
export function inPolicy<T>(id: string, parse: () => T): T {
  try {
    return parse()
  } catch (cause) {
    if (!(cause instanceof VestryError)) throw cause
    throw new VestryError('POLICY_INVALID', `Policy "${id}": ${cause.message}`, {
      context: { policy: id },
      ...(cause.hint === undefined ? {} : { hint: cause.hint }),
      cause,
    })
  }
}

function readsConcrete(json: unknown): boolean {
  if (typeof json !== 'object' || json === null) return false
  for (const [name, member] of Object.entries(json)) {
    if ((name === '.' || name === 'has') && readsContext(member)) return true
    if (readsConcrete(member)) return true
  }
  return false
}

function readsContext(json: unknown): boolean {
  if (typeof json !== 'object' || json === null || !('left' in json && 'attr' in json)) return false
  const { left, attr } = json
  if (typeof left !== 'object' || left === null || !('Var' in left)) return false
  const first = Array.isArray(attr) ? attr[0] : attr
  return left.Var === 'context' && typeof first === 'string' && CONCRETE.has(first)
}
