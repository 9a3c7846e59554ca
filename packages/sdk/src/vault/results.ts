/**
 * Shapes the daemon answers with, as they are on the wire, and the checks a client must not skip. A
 * result that holds a secret hides it from logs: printed or turned into JSON, it reads `[secret]`.
 */

import type { Message } from './frame.ts'
import { vaultError } from './wire-error.ts'

/** Timestamps are RFC 3339, UTC; ttl is in seconds. */
export interface LeaseInfo {
  lease_id: string
  ttl: number
  expires_at?: string
  renewable?: boolean
}

/** `value` is the hex of the secret's bytes. */
export interface RetrieveResult extends LeaseInfo {
  value: string
  path?: string
  version?: number
  type?: string | null
  issued_at?: string
  /** Less was granted than asked for. */
  ttl_clamped?: boolean
}

export interface CredentialEntry {
  path: string
  type: string | null
  description: string | null
  tags: string[]
  created_at?: string
  updated_at?: string
  version?: number
  /** The secret's own end, where known. */
  expires_at?: string | null
  metadata?: Record<string, string>
  /** What this agent may do with it, e.g. `use:http_request`. */
  operations?: string[]
  /** Seconds. */
  max_ttl?: number
  /** Hosts this agent may reach with it through `http_request`. */
  hosts?: string[]
}

export interface LeaseStatus {
  lease_id: string
  path: string
  kind: string
  /** `live`, `released`, `expired` or `revoked`; only an id that is asked for can be past `live`. */
  state?: string
  issued_at: string
  expires_at: string
  /** Seconds. */
  ttl_remaining: number
  renewable: boolean
}

export interface WhoAmI {
  agent: string
  agent_id: string
  key_fingerprint: string
  session: { created_at: string; expires_at: string; idle_timeout: number }
  transport: string
  policies: string[]
  limits: Record<string, unknown>
  /** How many leases of this agent are live. */
  leases?: number
  server_time: string
  /** The transaction that what this session does is recorded under. */
  txn?: string
}

export interface Status {
  initialized: boolean
  sealed: boolean
  /** False: nothing can be recorded, so nothing that must be recorded is done. */
  audit_available?: boolean
  version: string
  protocol: string
  features: string[]
  limits: { max_frame_bytes: number }
  server_time: string
}

export interface AccessCheck {
  allowed: boolean
  /** Seconds; null when not allowed. */
  granted_ttl?: number | null
  reason_code?: string
  /** Allowed, but an operator has to agree first. */
  approval_required?: boolean
}

/** An operation's members, flat. Each operation has a typed helper on the client. */
export type UseResult = Record<string, unknown>

export interface HttpResult {
  /** Any HTTP status, 401 and 500 included: the call itself succeeded. */
  status: number
  /** Lower-case names; repeated headers are joined with `, `. */
  headers: Record<string, string>
  body: string
  body_encoding: 'utf8' | 'base64'
  truncated: boolean
  url: string
  redirects: number
  elapsed_ms: number
  redactions: number
  headers_dropped?: number
}

/** The header **is** the secret. */
export interface HttpHeaderResult {
  header_name: string
  header_value: string
  /** `name: value` */
  header: string
  key_version?: number
  lease_id?: string
  ttl?: number
  expires_at?: string
}

export interface SignResult {
  /** Base64 with padding. */
  signature: string
  signature_hex: string
  algorithm: string
  encoding: string
  key_version: number
}

export interface EncryptResult {
  /** `sanctum:v<version>:<base64>` */
  ciphertext: string
  algorithm: string
  key_version: number
}

export interface DecryptResult {
  plaintext: string
  plaintext_encoding: 'utf8' | 'base64'
  key_version: number
}

const INSPECT = Symbol.for('nodejs.util.inspect.custom')

/** The same object; its named members stay readable but neither print nor serialise. */
export function masked<T extends object>(result: T, names: readonly string[]): T {
  const shown = (): Record<string, unknown> => {
    const members = Object.entries(result)
    return Object.fromEntries(members.map(([k, v]) => [k, names.includes(k) ? '[secret]' : v]))
  }
  const hidden = { value: shown, enumerable: false, configurable: true }
  return Object.defineProperties(result, { toJSON: hidden, [INSPECT]: hidden })
}

const HEX = /^(?:[0-9a-f]{2})*$/i

/** @throws VaultError `INTERNAL_ERROR`; the error never quotes the reply. */
export function retrieveResult(result: Message): RetrieveResult {
  const { value, lease_id, ttl } = result
  if (typeof value !== 'string' || !HEX.test(value)) throw lacking('retrieve', 'value in hex')
  if (typeof lease_id !== 'string') throw lacking('retrieve', 'lease_id')
  if (typeof ttl !== 'number') throw lacking('retrieve', 'ttl')
  return masked({ ...result, value, lease_id, ttl }, ['value'])
}

export function leaseInfo(result: Message): LeaseInfo {
  const { lease_id, ttl } = result
  if (typeof lease_id !== 'string') throw lacking('renew_lease', 'lease_id')
  if (typeof ttl !== 'number') throw lacking('renew_lease', 'ttl')
  return { ...result, lease_id, ttl }
}

/** One page of `list`: its entries, tags filled in, and where the next page starts. */
export function listPage(result: Message): {
  entries: CredentialEntry[]
  cursor: string | undefined
} {
  const { credentials, next_cursor } = result
  if (!Array.isArray(credentials)) throw lacking('list', 'credentials')
  return {
    entries: credentials.map(entry),
    cursor: typeof next_cursor === 'string' && next_cursor !== '' ? next_cursor : undefined,
  }
}

function entry(value: unknown): CredentialEntry {
  if (typeof value !== 'object' || value === null) throw lacking('list', 'entries')
  const fields: Record<string, unknown> = { ...value }
  const { path, type, description, tags } = fields
  if (typeof path !== 'string') throw lacking('list', 'path')
  return {
    ...fields,
    path,
    type: typeof type === 'string' ? type : null,
    description: typeof description === 'string' ? description : null,
    tags: Array.isArray(tags) ? tags.filter((tag) => typeof tag === 'string') : [],
  }
}

/** A member that must be an array. */
export function arrayMember(result: Message, method: string, name: string): unknown[] {
  const value = result[name]
  if (Array.isArray(value)) return value
  throw lacking(method, name)
}

/** A member that must be a boolean. */
export function booleanMember(result: Message, method: string, name: string): boolean {
  const value = result[name]
  if (typeof value === 'boolean') return value
  throw lacking(method, name)
}

/** A member that must be a string. */
export function stringMember(result: Message, method: string, name: string): string {
  const value = result[name]
  if (typeof value === 'string') return value
  throw lacking(method, name)
}

function lacking(method: string, what: string) {
  return vaultError('INTERNAL_ERROR', `The daemon's reply to ${method} lacks ${what}`, {
    suggestion: 'Check that the address is the vault and that versions match.',
  })
}
