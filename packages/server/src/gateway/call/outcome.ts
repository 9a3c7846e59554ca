/**
 * What came of a call, in the one form in which it is answered, stored for repetitions and given out as the
 * result of a job.
 */
import { asVestryError, ERRORS, type ErrorCode, VestryError } from '@vestry/contract/errors'
import type { Json } from '../tools/tool.ts'

/** Facts about the call that its answer shows. */
export interface Metadata {
  readonly agent_id: string
  readonly agent_name: string
  readonly tool: string
  readonly action: string
  readonly response_time_ms: number
  readonly cached: boolean
}

export interface Answer {
  readonly data: Json
  readonly metadata: Metadata
  /** The answer of an earlier execution of the same call. */
  readonly replayed: boolean
}

/** An error as it is kept, so that a repetition is answered alike. */
interface StoredError {
  readonly code: ErrorCode
  readonly message: string
  readonly hint?: string
  readonly context: Record<string, unknown>
}

type Stored =
  | { readonly metadata: Metadata; readonly data: Json }
  | { readonly metadata: Metadata; readonly error: StoredError }

export function storedAnswer(data: Json, metadata: Metadata): Uint8Array {
  return Buffer.from(JSON.stringify({ data, metadata } satisfies Stored))
}

export function storedError(error: unknown, metadata: Metadata): Uint8Array {
  const { code, message, hint, context } = asVestryError(error)
  const kept = { code, message, ...(hint !== undefined && { hint }), context }
  return Buffer.from(JSON.stringify({ error: kept, metadata } satisfies Stored))
}

/** What {@link storedAnswer} or {@link storedError} wrote. @throws nothing it was not given by us. */
export function readStored(
  bytes: Uint8Array,
): { metadata: Metadata } & ({ data: Json } | { error: VestryError }) {
  const stored = JSON.parse(Buffer.from(bytes).toString('utf8')) as Stored // sealed by us
  if ('data' in stored) return stored
  const { code, message, hint, context } = stored.error
  const known: ErrorCode = Object.hasOwn(ERRORS, code) ? code : 'INTERNAL_ERROR'
  const error = new VestryError(known, message, { ...(hint !== undefined && { hint }), context })
  return { metadata: stored.metadata, error }
}
