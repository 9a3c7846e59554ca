/**
 * What `list` shows (wire contract §6.5): which operations a principal could perform on a credential, if its
 * parameters turn out to be acceptable. Limits on parameters count as satisfiable in a permit and as
 * not reached in a forbid; everything else is judged now.
 */
import { ACTIONS } from './actions.ts'
import { EvalContext } from './cedar/entity.ts'
import type { CompiledPolicy } from './cedar/policy.ts'
import { type Judge, SEND } from './decision.ts'
import { type HostPattern, parseHostPattern } from './host.ts'
import type { PolicyContext, PolicyPrincipal, PolicyResource } from './policy-request.ts'
import { contextRecord } from './request-context.ts'
import { actionEntity, type Vocabulary } from './vocabulary.ts'

export interface Sight {
  nowMs: number
  /** What is known of the connection. */
  context?: Pick<PolicyContext, 'transport' | 'sourceIp' | 'scope' | 'taint'>
  /** The credential's own `allowed_hosts`; absent or empty when it lists none. */
  credentialHosts?: readonly string[]
}

export interface Visible {
  /** `list`, `retrieve`, `use:http_request` …; empty: the credential must not be listed. */
  operations: string[]
  /** Seconds: the smallest ceiling of the permits that would hand out a lease. */
  maxTtl?: number
  /** Patterns of hosts that `http_request` could reach. */
  hosts: string[]
}

const VAULT = ACTIONS.filter((action) => action.startsWith('vault:'))
const LEASED = ['vault:retrieve', 'vault:unwrap', 'vault:use:http_header']

export function visible(
  judge: Judge,
  vocabulary: Vocabulary,
  principal: PolicyPrincipal,
  resource: PolicyResource,
  context: PolicyContext,
  credentialHosts: readonly string[] = [],
): Visible {
  const subjects = vocabulary.subjects(principal, resource)
  const source = vocabulary.surroundings(context)
  const record = contextRecord(context)
  const operations: string[] = []
  const ceilings: number[] = []
  let hosts: string[] = []
  for (const name of VAULT) {
    const request = { ...subjects, action: actionEntity(name), context: record }
    const candidates = judge.candidates(request)
    if (candidates.length === 0) continue
    const open = name.startsWith('vault:use:')
    const evaluation = new EvalContext(request, source)
    if (candidates.some((policy) => refuses(judge, policy, evaluation, open))) {
      if (name === 'vault:list') return { operations: [], hosts: [] }
      continue
    }
    let permits = candidates.filter((policy) => couldPermit(judge, policy, evaluation, open))
    if (name === SEND) {
      permits = permits.filter(
        (policy) => credentialHosts.length > 0 || judge.prepared(policy).hosts.length > 0,
      )
      hosts = reachable(judge, permits, credentialHosts)
      if (hosts.length === 0) continue
    }
    if (permits.length === 0) continue
    operations.push(name.slice('vault:'.length))
    if (LEASED.includes(name)) ceilings.push(judge.obligations(permits).maxTtl ?? Infinity)
  }
  const ceiling = Math.min(...ceilings)
  return { operations, hosts, ...(Number.isFinite(ceiling) ? { maxTtl: ceiling } : {}) }
}

/** An unreadable forbid counts as fired, here as in a decision. */
function refuses(judge: Judge, policy: CompiledPolicy, at: EvalContext, open: boolean): boolean {
  if (policy.effect !== 'forbid') return false
  const { concrete } = judge.prepared(policy)
  if (open && concrete.includes(true)) return false
  return policy.conditions.every((condition) => condition.holds(at) !== false)
}

function couldPermit(
  judge: Judge,
  policy: CompiledPolicy,
  at: EvalContext,
  open: boolean,
): boolean {
  if (policy.effect !== 'permit') return false
  const { concrete } = judge.prepared(policy)
  return policy.conditions.every(
    (condition, i) => (open && concrete[i] === true) || condition.holds(at) === true,
  )
}

/** The hosts both lists allow, written as the narrower of two overlapping patterns. */
function reachable(
  judge: Judge,
  permits: readonly CompiledPolicy[],
  credentialHosts: readonly string[],
): string[] {
  const own = credentialHosts.map(parseHostPattern)
  const texts = new Set<string>()
  for (const permit of permits) {
    const named = judge.prepared(permit).hosts
    const lists = named.length === 0 ? own : own.length === 0 ? named : overlap(named, own)
    for (const { text } of lists) texts.add(text)
  }
  return [...texts].sort()
}

function overlap(a: readonly HostPattern[], b: readonly HostPattern[]): HostPattern[] {
  const both: HostPattern[] = []
  for (const left of a) {
    for (const right of b) {
      if (covers(left, right)) both.push(right)
      else if (covers(right, left)) both.push(left)
    }
  }
  return both
}

/** Whether every host of `narrow` is one of `wide`; paths are compared by prefix. */
function covers(wide: HostPattern, narrow: HostPattern): boolean {
  if (wide.port !== narrow.port) return false
  if (wide.path !== undefined) {
    if (narrow.path === undefined || !narrow.path.text.startsWith(wide.path.text)) return false
    if (!wide.path.prefix && (narrow.path.prefix || narrow.path.text !== wide.path.text))
      return false
  }
  if (wide.match === 'any') return true
  if (wide.match === narrow.match) return wide.host === narrow.host
  // Without a port the two forms speak of different ones.
  if (wide.match === 'domain' && wide.port !== undefined && narrow.match !== 'any') {
    return narrow.host === wide.host || narrow.host.endsWith(`.${wide.host}`)
  }
  if (wide.match !== 'label' || narrow.match !== 'exact') return false
  return narrow.host.slice(narrow.host.indexOf('.') + 1) === wide.host
}
