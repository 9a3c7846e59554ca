/** An agent as the gateway's wire writes it (wire contract §5.1), and where the one record keeps those fields. */
import { VestryError } from '@vestry/contract/errors'
import type { Agent } from '../../identity/agent.ts'
import { publicKeyPem } from '../../identity/agent-key.ts'

/** Members of the record's `meta`. */
export const CREATED_BY = 'created_by'
export const TIMEZONE = 'timezone'
export const REQUIRE_SIGNATURE = 'require_signature'

export interface WireAgent {
  readonly id: string
  readonly name: string
  readonly role: string
  readonly createdBy: string
  /** Of the newest key, SPKI PEM; null for an agent that has none. */
  readonly publicKey: string | null
  readonly status: WireStatus
  readonly createdAt: string
  readonly timezone?: string
  readonly requireSignature: boolean
}

export type WireStatus = (typeof WIRE_STATUS)[Agent['status']]

const WIRE_STATUS = { enabled: 'active', disabled: 'disabled', revoked: 'revoked' } as const

export function wireAgent(agent: Agent): WireAgent {
  const [newest] = agent.keys
  const timezone = agentZone(agent)
  return {
    id: agent.id,
    name: agent.displayName,
    role: agent.role,
    createdBy: agent.meta[CREATED_BY] ?? '',
    publicKey: newest === undefined ? null : publicKeyPem(newest),
    status: WIRE_STATUS[agent.status],
    createdAt: new Date(agent.createdAt).toISOString(),
    ...(timezone !== undefined && { timezone }),
    requireSignature: requiresSignature(agent),
  }
}

/** IANA name, if the record has one. */
export function agentZone(agent: Agent): string | undefined {
  return agent.meta[TIMEZONE]
}

/** Whether unsigned requests of this agent are refused whatever the mode. */
export function requiresSignature(agent: Agent): boolean {
  return agent.meta[REQUIRE_SIGNATURE] === 'true'
}

/** @throws VestryError `INVALID_FIELD` for a word that is no status. */
export function recordStatus(status: unknown): Agent['status'] {
  if (status === 'active') return 'enabled'
  if (status === 'disabled' || status === 'revoked') return status
  throw new VestryError('INVALID_FIELD', 'status: expected active, disabled or revoked')
}
