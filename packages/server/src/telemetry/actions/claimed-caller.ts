/** Who makes a request on the action lane: an agent by its claim, or a process of which only the kernel tells. */
import { newTxn } from '@vestry/contract/ids'
import type { Agent } from '../../identity/agent.ts'
import type { AgentStore } from '../../identity/agent-store.ts'
import { type Caller, newCaller, type Peer } from '../../identity/caller.ts'
import type {
  Claim,
  ProcessPeer,
  Resolution,
  UnknownPeer,
} from '../../identity/claims/resolution.ts'

export interface Claimed {
  readonly claim: Claim
  readonly agent: Agent
  readonly caller: Caller
}

/** @returns undefined for who claimed nothing, or whose agent may not act any more. */
export async function claimedCaller(
  agents: Pick<AgentStore, 'byId'>,
  peer: ProcessPeer | UnknownPeer,
  resolution: Resolution,
  traceparent: unknown,
): Promise<Claimed | undefined> {
  if (resolution.kind !== 'claimed') return undefined
  const { claim } = resolution
  const agent = await agents.byId(claim.agentId)
  if (agent?.status !== 'enabled') return undefined
  const principal = { kind: 'agent' as const, agent }
  const given = typeof traceparent === 'string' ? traceparent : undefined
  return { claim, agent, caller: newCaller({ principal, peer: unix(peer), txn: newTxn() }, given) }
}

/** How the owners of actions begin that no agent is; an agent's id has no colon in it. */
export const PROCESS_OWNERS = 'process:'

/**
 * Whose action it is, for polling: the agent's, or that very process's.
 * @returns undefined for a process that cannot be told from others.
 */
export function ownerOf(
  peer: ProcessPeer | UnknownPeer,
  resolution: Resolution,
): { id: string; name: string } | undefined {
  if (resolution.kind === 'claimed')
    return { id: resolution.claim.agentId, name: resolution.claim.agentName }
  if ('unavailable' in peer || peer.startTime === '') return undefined
  return { id: `${PROCESS_OWNERS}${peer.pid}:${peer.startTime}`, name: `anonymous pid ${peer.pid}` }
}

function unix(peer: ProcessPeer | UnknownPeer): Peer {
  if ('unavailable' in peer) return { transport: 'unix', unknown: peer.unavailable }
  const { pid, uid, gid } = peer
  return { transport: 'unix', pid, uid, gid }
}
