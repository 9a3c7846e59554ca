/** A stored envelope as the export reads it: every member checked where it is used, since producers wrote it. */
import type { CaptureMode } from '@vestry/coat/aot'
import type { AuditRecord } from '../../audit/record.ts'

export type Payload = Readonly<Record<string, unknown>>

export interface CoatEvent {
  readonly seq: number
  readonly kind: string
  /** Epoch ms. */
  readonly tsMs: number
  /** When the collector had it; epoch ms. */
  readonly observedMs: number
  readonly ids: Readonly<{
    session: string
    run: string
    step: string
    trace: string
    span: string
    parent: string
  }>
  readonly subject: Payload
  readonly mode: CaptureMode
  readonly spec: string
  readonly payload: Payload
  readonly envpod: Payload
}

/** @returns undefined for what is no event, or one that was too long to be stored whole. */
export function coatEventOf(record: AuditRecord): CoatEvent | undefined {
  const { event } = record
  if (record.action !== 'agent_event' || record.source !== 'coat' || event === undefined)
    return undefined
  const kind = text(event['kind'])
  const ids = members(event['ids'])
  const payload = members(event['payload'])
  const tsMs = Date.parse(text(event['ts']) ?? '')
  if (kind === undefined || ids === undefined || payload === undefined || Number.isNaN(tsMs))
    return undefined
  const envpod = members(event['envpod']) ?? {}
  const received = Date.parse(text(envpod['recv_ts']) ?? record.timestamp)
  const id = (name: string): string => text(ids[name]) ?? ''
  return {
    seq: record.seq,
    kind,
    tsMs,
    observedMs: Number.isNaN(received) ? tsMs : received,
    ids: {
      session: id('session_id'),
      run: id('run_id'),
      step: id('step_id'),
      trace: id('trace_id'),
      span: id('span_id'),
      parent: id('parent_span_id'),
    },
    subject: members(event['subject']) ?? {},
    mode: modeOf(members(event['capture'])?.['mode']),
    spec: text(event['spec']) ?? '',
    payload,
    envpod,
  }
}

/** What is unknown is told nothing of. */
function modeOf(value: unknown): CaptureMode {
  return value === 'raw' || value === 'redacted' || value === 'summary' || value === 'hash'
    ? value
    : 'none'
}

/** A text that says something. */
export function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}

/** What codes and names of classes look like: a sentence is a message, whoever calls it a code. */
export function typeIn(value: unknown): string | undefined {
  const word = text(value)
  return word !== undefined && /^[\w.:/$-]{1,128}$/.test(word) ? word : undefined
}

export function number(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined
}

/** Counts of tokens and records: whole, and not negative. */
export function count(value: unknown): number | undefined {
  const found = number(value)
  return found !== undefined && found >= 0 && Number.isSafeInteger(found) ? found : undefined
}

export function members(value: unknown): Payload | undefined {
  return value !== null && typeof value === 'object' && !Array.isArray(value)
    ? (value as Payload)
    : undefined
}

export function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}

export function texts(value: unknown): string[] | undefined {
  const found = list(value).filter((item) => typeof item === 'string')
  return found.length > 0 ? found : undefined
}
