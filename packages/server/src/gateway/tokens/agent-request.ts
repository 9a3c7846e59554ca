/** The bodies that create and change an agent (wire contract §5.2, R-14, §5.3), checked. */
import { VestryError } from '@vestry/contract/errors'
import type { Agent } from '../../identity/agent.ts'
import { type AgentKey, acceptKey } from '../../identity/agent-key.ts'
import { recordStatus } from './agent-record.ts'
import {
  absent,
  type Fields,
  fieldsOf,
  invalidField,
  LABEL,
  requireFields,
  textField,
} from './request-field.ts'
import { isZone } from './zone.ts'

export interface AgentRequest {
  readonly name: string
  readonly createdBy: string
  readonly role: string
  /** Given by the caller; without it a pair is generated. */
  readonly key: AgentKey | undefined
  readonly timezone: string | undefined
  readonly requireSignature: boolean
}

/** What is undefined stays as it is; a time zone of null is taken away. */
export interface AgentPatch {
  readonly status: Agent['status'] | undefined
  readonly timezone: string | null | undefined
  readonly requireSignature: boolean | undefined
}

/** @throws VestryError `BAD_REQUEST`, `MISSING_FIELDS` or `INVALID_FIELD`. */
export function readAgentRequest(body: unknown, nowMs: number): AgentRequest {
  const fields = fieldsOf(body)
  requireFields(fields, ['name', 'created_by', 'role'])
  return {
    name: textField(fields, 'name', LABEL),
    createdBy: textField(fields, 'created_by', LABEL),
    role: textField(fields, 'role', LABEL),
    key: readKey(fields, nowMs),
    timezone: readZone(fields['timezone']) ?? undefined,
    requireSignature: readFlag(fields, 'require_signature') ?? false,
  }
}

/** Takes the names of the record (`requireSignature`) and of the creation (`require_signature`). */
export function readAgentPatch(body: unknown): AgentPatch {
  const fields = fieldsOf(body)
  return {
    status: fields['status'] === undefined ? undefined : recordStatus(fields['status']),
    timezone: readZone(fields['timezone']),
    requireSignature: readFlag(fields, 'requireSignature') ?? readFlag(fields, 'require_signature'),
  }
}

function readKey(fields: Fields, nowMs: number): AgentKey | undefined {
  if (absent(fields['public_key'])) return undefined
  const text = textField(fields, 'public_key')
  try {
    return acceptKey(text, nowMs)
  } catch (cause) {
    if (!(cause instanceof VestryError)) throw cause
    throw invalidField('public_key', 'an SPKI PEM of Ed25519 or of RSA with 2048 bits or more')
  }
}

function readZone(zone: unknown): string | null | undefined {
  if (zone === undefined || zone === null) return zone
  if (typeof zone === 'string' && zone.length <= 64 && isZone(zone)) return zone
  throw invalidField('timezone', 'an IANA name such as America/Toronto')
}

function readFlag(fields: Fields, name: string): boolean | undefined {
  const flag = fields[name]
  if (flag === undefined || flag === null || typeof flag === 'boolean') return flag ?? undefined
  throw invalidField(name, 'true or false')
}
