/**
 * Writes who sent an envelope, as the kernel and the claims say, over whatever the producer said of itself; and
 * names what was written over. Pure.
 */
import type { Stamp } from '@vestry/coat/aot'
import type {
  Claim,
  ProcessPeer,
  Resolution,
  UnknownPeer,
} from '../../identity/claims/resolution.ts'
import { isRecord, type Stated } from './envelope.ts'

/** What is stored; the keyed hash of a name somebody tried to take is never the name. */
export interface StoredStamp extends Stamp {
  readonly attempted_agent_id?: string
}

export interface Speaker {
  /** Empty for who claimed nothing. */
  readonly agentId: string
  readonly agentRole: string
  readonly claim: Claim | undefined
  /** Everything but the time, which differs with each line. */
  readonly stamp: Stamp
}

const UNKNOWN_ID = -1
/** A name of theirs is told only where it is one of ours: it could be any word. */
const MEMBERS: ReadonlySet<string> = new Set<keyof StoredStamp>([
  'pod_id',
  'pid',
  'uid',
  'ns_pid',
  'start_time',
  'recv_ts',
  'claim_kind',
  'agent_claim_id',
  'agent_uuid',
  'capabilities',
  'session',
  'anonymous',
  'overwrote',
  'attempted_agent_id',
  'stale_peer',
  'peercred',
])

/** The same for every line of a connection until a claim changes. */
export function speakerOf(
  peer: ProcessPeer | UnknownPeer,
  resolution: Resolution,
  podId: string,
): Speaker {
  if ('unavailable' in peer) {
    const stamp: Stamp = {
      pod_id: podId,
      pid: UNKNOWN_ID,
      uid: UNKNOWN_ID,
      claim_kind: 'anonymous',
      anonymous: anonymous(UNKNOWN_ID, UNKNOWN_ID, 'sess_unknown'),
      peercred: 'unavailable',
    }
    return { agentId: '', agentRole: '', claim: undefined, stamp }
  }
  const { pid, uid, startTime, nsPid } = peer
  const process = {
    pod_id: podId,
    pid,
    uid,
    ...(startTime !== '' && { start_time: startTime }),
    ...(nsPid !== undefined && nsPid !== pid && { ns_pid: nsPid }),
  }
  if (resolution.kind === 'claimed') {
    const { claim } = resolution
    const stamp: Stamp = {
      ...process,
      claim_kind: 'claimed',
      agent_claim_id: claim.id,
      agent_uuid: claim.agentId,
      capabilities: claim.capabilities,
      session: claim.session,
    }
    return { agentId: claim.agentName, agentRole: claim.agentRole, claim, stamp }
  }
  const stamp: Stamp = {
    ...process,
    claim_kind: 'anonymous',
    anonymous: anonymous(pid, uid, `sess_${peer.sessionId}`),
    ...(resolution.stale && { stale_peer: true as const }),
  }
  return { agentId: '', agentRole: '', claim: undefined, stamp }
}

/** The session's text holds `sess` itself, so that the word stands there twice: that is the format. */
function anonymous(pid: number, uid: number, session: string): NonNullable<Stamp['anonymous']> {
  return { pid, uid, session, fingerprint: `anon_pid${pid}_uid${uid}_sess${session}` }
}

/**
 * What an envelope stated of its sender that is not so. A producer that states nothing, as it should, costs
 * nothing.
 *
 * @returns Paths, e.g. `subject.agent_id`; undefined when there is nothing to tell.
 */
export function overwritten(stated: Stated, speaker: Speaker): string[] | undefined {
  const { agentId, agentRole, envpod } = stated
  if (isEmpty(agentId) && isEmpty(agentRole) && isEmpty(envpod)) return undefined
  const paths: string[] = []
  if (!isEmpty(agentId) && agentId !== speaker.agentId) paths.push('subject.agent_id')
  if (!isEmpty(agentRole) && agentRole !== speaker.agentRole) paths.push('subject.agent_role')
  if (isRecord(envpod)) paths.push(...forgedMembers(envpod, speaker.stamp))
  else if (!isEmpty(envpod)) paths.push('envpod')
  return paths.length === 0 ? undefined : paths
}

function forgedMembers(stated: Readonly<Record<string, unknown>>, stamp: Stamp): string[] {
  const real = stamp as unknown as Readonly<Record<string, unknown>> // a plain object of JSON values
  const paths = new Set<string>()
  for (const [name, value] of Object.entries(stated)) {
    if (isEmpty(value) || JSON.stringify(value) === JSON.stringify(real[name])) continue
    paths.add(MEMBERS.has(name) ? `envpod.${name}` : 'envpod')
  }
  return [...paths].sort()
}

function isEmpty(value: unknown): boolean {
  return value === undefined || value === null || value === ''
}
