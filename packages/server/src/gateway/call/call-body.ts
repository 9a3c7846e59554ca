/** The body of a proxied call, checked field by field so that each mistake has its own answer. */
import { VestryError } from '@vestry/contract/errors'
import type { Json, JsonObject } from '../tools/tool.ts'

const NAME = /^[a-z][a-z0-9_]{0,31}$/
const MAX_REASON_LENGTH = 256

export interface CallBody {
  readonly token: string
  readonly tool: string
  readonly action: string
  readonly params: JsonObject
  /** Not yet checked. */
  readonly intent: unknown
  readonly proof: unknown
  readonly tokenId: unknown
  readonly key: unknown
  readonly queued: boolean
  /** Why, in the caller's words; policy may ask for one. */
  readonly reason: string | undefined
}

/** @throws VestryError BAD_REQUEST, MISSING_FIELDS, INVALID_FIELD. */
export function readCallBody(value: Json): CallBody {
  const body = objectBody(value)
  const missing = ['agent_token', 'tool', 'action', 'params'].filter((name) => absent(body[name]))
  if (missing.length > 0) throw missingFields(missing)
  const queued = body['async']
  if (!absent(queued) && typeof queued !== 'boolean') throw invalidField('async', 'true or false')
  const params = body['params']
  if (!isObject(params)) throw invalidField('params', 'an object')
  return {
    token: text(body, 'agent_token'),
    tool: name(body, 'tool'),
    action: name(body, 'action'),
    params,
    intent: body['intent'],
    proof: body['proof_payload'],
    tokenId: body['token_id'],
    key: body['idempotency_key'],
    queued: queued === true,
    reason: optionalText(body, 'reason', MAX_REASON_LENGTH),
  }
}

/** @throws VestryError BAD_REQUEST */
export function objectBody(value: Json): JsonObject {
  if (isObject(value)) return value
  throw new VestryError('BAD_REQUEST', 'the body must be a JSON object')
}

function missingFields(names: readonly string[]): VestryError {
  return new VestryError('MISSING_FIELDS', `missing: ${names.join(', ')}`, {
    context: { details: names.map((field) => `${field}: is required`) },
  })
}

function invalidField(field: string, expected: string): VestryError {
  return new VestryError('INVALID_FIELD', `${field}: expected ${expected}`)
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function absent(value: unknown): boolean {
  return value === undefined || value === null
}

function text(body: JsonObject, field: string): string {
  const value = body[field]
  if (typeof value !== 'string') throw invalidField(field, 'text')
  return value
}

function optionalText(body: JsonObject, field: string, maxLength: number): string | undefined {
  if (absent(body[field])) return undefined
  const value = text(body, field)
  if (value !== '' && value.length <= maxLength) return value
  throw invalidField(field, `text of 1 to ${maxLength} characters`)
}

function name(body: JsonObject, field: string): string {
  const value = text(body, field)
  if (!NAME.test(value)) throw invalidField(field, 'a name of a-z, 0-9 and _')
  return value
}
