/**
 * Tokens in the shape that pods have always used: an agent's own, with which it may claim, and that of a claim, which
 * says what was granted to which process. Both are signed with the server's key; only the first opens anything.
 */
import { createPublicKey, type KeyObject } from 'node:crypto'
import type { Agent } from '../agent.ts'
import { parseJws, signJws, verifyJws } from '../runs/jws.ts'
import type { Claim } from './resolution.ts'

export const TOKEN_LIFE_SECONDS = 86_400
const ISSUER = 'envpod'
const HEADER = { typ: 'JWT' }
/** Nothing that we issue is longer. */
const MAX_TOKEN_CHARS = 16_384

export interface PodName {
  readonly id: string
  readonly name: string
}

/** What both tokens say of an agent. */
interface Named {
  readonly id: string
  readonly name: string
  readonly capabilities: readonly string[]
}

export function issueAgentToken(
  key: KeyObject,
  { pod, agent, nowMs }: { pod: PodName; agent: Named; nowMs: number },
): { token: string; expiresAtMs: number } {
  const iat = Math.floor(nowMs / 1_000)
  const exp = iat + TOKEN_LIFE_SECONDS
  const token = signJws('EdDSA', key, HEADER, { ...subject(pod, agent), iat, exp })
  return { token, expiresAtMs: exp * 1_000 }
}

export function issueClaimToken(key: KeyObject, pod: PodName, claim: Claim): string {
  const agent = { id: claim.agentId, name: claim.agentName, capabilities: claim.capabilities }
  return signJws('EdDSA', key, HEADER, {
    ...subject(pod, agent),
    iat: Math.floor(claim.issuedAtMs / 1_000),
    exp: Math.floor(claim.expiresAtMs / 1_000),
    jti: claim.id,
    session: claim.session,
    cnf: { pid: claim.pid, start_time: claim.startTime },
  })
}

/** Whether `token` is the agent's own, of this pod, and still counts. */
export function isAgentToken(
  key: KeyObject,
  token: string,
  { pod, agent, nowMs }: { pod: PodName; agent: Pick<Agent, 'id'>; nowMs: number },
): boolean {
  if (token.length > MAX_TOKEN_CHARS) return false
  const parsed = parseJws(token)
  if (parsed === undefined || parsed.header['alg'] !== 'EdDSA') return false
  const publicKey = key.type === 'private' ? createPublicKey(key) : key
  if (!verifyJws('EdDSA', publicKey, parsed)) return false
  const { iss, pod_id, agent_id, exp, iat, cnf, jti } = parsed.payload
  // The token of a claim is bound to a process: for another one it is no proof.
  if (cnf !== undefined || jti !== undefined) return false
  if (typeof exp !== 'number' || typeof iat !== 'number') return false
  return iss === ISSUER && pod_id === pod.id && agent_id === agent.id && nowMs < exp * 1_000
}

function subject(pod: PodName, { id, name, capabilities }: Named) {
  return {
    iss: ISSUER,
    sub: `pod:${pod.name}/agent:${name}`,
    pod_id: pod.id,
    pod_name: pod.name,
    agent_id: id,
    agent_name: name,
    capabilities: [...capabilities],
    // None: what an agent may have of the vault is said by policy, and an empty list here never means everything.
    vault_keys: [],
  }
}
