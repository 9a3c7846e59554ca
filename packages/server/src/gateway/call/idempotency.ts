/**
 * What makes two requests the same call: an explicit key, or the correlation id that the published clients send
 * unchanged with each attempt (gateway contract §7.6). Pure.
 */
import { hash } from 'node:crypto'
import { canonicalJson } from '@vestry/contract/canonical'
import { VestryError } from '@vestry/contract/errors'
import type { JsonObject } from '../tools/tool.ts'

const KEY = /^[A-Za-z0-9_.:-]{8,128}$/
const KEY_NAMES = ['idempotency_key', 'idempotencyKey'] as const
/** Of a correlation id: as long as a client may still be retrying. */
export const IMPLICIT_TTL_MS = 600_000

export interface Identity {
  /** SHA-256 hex; what may not happen twice. Undefined: nothing ties this request to another. */
  readonly key: string | undefined
  /** SHA-256 hex over what was asked, key and intent aside. */
  readonly fingerprint: string
  /** As the caller wrote it. */
  readonly explicit: string | undefined
}

export interface Asked {
  readonly agentId: string
  readonly tool: string
  readonly action: string
  readonly params: JsonObject
  /** Body member `idempotency_key`. */
  readonly bodyKey: unknown
  readonly headerKey: string | undefined
  /** Undefined when the client sent none. */
  readonly correlationId: string | undefined
  readonly rawBody: Uint8Array
}

/** @throws VestryError INVALID_FIELD for a key that is none. */
export function identityOf(asked: Asked): Identity {
  const { agentId, tool, action, params } = asked
  const fingerprint = hash('sha256', canonicalJson([tool, action, withoutKeys(params)]))
  const explicit = explicitKey(asked)
  if (explicit !== undefined) {
    const key = hash('sha256', canonicalJson(['key', agentId, tool, action, explicit]))
    return { key, fingerprint, explicit }
  }
  if (asked.correlationId === undefined) return { key: undefined, fingerprint, explicit }
  const body = hash('sha256', asked.rawBody)
  const key = hash('sha256', canonicalJson(['call', agentId, asked.correlationId, body]))
  return { key, fingerprint, explicit }
}

/** The params as the tool gets them. */
export function withoutKeys(params: JsonObject): JsonObject {
  const { intent: _intent, idempotency_key: _one, idempotencyKey: _other, ...rest } = params
  return rest
}

function explicitKey({ headerKey, bodyKey, params }: Asked): string | undefined {
  const given = [headerKey, bodyKey, ...KEY_NAMES.map((name) => params[name])].find(
    (value) => value !== undefined && value !== null,
  )
  if (given === undefined) return undefined
  if (typeof given === 'string' && KEY.test(given)) return given
  throw new VestryError(
    'INVALID_FIELD',
    'idempotency_key: expected 8 to 128 of A-Z a-z 0-9 _ . : -',
  )
}
