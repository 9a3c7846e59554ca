/**
 * The stored audit record and its canonical bytes. A record can always be written: what has no
 * canonical form is replaced by a description of itself, because an unrecordable action would be
 * a way around the log.
 */
import { hash } from 'node:crypto'
import { canonicalJson, canonicalString } from '@vestry/contract/canonical'
import { representable } from './representable.ts'

/** Who observed the fact. `collector` is the log itself. */
export type AuditSource =
  | 'coat'
  | 'dns'
  | 'vault'
  | 'queue'
  | 'identity'
  | 'pod'
  | 'host'
  | 'collector'
  | 'gateway'
  | 'llm'
  | 'mcp'
  | 'runtime'
  | 'review'
  | 'admin'

export type AuditPhase = 'intent' | 'outcome' | 'single'

export interface AuditSpan {
  trace_id: string
  span_id: string
  parent_span_id: string
}

/** What was decided, as known at decision time; further members explain it to `vestry why`. */
export interface AuditDecision {
  id: string
  allow: boolean
  policies: readonly string[]
  reason: string
  /** Digest of the policy set that decided. */
  policy_set: string
  [more: string]: unknown
}

export interface AuditOutcome {
  code: string
  status?: number | undefined
  duration_ms: number
  /** `seq` of the intent this closes; without it the pair is found by request id and action. */
  intent?: number | undefined
  [more: string]: unknown
}

/** What a station hands in. Times, sequence and hashes are the log's own. */
export interface AuditEntry {
  action: string
  phase: AuditPhase
  /** One line for a person; never a secret. */
  detail: string
  /** On an intent: whether it was allowed. */
  success: boolean
  /** `agent:scout`, `operator:ada` or `system`. */
  actor: string
  source: AuditSource
  /** Agent name; absent for anonymous callers. */
  agent?: string | undefined
  pid?: number | undefined
  uid?: number | undefined
  request_id?: string | undefined
  txn?: string | undefined
  span?: AuditSpan | undefined
  decision?: AuditDecision | undefined
  outcome?: AuditOutcome | undefined
  /** Structured facts; values only as HMAC (seal/hash.ts). */
  data?: Record<string, unknown> | undefined
  /** A telemetry envelope as stored, instead of `data`. */
  event?: Record<string, unknown> | undefined
}

export interface AuditRecord extends AuditEntry {
  /** 2; 1 marks a line of an older, unchained log. */
  v: number
  /** 1, 2, 3 … without gaps over all segments of a chain. */
  seq: number
  /** RFC 3339, UTC, milliseconds. */
  timestamp: string
  pod_name: string
  /** Hash of the record before, 64 hex; 64 zeros for the first. */
  prev: string
  hash: string
}

export const RECORD_VERSION = 2

/** Longest record, in UTF-16 code units; what is over is cut down to digests. */
export const MAX_RECORD_CHARS = 1_048_576

/** Longest line a reader takes as a record, in bytes (a code unit is at most three). */
export const MAX_LINE_BYTES = 3 * MAX_RECORD_CHARS + 4096

/**
 * Canonical text of a record, cut where the chain's own values go:
 * `head [,"hash":"…"] beforePrev «prev» afterPrev «seq» end`.
 */
export interface Fragments {
  head: string
  beforePrev: string
  afterPrev: string
  end: string
}

/** @param timestamp RFC 3339 text. @throws whatever canonicalJson throws for nested data. */
function cut(entry: AuditEntry, podName: string, timestamp: string, version: number): Fragments {
  // Keys stand in code-unit order, the order RFC 8785 §3.2.3 asks for.
  let head = `{"action":${text(entry.action)},"actor":${text(entry.actor)}`
  if (entry.agent !== undefined) head += `,"agent":${text(entry.agent)}`
  if (entry.data !== undefined) head += `,"data":${canonicalJson(entry.data)}`
  if (entry.decision !== undefined) head += `,"decision":${canonicalJson(entry.decision)}`
  head += `,"detail":${text(entry.detail)}`
  if (entry.event !== undefined) head += `,"event":${canonicalJson(entry.event)}`

  let beforePrev = ''
  if (entry.outcome !== undefined) beforePrev = `,"outcome":${canonicalJson(entry.outcome)}`
  beforePrev += `,"phase":${text(entry.phase)}`
  if (entry.pid !== undefined) beforePrev += `,"pid":${canonicalJson(entry.pid)}`
  beforePrev += `,"pod_name":${text(podName)},"prev":"`

  const afterPrev =
    entry.request_id === undefined ? '","seq":' : `","request_id":${text(entry.request_id)},"seq":`

  let end = `,"source":${text(entry.source)}`
  if (entry.span !== undefined) end += `,"span":${canonicalJson(entry.span)}`
  end += `,"success":${canonicalJson(entry.success)},"timestamp":${text(timestamp)}`
  if (entry.txn !== undefined) end += `,"txn":${text(entry.txn)}`
  if (entry.uid !== undefined) end += `,"uid":${canonicalJson(entry.uid)}`
  end += `,"v":${version}}`
  return { head, beforePrev, afterPrev, end }
}

function text(value: string): string {
  return typeof value === 'string' ? canonicalString(value) : canonicalJson(value)
}

/** Never throws: see the head of this file. */
export function fragments(entry: AuditEntry, podName: string, timestamp: string): Fragments {
  let parts: Fragments
  try {
    parts = cut(entry, podName, timestamp, RECORD_VERSION)
  } catch {
    parts = cut(representable(entry), podName, timestamp, RECORD_VERSION)
  }
  if (charsOf(parts) <= MAX_RECORD_CHARS) return parts
  return cut(representable(shortened(entry)), podName, timestamp, RECORD_VERSION)
}

export function charsOf(parts: Fragments): number {
  return parts.head.length + parts.beforePrev.length + parts.afterPrev.length + parts.end.length
}

/** A record's canonical text around its hash member: `head` ‖ `rest` is what is hashed. */
export interface Canonical {
  head: string
  rest: string
}

/** The fragments of one record at its place in the chain. */
export function placed(parts: Fragments, prev: string, seq: number): Canonical {
  return { head: parts.head, rest: parts.beforePrev + prev + parts.afterPrev + seq + parts.end }
}

/** What stands between `head` and `rest` in the stored line. */
export function hashMember(hashHex: string): string {
  return `,"hash":"${hashHex}"`
}

/**
 * @param line The stored text that was parsed.
 * @returns undefined when the line is not the canonical form of its record.
 * @throws when the record has no canonical form.
 */
export function canonicalOf(record: AuditRecord, line: string): Canonical | undefined {
  const parts = cut(record, record.pod_name, record.timestamp, record.v)
  const form = placed(parts, record.prev, record.seq)
  const member = hashMember(record.hash)
  const { head, rest } = form
  if (
    line.length === head.length + member.length + rest.length &&
    line.startsWith(head) &&
    line.startsWith(member, head.length) &&
    line.endsWith(rest)
  )
    return form
  // Members we do not know, from a later version: the general way round.
  if (canonicalJson(record) !== line) return undefined
  const { hash: _, ...others } = record
  return { head: canonicalJson(others), rest: '' }
}

/** The fragments of a record that was written and has to be placed again. @throws if `line` is no record. */
export function fragmentsOf(line: string): Fragments {
  const record = JSON.parse(line) as AuditRecord // our own line, of a moment ago
  return cut(record, record.pod_name, record.timestamp, record.v)
}

/** @returns undefined when the line is not JSON or lacks a member every record has. */
export function parseRecord(line: string): AuditRecord | undefined {
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch {
    return undefined
  }
  if (value === null || typeof value !== 'object') return undefined
  const record = value as Partial<Record<keyof AuditRecord, unknown>>
  const whole =
    typeof record.v === 'number' &&
    Number.isSafeInteger(record.seq) &&
    typeof record.timestamp === 'string' &&
    typeof record.pod_name === 'string' &&
    typeof record.action === 'string' &&
    typeof record.phase === 'string' &&
    typeof record.detail === 'string' &&
    typeof record.success === 'boolean' &&
    typeof record.actor === 'string' &&
    typeof record.source === 'string' &&
    typeof record.prev === 'string' &&
    typeof record.hash === 'string'
  // Checked above; optional members keep the form our writer gave them.
  return whole ? (value as AuditRecord) : undefined
}

/** Identifies the call that an intent and its outcome belong to. */
export function pairKey(entry: AuditEntry): string {
  const call = entry.request_id ?? entry.span?.span_id ?? entry.txn ?? entry.actor
  return `${call}\n${entry.action}`
}

function shortened(entry: AuditEntry): AuditEntry {
  const { data, event, decision, outcome, ...rest } = entry
  const short: AuditEntry = { ...rest, detail: entry.detail.slice(0, 4096) }
  if (data !== undefined) short.data = digest(data)
  if (event !== undefined) short.event = digest(event)
  if (decision !== undefined) {
    const { id, allow, policies, reason, policy_set } = decision
    short.decision = {
      id,
      allow,
      policies: policies.slice(0, 64),
      reason: reason.slice(0, 1024),
      policy_set,
      truncated: true,
    }
  }
  if (outcome !== undefined) {
    const { code, status, duration_ms, intent } = outcome
    short.outcome = { code, status, duration_ms, intent, truncated: true }
  }
  return short
}

function digest(value: Record<string, unknown>): Record<string, unknown> {
  const form = canonicalJson(representable(value))
  return { truncated: true, chars: form.length, sha256: hash('sha256', form) }
}
