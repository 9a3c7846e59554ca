/** Random ids of spans, traces, runs, steps, sessions and producers, and their W3C forms. */
import { createHash, randomFillSync } from 'node:crypto'
import type { Ids } from './aot.ts'

const POOL_BYTES = 4096
const bytes = Buffer.allocUnsafe(POOL_BYTES)
/** The pool as text: one conversion serves some hundred ids. */
let pool = ''
let used = 0

/** @param digits At most 32, from the system's generator; never all zero. */
function randomHex(digits: number): string {
  if (used + digits > pool.length) {
    pool = randomFillSync(bytes).toString('hex')
    used = 0
  }
  const hex = pool.slice(used, used + digits)
  used += digits
  return isZero(hex) ? randomHex(digits) : hex
}

function isZero(hex: string): boolean {
  return hex.charCodeAt(0) === 48 && /^0+$/.test(hex)
}

export const newTraceId = (): string => `tr_${randomHex(32)}`
export const newSpanId = (): string => `sp_${randomHex(16)}`
export const newRunId = (): string => `run_${randomHex(16)}`
export const newStepId = (): string => `step_${randomHex(16)}`
export const newSessionId = (): string => `sess_${randomHex(16)}`

const ACCEPTED = {
  session_id: /^sess_[A-Za-z0-9]{1,64}$/,
  run_id: /^run_[A-Za-z0-9]{1,64}$/,
  step_id: /^step_[A-Za-z0-9]{1,64}$/,
  trace_id: /^tr_[A-Za-z0-9]{1,64}$/,
  span_id: /^sp_[A-Za-z0-9]{1,64}$/,
  parent_span_id: /^sp_[A-Za-z0-9]{1,64}$/,
} as const satisfies Record<keyof Ids, RegExp>

/** @returns The id, or `undefined` for what is not one of its kind. */
export function acceptId(kind: keyof Ids, given: unknown): string | undefined {
  return typeof given === 'string' && ACCEPTED[kind].test(given) ? given : undefined
}

export interface TraceParent {
  /** `tr_…` */
  readonly traceId: string
  /** `sp_…` */
  readonly spanId: string
}

const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?$/

/** @see W3C Trace Context §3.2 and §4: all-zero ids, version `ff` and upper case are invalid. */
export function parseTraceparent(header: unknown): TraceParent | undefined {
  if (typeof header !== 'string' || header.length > 256) return undefined
  const [, trace = '', span = '', rest] = TRACEPARENT.exec(header.trim()) ?? []
  // Only a later version may have more fields.
  if (trace === '' || (rest !== undefined && header.trim().startsWith('00'))) return undefined
  return isZero(trace) || isZero(span)
    ? undefined
    : { traceId: `tr_${trace}`, spanId: `sp_${span}` }
}

export function formatTraceparent(ids: Pick<Ids, 'trace_id' | 'span_id'>): string {
  return `00-${w3cTraceId(ids.trace_id)}-${w3cSpanId(ids.trace_id, ids.span_id)}-01`
}

/** Ids of another length are mapped, always to the same one. */
function w3cTraceId(id: string): string {
  const body = id.slice(3)
  if (/^[0-9a-f]{32}$/.test(body) && !isZero(body)) return body
  return createHash('sha256').update(`aotp-trace:${id}`).digest('hex').slice(0, 32)
}

function w3cSpanId(traceId: string, id: string): string {
  const body = id.slice(3)
  if (/^[0-9a-f]{16}$/.test(body) && !isZero(body)) return body
  return createHash('sha256').update(`aotp-span:${traceId}:${id}`).digest('hex').slice(0, 16)
}
