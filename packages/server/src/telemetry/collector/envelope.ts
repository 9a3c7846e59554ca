/**
 * Decides whether a parsed line is an envelope, and takes from it what a producer may say. Everything else a
 * producer wrote is left behind here; who it is, the collector says.
 */
import {
  CAPTURE_MODES,
  type Capture,
  type CaptureMode,
  FRAMEWORK,
  type Ids,
  type Producer,
} from '@vestry/coat/aot'
import { redactText } from '@vestry/coat/redaction'
import type { RejectReason } from '../metrics.ts'
import { type Kind, kindOf } from './kinds.ts'

/** What a producer may say, checked. */
export interface Received {
  readonly spec: string
  readonly kind: Kind
  readonly ts: string
  readonly ids: Ids
  readonly framework: string
  readonly frameworkVersion: string
  readonly capture: Capture
  readonly payload: Readonly<Record<string, unknown>>
  readonly producer: Producer | undefined
  /** What it claimed to be: compared with who it is, and then forgotten. */
  readonly stated: Stated
}

export interface Stated {
  readonly agentId: unknown
  readonly agentRole: unknown
  readonly envpod: unknown
}

type JsonRecord = Readonly<Record<string, unknown>>

const DAY_MS = 86_400_000
const SPEC = /^aotp\/0\.\d{1,4}$/
const ID = /^(?:[a-z]{1,8}_)?[A-Za-z0-9]{1,64}$/
const PRODUCER_ID = /^p_[A-Za-z0-9]{1,64}$/
const PLAIN_PRODUCER_ID = /^p_[0-9a-f]{1,64}$/
const LANGUAGE = /^[a-z][a-z0-9+#.-]{0,15}$/
const TIME = /^(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}:\d{2})(?:\.(\d{1,9}))?(Z|z|[+-]\d{2}:\d{2})$/
const CANONICAL_TIME = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$/
const KEY_ID = /^[0-9a-f]{8}$/
/** Cut when it has been looked at: half a secret looks like none. */
const MAX_NAME_CHARS = 4_096
const MODES: ReadonlySet<unknown> = new Set(CAPTURE_MODES)

/** @returns Why it is not one, or what it says. */
export function readEnvelope(line: JsonRecord, nowMs: number): RejectReason | Received {
  const { spec, payload, subject } = line
  if (typeof spec !== 'string' || !SPEC.test(spec)) return 'spec'
  const kind = kindOf(line['kind'])
  if (kind === undefined) return 'kind'
  const ts = timeOf(line['ts'], nowMs)
  if (ts === undefined) return 'ts'
  const ids = idsOf(line['ids'])
  if (ids === undefined) return 'ids'
  if (subject !== undefined && !isRecord(subject)) return 'subject'
  const capture = captureOf(line['capture'])
  if (capture === undefined) return 'capture'
  if (!isRecord(payload)) return 'payload'
  const producer = line['producer'] === undefined ? undefined : producerOf(line['producer'])
  if (producer === 'producer') return producer
  return {
    spec,
    kind,
    ts,
    ids,
    framework: nameOf(subject?.['framework'], FRAMEWORK),
    frameworkVersion: nameOf(subject?.['framework_version'], ''),
    capture,
    payload,
    producer,
    stated: {
      agentId: subject?.['agent_id'],
      agentRole: subject?.['agent_role'],
      envpod: line['envpod'],
    },
  }
}

/** The number a rejected line had, so that its absence is not taken for a loss. */
export function numberOf(line: JsonRecord): Producer | undefined {
  const producer = producerOf(line['producer'])
  return producer === 'producer' ? undefined : producer
}

export function isProducerId(value: unknown): value is string {
  if (typeof value !== 'string' || !PRODUCER_ID.test(value)) return false
  // It stands in records and is asked for again, so it cannot be replaced by something else.
  return PLAIN_PRODUCER_ID.test(value) || redactText(value).hits.length === 0
}

export function isRecord(value: unknown): value is JsonRecord {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** In the one form times are stored in: UTC, milliseconds. */
function timeOf(value: unknown, nowMs: number): string | undefined {
  if (typeof value !== 'string') return undefined
  const ms = CANONICAL_TIME.test(value) ? Date.parse(value) : otherTime(value)
  // Also false for what is no time at all.
  return Math.abs(ms - nowMs) <= DAY_MS ? new Date(ms).toISOString() : undefined
}

function otherTime(value: string): number {
  const found = value.length <= 40 ? TIME.exec(value) : null
  if (found === null) return Number.NaN
  const [, date, time, fraction = '', zone = 'Z'] = found
  return Date.parse(`${date}T${time}.${fraction.padEnd(3, '0').slice(0, 3)}${zone.toUpperCase()}`)
}

/** Absent ones do not apply. */
function idsOf(value: unknown): Ids | undefined {
  if (!isRecord(value)) return undefined
  const { session_id, run_id, step_id, trace_id, span_id, parent_span_id } = value
  const ids = {
    session_id: idOf(session_id),
    run_id: idOf(run_id),
    step_id: idOf(step_id),
    trace_id: idOf(trace_id),
    span_id: idOf(span_id),
    parent_span_id: idOf(parent_span_id),
  }
  for (const id of Object.values(ids)) if (id === undefined) return undefined
  return ids as Ids // none is undefined
}

function idOf(value: unknown): string | undefined {
  if (value === '' || value === undefined) return ''
  return typeof value === 'string' && ID.test(value) ? value : undefined
}

function captureOf(value: unknown): Capture | undefined {
  if (!isRecord(value)) return undefined
  const { mode, requested, hash } = value
  if (!MODES.has(mode)) return undefined
  return {
    mode: mode as CaptureMode, // one of the five
    ...(MODES.has(requested) && { requested: requested as CaptureMode }),
    ...(isHash(hash) && { hash: { alg: hash.alg, key_id: hash.key_id } }),
  }
}

function isHash(value: unknown): value is NonNullable<Capture['hash']> {
  return (
    isRecord(value) &&
    value['alg'] === 'hmac-sha256-128' &&
    typeof value['key_id'] === 'string' &&
    KEY_ID.test(value['key_id'])
  )
}

function producerOf(value: unknown): Producer | 'producer' {
  if (!isRecord(value)) return 'producer'
  const { id, seq, pid, tid, lang, dropped } = value
  if (!isProducerId(id) || !isCount(seq) || seq === 0) return 'producer'
  return {
    id,
    seq,
    ...(isCount(pid) && { pid }),
    ...(isCount(tid) && { tid }),
    ...(typeof lang === 'string' && LANGUAGE.test(lang) && { lang }),
    ...(isCount(dropped) && { dropped }),
  }
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

function nameOf(value: unknown, fallback: string): string {
  if (typeof value !== 'string' || value === '') return fallback
  return value.length <= MAX_NAME_CHARS ? value : value.slice(0, MAX_NAME_CHARS).toWellFormed()
}
