/** The two ends of a span, and what happened within it, as an OTLP span. */
import type { AuditDecision, AuditRecord } from '../../audit/record.ts'
import { type AttributeMessage, Attributes, MAX_NAME_BYTES, shortened } from './attributes.ts'
import { type CoatEvent, count, members, number, type Payload, text } from './coat-event.ts'
import { toldOf } from './content.ts'
import { agentName, isClaimed, setCommon } from './event-attributes.ts'
import { exceptionOf } from './exception.ts'
import { FAMILIES, type FamilyName } from './family.ts'
import { spanIdOf, traceIdOf } from './ids.ts'
import { describeKind } from './kind-attributes.ts'
import {
  type Built,
  type ExportRules,
  factsOf,
  nanos,
  type Surroundings,
  setTie,
  TIE,
  versionOf,
} from './log-record.ts'
import type { Message } from './schema.ts'
import { ENVPOD, OTEL } from './semconv.ts'
import { measure } from './value.ts'

/** Events of one span; a receiver is told how many more there were. */
export const MAX_EVENTS = 128
/** What they take together. */
export const MAX_EVENT_BYTES = 262_144

/** A span as it was put together. At least one of `start` and `end` is there. */
export interface SpanParts {
  readonly family: FamilyName
  readonly start: CoatEvent | undefined
  readonly end: CoatEvent | undefined
  readonly events: readonly SpanEvent[]
  readonly droppedEvents: number
  /** Instead of the envelope's own, where that one is no exported span. */
  readonly parent: string
  /** The last sign of it, when it has no end. */
  readonly lastSeenMs: number
}

export interface SpanEvent extends AttributeMessage {
  readonly atMs: number
  readonly name: string
}

const FRAME_BYTES = 256
const EVENT_FRAME_BYTES = 64
/** Ten years: longer than anything that runs here. */
const LONGEST_MS = 315_360_000_000
const OK = 1
const FAILED = 2

/** @param parts Of a family that is exported as spans. */
export function spanOf(
  parts: SpanParts,
  around: Omit<Surroundings, 'start'>,
  rules: ExportRules,
): Built {
  const { start, end, family } = parts
  const first = (start ?? end) as CoatEvent // one of them is there
  const facts = factsOf(start, end)
  const into = new Attributes(rules)
  setCommon(into, first, around.conversation)
  describeKind(into, family, {
    facts,
    start,
    end,
    toldStart: toldOf(start, rules),
    toldEnd: toldOf(end, rules),
    claimed: isClaimed(first),
    modelCalls: around.modelCalls,
    structured: false,
  })
  if (end === undefined) into.set(ENVPOD.incomplete, true)
  const { startMs, endMs } = timesOf(parts)
  const events = [...parts.events, ...exceptions(end, endMs, rules)]
  const { name, spanKind } = FAMILIES[family]
  const { ids } = first
  const { fields, bytes: own } = into.message()
  const message: Message = {
    traceId: traceIdOf(ids.trace).hex,
    spanId: spanIdOf(ids.span, ids.trace).hex,
    parentSpanId: parts.parent === ids.span ? '' : spanIdOf(parts.parent, ids.trace).hex,
    name: shortened(name(facts, agentName(first)), MAX_NAME_BYTES),
    kind: spanKind(facts),
    startTimeUnixNano: nanos(startMs),
    endTimeUnixNano: nanos(endMs),
    ...fields,
    events: events.map(({ atMs, name, fields }) => ({
      timeUnixNano: nanos(atMs),
      name,
      ...fields,
    })),
    droppedEventsCount: parts.droppedEvents,
    links: linksOf(ids.trace, facts),
    status: { code: statusOf(end) },
    flags: 1,
  }
  const bytes = events.reduce((sum, event) => sum + event.bytes + EVENT_FRAME_BYTES, own)
  const frame = FRAME_BYTES + Buffer.byteLength(String(message['name']))
  return { message, bytes: bytes + frame, version: versionOf(first), seq: first.seq }
}

/** Durations come from a steady clock; two timestamps are never subtracted. */
function timesOf({ start, end, lastSeenMs }: SpanParts): { startMs: number; endMs: number } {
  const duration = number(end?.payload['duration_ms'])
  const lasted = Math.min(Math.max(0, duration ?? 0), LONGEST_MS)
  if (start === undefined) {
    const endMs = end?.tsMs ?? lastSeenMs
    return { startMs: endMs - lasted, endMs }
  }
  if (end === undefined) return { startMs: start.tsMs, endMs: Math.max(start.tsMs, lastSeenMs) }
  return {
    startMs: start.tsMs,
    endMs: duration !== undefined ? start.tsMs + lasted : Math.max(start.tsMs, end.tsMs),
  }
}

function statusOf(end: CoatEvent | undefined): number {
  const status = text(end?.payload['status'])
  if (end?.payload['is_error'] === true || status === 'error') return FAILED
  return status === 'ok' ? OK : 0
}

function exceptions(end: CoatEvent | undefined, endMs: number, rules: ExportRules): SpanEvent[] {
  if (end === undefined) return []
  const told = exceptionOf(end, rules)
  if (told.length === 0) return []
  const attributes = new Attributes(rules)
  for (const [name, value] of told) attributes.set(name, value)
  return [{ atMs: endMs, name: OTEL.exception, ...attributes.message() }]
}

/** A subagent that works in a trace of its own. */
function linksOf(trace: string, facts: Payload): Message[] {
  const child = members(facts['child'])
  const childTrace = text(child?.['trace_id'])
  if (childTrace === undefined || childTrace === trace) return []
  const span = text(child?.['span_id'])
  return [
    {
      traceId: traceIdOf(childTrace).hex,
      // The root of the other trace is not known here.
      spanId: span === undefined ? '0'.repeat(16) : spanIdOf(span, childTrace).hex,
      attributes: [{ key: 'envpod.link', value: { stringValue: 'subagent' } }],
    },
  ]
}

export function tieEvent(event: CoatEvent, rules: ExportRules): SpanEvent {
  const attributes = new Attributes(rules)
  setTie(attributes, event, rules)
  return { atMs: event.tsMs, name: TIE, ...attributes.message() }
}

/** Facts of a record that say what it was about. Names and numbers; paths and free text stay on the host. */
const TOLD_FACTS = ['domain', 'qtype', 'decision', 'host', 'tool', 'model', 'provider'] as const

/** @param method How sure it is that this span caused it. */
export function recordEvent(
  record: AuditRecord,
  method: string,
  decision: AuditDecision | undefined,
  rules: ExportRules,
): SpanEvent {
  const attributes = new Attributes(rules)
  const { data, outcome } = record
  attributes.set(ENVPOD.attribution, method).set(ENVPOD.source, record.source)
  attributes.set(ENVPOD.seq, record.seq).set(ENVPOD.success, record.success)
  attributes.set(ENVPOD.decisionId, text((record.decision ?? decision)?.id))
  attributes.set(ENVPOD.txn, text(record.txn))
  attributes.set(ENVPOD.outcome, text(outcome?.code))
  attributes.set(ENVPOD.duration, measure(outcome?.duration_ms))
  attributes.set(ENVPOD.operation, text(data?.['operation']))
  for (const name of TOLD_FACTS) {
    const fact = text(data?.[name]) ?? count(data?.[name])
    attributes.set(`envpod.${record.source === 'dns' ? 'dns' : 'data'}.${name}`, fact)
  }
  return { atMs: Date.parse(record.timestamp), name: record.action, ...attributes.message() }
}
