/** Answers of the identity socket. Pure. */
import type { ClaimRefused } from '../../identity/claims/claim-refused.ts'
import type {
  Claim,
  ProcessPeer,
  Resolution,
  UnknownPeer,
} from '../../identity/claims/resolution.ts'
import { speakerOf } from '../collector/stamp.ts'

export type Answer = Readonly<Record<string, unknown>>

export function describeClaim(claim: Claim): Answer {
  return {
    claim_id: claim.id,
    agent_id: claim.agentName,
    agent_uuid: claim.agentId,
    agent_role: claim.agentRole,
    capabilities: [...claim.capabilities],
    session: claim.session,
    scope: claim.scope,
    issued_at: new Date(claim.issuedAtMs).toISOString(),
    expires_at: new Date(claim.expiresAtMs).toISOString(),
  }
}

/** To the letter what envelopes of this process are stamped with, and the claim behind it. */
export function describePeer(
  peer: ProcessPeer | UnknownPeer,
  resolution: Resolution,
  podId: string,
): Answer {
  const { agentId, agentRole, claim, stamp } = speakerOf(peer, resolution, podId)
  return {
    ok: true,
    ...stamp,
    subject: { agent_id: agentId, agent_role: agentRole },
    ...(claim !== undefined && { claim: describeClaim(claim) }),
  }
}

export function refusalAnswer({ code, message }: ClaimRefused): Answer {
  return { ok: false, error: code, message }
}
