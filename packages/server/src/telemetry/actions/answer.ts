/** Answers of the action lane: `status` as older clients know it, and `ok` for those that came later. */
import { asVestryError, type ErrorCode } from '@vestry/contract/errors'

export type ActionStatus =
  | 'ok'
  | 'queued'
  | 'approved'
  | 'executed'
  | 'cancelled'
  | 'blocked'
  | 'error'
  | 'rate_limited'

export interface ActionAnswer {
  /** The request was carried out; what it asked about may still be refused. */
  readonly ok: boolean
  readonly status: ActionStatus
  readonly message?: string
  readonly [more: string]: unknown
}

const STATUSES: Partial<Readonly<Record<ErrorCode, ActionStatus>>> = {
  ACCESS_DENIED: 'blocked',
  AGENT_INACTIVE: 'blocked',
  APPROVAL_REQUIRED: 'queued',
  RATE_LIMITED: 'rate_limited',
  QUOTA_EXCEEDED: 'rate_limited',
}

export function failed(error: unknown): ActionAnswer {
  const { code, message, hint, context } = asVestryError(error)
  const status = STATUSES[code] ?? 'error'
  const { approval_id: id, retry_after_ms: retryAfterMs } = context
  return {
    // A call that waits for an operator was taken.
    ok: status === 'queued',
    status,
    message: hint === undefined ? message : `${message}; ${hint}`,
    code,
    ...(typeof id === 'string' && { id }),
    ...(typeof retryAfterMs === 'number' && { retry_after_ms: Math.ceil(retryAfterMs) }),
  }
}

export function refused(status: 'blocked' | 'error', message: string): ActionAnswer {
  return { ok: false, status, message }
}
