/** The one record of an agent, and what may happen to it. Pure: the caller brings ids and the clock. */
import { VestryError } from '@vestry/contract/errors'
import { type AgentKey, counts, retire } from './agent-key.ts'
import { assertAgentName } from './agent-name.ts'

export interface Agent {
  /** UUID; never reused. The gateway's `agent_id`, telemetry's `agent_uuid`. */
  readonly id: string
  /** Unique among agents that are not revoked. */
  readonly name: string
  /** Free text for people. */
  readonly displayName: string
  readonly role: string
  readonly status: 'enabled' | 'disabled' | 'revoked'
  /** Newest first. Beyond {@link KEPT_KEYS}, retired ones are forgotten. */
  readonly keys: readonly AgentKey[]
  readonly spiffeId: string
  readonly meta: Readonly<Record<string, string>>
  /** Refuses the plain signature of wire contract §5.1. */
  readonly requireSigV2: boolean
  /** Epoch ms. */
  readonly createdAt: number
  readonly updatedAt: number
}

export interface NewAgent {
  name: string
  displayName?: string
  role?: string
  keys?: readonly AgentKey[]
  meta?: Readonly<Record<string, string>>
  requireSigV2?: boolean
}

export interface AgentChanges {
  displayName?: string
  role?: string
  meta?: Readonly<Record<string, string>>
  requireSigV2?: boolean
}

export const DEFAULT_ROLE = 'agent'
/** wire contract §15.9. */
export const MAX_OVERLAP_SECONDS = 86_400
export const KEPT_KEYS = 8
const MAX_META_ENTRIES = 64
const MAX_META_CHARS = 1024
const LABEL = /^[^\p{C}]{1,128}$/u

/** @throws VestryError `INVALID_PARAMS` naming the field that is wrong. */
export function newAgent(
  input: NewAgent,
  { id, trustDomain, nowMs }: { id: string; trustDomain: string; nowMs: number },
): Agent {
  assertAgentName(input.name)
  return checked({
    id,
    name: input.name,
    displayName: input.displayName ?? input.name,
    role: input.role ?? DEFAULT_ROLE,
    status: 'enabled',
    keys: [...(input.keys ?? [])],
    spiffeId: `spiffe://${trustDomain}/agent/${id}`,
    meta: { ...input.meta },
    requireSigV2: input.requireSigV2 ?? false,
    createdAt: nowMs,
    updatedAt: nowMs,
  })
}

export function amend(agent: Agent, changes: AgentChanges, nowMs: number): Agent {
  assertAlive(agent)
  return checked({
    ...agent,
    displayName: changes.displayName ?? agent.displayName,
    role: changes.role ?? agent.role,
    meta: changes.meta ? { ...changes.meta } : agent.meta,
    requireSigV2: changes.requireSigV2 ?? agent.requireSigV2,
    updatedAt: nowMs,
  })
}

/**
 * Puts `key` first. Keys of the same algorithm retire: the newest of them stays valid for the overlap,
 * older ones end now, so that never more than two count.
 *
 * @param overlapSeconds 0 (the old key ends at once) to 86 400.
 * @throws VestryError `INVALID_PARAMS` for another overlap; `CONFLICT` when the agent has had this key.
 */
export function rotateKey(
  agent: Agent,
  key: AgentKey,
  overlapSeconds: number,
  nowMs: number,
): Agent {
  assertAlive(agent)
  if (
    !Number.isInteger(overlapSeconds) ||
    overlapSeconds < 0 ||
    overlapSeconds > MAX_OVERLAP_SECONDS
  )
    throw new VestryError('INVALID_PARAMS', `overlap_s must be 0 to ${MAX_OVERLAP_SECONDS}`)
  if (agent.keys.some((old) => old.publicKey === key.publicKey))
    throw new VestryError('CONFLICT', `Agent "${agent.name}" already has or had this key`, {
      hint: 'Generate a new key pair; a retired key does not come back.',
    })
  const older = agent.keys.map((old) =>
    old.alg === key.alg ? retire(old, overlapSeconds * 1000, nowMs) : old,
  )
  return { ...agent, keys: trimmed([key, ...older]), updatedAt: nowMs }
}

/** Forgets the oldest history first; a key that still counts is never dropped. */
function trimmed(keys: AgentKey[]): AgentKey[] {
  const spare = Math.max(0, keys.length - KEPT_KEYS)
  const retired = keys.filter((key) => key.status === 'retired')
  const dropped = new Set(spare === 0 ? [] : retired.slice(-spare))
  return keys.filter((key) => !dropped.has(key))
}

export function disable(agent: Agent, nowMs: number): Agent {
  assertAlive(agent)
  return { ...agent, status: 'disabled', updatedAt: nowMs }
}

export function enable(agent: Agent, nowMs: number): Agent {
  assertAlive(agent)
  return { ...agent, status: 'enabled', updatedAt: nowMs }
}

/** For good: the record stays for the audit trail, its keys end and its name is free for another. */
export function revoke(agent: Agent, nowMs: number): Agent {
  assertAlive(agent)
  return {
    ...agent,
    status: 'revoked',
    keys: agent.keys.map((key) => retire(key, 0, nowMs)),
    updatedAt: nowMs,
  }
}

/** Keys of one algorithm that may prove this identity now, newest first; none unless enabled. */
export function usableKeys(agent: Agent, alg: AgentKey['alg'], nowMs: number): AgentKey[] {
  if (agent.status !== 'enabled') return []
  return agent.keys.filter((key) => key.alg === alg && counts(key, nowMs))
}

function assertAlive(agent: Agent): void {
  if (agent.status === 'revoked')
    throw new VestryError('CONFLICT', `Agent ${agent.id} is revoked`, {
      hint: 'Revoking is final; add a new agent under the name.',
    })
}

function checked(agent: Agent): Agent {
  if (!LABEL.test(agent.displayName)) throw invalid('display_name', '1 to 128 printable characters')
  if (!LABEL.test(agent.role)) throw invalid('role', '1 to 128 printable characters')
  const meta = Object.entries(agent.meta)
  if (meta.length > MAX_META_ENTRIES) throw invalid('meta', `at most ${MAX_META_ENTRIES} entries`)
  for (const [key, value] of meta) {
    if (key === '' || key.length > 128 || value.length > MAX_META_CHARS)
      throw invalid('meta', `keys of 1 to 128 and values of at most ${MAX_META_CHARS} characters`)
    if (!key.isWellFormed() || !value.isWellFormed()) throw invalid('meta', 'well-formed text')
  }
  return agent
}

function invalid(field: string, expected: string): VestryError {
  return new VestryError('INVALID_PARAMS', `${field}: expected ${expected}`)
}
