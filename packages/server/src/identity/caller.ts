/** Who is calling, from where, in which transaction: what every station after identity works with. */
import type { Agent } from './agent.ts'
import type { Operator } from './operator.ts'
import { newTrace, type Trace } from './traceparent.ts'

export interface Peer {
  readonly transport: 'unix' | 'tcp' | 'http'
  readonly pid?: number
  readonly uid?: number
  readonly gid?: number
  /** Remote IP address, without a port. */
  readonly address?: string
  /** Why a Unix peer's credentials are missing. */
  readonly unknown?: string
}

export type Principal =
  | { readonly kind: 'agent'; readonly agent: Agent }
  | { readonly kind: 'operator'; readonly operator: Operator }

export interface Caller {
  readonly principal: Principal
  readonly peer: Peer
  /** `txn_…`: minted per session, or joined. */
  readonly txn: string
  readonly trace: Trace
  /** Conditions that hold for all it does, such as the program whose run this is. */
  readonly holds?: readonly string[]
}

/** @param traceparent The header as received, if any. */
export function newCaller(
  from: { principal: Principal; peer: Peer; txn: string; holds?: readonly string[] },
  traceparent?: string,
): Caller {
  return {
    principal: from.principal,
    peer: from.peer,
    txn: from.txn,
    trace: newTrace(traceparent),
    ...(from.holds !== undefined && { holds: from.holds }),
  }
}

/** `agent:scout`, `operator:ada`: the `actor` of audit records. */
export function actorOf(principal: Principal): string {
  return principal.kind === 'agent'
    ? `agent:${principal.agent.name}`
    : `operator:${principal.operator.name}`
}
