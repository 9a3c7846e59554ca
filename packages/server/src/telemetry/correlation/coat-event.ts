/**
 * What correlation keeps of one event of an agent: ids, times, who sent it, and the few facts that are shown. Captured
 * values are left behind, except what a tie says, which is cut short. Pure.
 */
import type { AuditRecord } from '../../audit/record.ts'
import { fullKey } from './span-ids.ts'

export type Part = 'start' | 'end' | 'point'

export interface CoatEvent {
  readonly seq: number
  readonly kind: string
  readonly part: Part
  /** `run`, `llm`, `tool`, `memory.read` …; of points `tie`, `io` and the like. */
  readonly op: string
  /** As the agent says it, epoch ms. */
  readonly atMs: number
  /** When it was stored. */
  readonly storedMs: number
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId: string
  /** `trace:span` in one spelling, for comparing; empty without a span. */
  readonly key: string
  readonly parentKey: string
  readonly runId: string
  readonly sessionId: string
  readonly caller: CallerFacts
  readonly producer:
    | { readonly id: string; readonly seq: number; readonly dropped: number }
    | undefined
  readonly facts: EventFacts
}

/** Who sent it, as the collector says. */
export interface CallerFacts {
  readonly kind: 'claimed' | 'anonymous'
  readonly pid: number | undefined
  /** Tells a process from a later one with its pid. */
  readonly startTime: string
  readonly agent?: string
  readonly role?: string
  readonly claimId?: string
  readonly fingerprint?: string
}

/** One process for as long as it runs: its number is another one's later. */
export function processKey({ pid, startTime }: Pick<CallerFacts, 'pid' | 'startTime'>): string {
  return `${pid}:${startTime}`
}

export interface EventFacts {
  readonly name?: string
  readonly status?: string
  readonly durationMs?: number
  readonly error?: string
  readonly model?: string
  readonly provider?: string
  readonly inputTokens?: number
  readonly outputTokens?: number
  readonly costUsd?: number
  readonly tool?: string
  /** An action in the queue that this event is about. */
  readonly queueId?: string
  readonly outcome?: string
  /** What an I/O hint is about. */
  readonly targets?: readonly string[]
  /** What a tie says, as text. */
  readonly data?: string
}

type Row = Readonly<Record<string, unknown>>

const STARTS = /^agent\.(session|run|step|subagent)\.start$/
const ENDS = /^agent\.(session|run|step|subagent)\.end$/
const NAMED: Readonly<Record<string, readonly [op: string, part: Part]>> = {
  'agent.llm.request': ['llm', 'start'],
  'agent.llm.response': ['llm', 'end'],
  'agent.tool.call': ['tool', 'start'],
  'agent.tool.result': ['tool', 'end'],
}
/** Kinds with one name for both ends; the payload says which one it is. */
const PHASED: Readonly<Record<string, string>> = {
  'agent.memory.read': 'memory.read',
  'agent.memory.write': 'memory.write',
  'agent.memory.delete': 'memory.delete',
  'agent.human.request': 'human',
}

const MAX_NAME_CHARS = 128
const MAX_DATA_CHARS = 400

/** @returns undefined for a record that is no event of an agent, or not whole. */
export function coatEvent(record: AuditRecord): CoatEvent | undefined {
  const { event } = record
  if (record.source !== 'coat' || event === undefined) return undefined
  const kind = text(event['kind'])
  if (kind === undefined) return undefined
  const ids = row(event['ids'])
  const payload = row(event['payload'])
  const traceId = text(ids['trace_id']) ?? ''
  const spanId = text(ids['span_id']) ?? ''
  const parentSpanId = text(ids['parent_span_id']) ?? ''
  const storedMs = Date.parse(record.timestamp)
  const atMs = Date.parse(text(event['ts']) ?? '')
  const [op, part] = spanId === '' ? [kind, 'point' as const] : opOf(kind, payload)
  return {
    seq: record.seq,
    kind,
    part,
    op,
    atMs: Number.isNaN(atMs) ? storedMs : atMs,
    storedMs,
    traceId,
    spanId,
    parentSpanId,
    key: fullKey(traceId, spanId),
    parentKey: fullKey(traceId, parentSpanId),
    runId: text(ids['run_id']) ?? '',
    sessionId: text(ids['session_id']) ?? '',
    caller: callerOf(record, event),
    producer: producerOf(row(event['producer'])),
    facts: factsOf(kind, payload),
  }
}

function opOf(kind: string, payload: Row): [op: string, part: Part] {
  const named = NAMED[kind]
  if (named !== undefined) return [...named]
  const [, started] = STARTS.exec(kind) ?? []
  if (started !== undefined) return [started, 'start']
  const [, ended] = ENDS.exec(kind) ?? []
  if (ended !== undefined) return [ended, 'end']
  const phased = PHASED[kind]
  if (phased === undefined) return [kind.replace(/^x\.coat\./, ''), 'point']
  const { phase } = payload
  return [phased, phase === 'end' ? 'end' : 'start']
}

function callerOf(record: AuditRecord, event: Row): CallerFacts {
  const stamp = row(event['envpod'])
  const subject = row(event['subject'])
  const common = {
    pid: count(stamp['pid']) ?? record.pid,
    startTime: text(stamp['start_time']) ?? '',
  }
  if (stamp['claim_kind'] === 'claimed') {
    const agent = text(subject['agent_id']) ?? record.agent
    const role = text(subject['agent_role'])
    const claimId = text(stamp['agent_claim_id'])
    return {
      kind: 'claimed',
      ...common,
      ...(agent !== undefined && { agent }),
      ...(role !== undefined && { role }),
      ...(claimId !== undefined && { claimId }),
    }
  }
  const anonymous = row(stamp['anonymous'])
  const fingerprint = text(anonymous['fingerprint'])
  return {
    kind: 'anonymous',
    ...common,
    startTime: common.startTime || (text(anonymous['start_time']) ?? ''),
    ...(fingerprint !== undefined && { fingerprint }),
  }
}

function producerOf({ id, seq, dropped }: Row): CoatEvent['producer'] {
  const number = count(seq)
  if (typeof id !== 'string' || number === undefined) return undefined
  return { id, seq: number, dropped: count(dropped) ?? 0 }
}

function factsOf(kind: string, payload: Row): EventFacts {
  const usage = row(payload['usage'])
  const tool = row(payload['tool'])
  const error = row(payload['error'])
  const all = {
    name: text(payload['fn']) ?? text(payload['name']) ?? text(payload['title']),
    status: text(payload['status']),
    durationMs: amount(payload['duration_ms']),
    error: text(error['type']) ?? text(error['name']) ?? text(payload['error']),
    model: text(payload['response_model']) ?? text(payload['model']),
    provider: text(payload['provider']),
    inputTokens: count(usage['input']),
    outputTokens: count(usage['output']),
    costUsd: amount(payload['cost_usd']),
    tool: text(tool['name']),
    queueId: text(payload['queue_id']) ?? text(row(payload['approval'])['queue_id']),
    outcome: text(payload['outcome']),
    ...(kind === 'x.coat.io' && { targets: targetsOf(payload) }),
    ...(kind === 'x.coat.tie' &&
      payload['data'] !== undefined && { data: dataText(payload['data']) }),
  }
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined))
}

/** What I/O is about, in words that both sides of it use: `host:…`, `path:…`, `command:…`. */
export function targetsOf(facts: Row): string[] {
  const { host, domain, path_hash: path, command } = facts
  const name = text(host) ?? text(domain)
  return [
    name === undefined ? undefined : `host:${plainHost(name)}`,
    typeof path === 'string' && name === undefined ? `path:${path}` : undefined,
    typeof command === 'string' ? `command:${command}` : undefined,
  ].filter((target) => target !== undefined)
}

function plainHost(host: string): string {
  return host
    .toLowerCase()
    .replace(/^\[|\]$/g, '')
    .replace(/\.$/, '')
}

function dataText(data: unknown): string {
  const whole = typeof data === 'string' ? data : (JSON.stringify(data) ?? '')
  if (whole.length <= MAX_DATA_CHARS) return whole
  return `${whole.slice(0, MAX_DATA_CHARS).toWellFormed()}…`
}

export function row(value: unknown): Row {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Row) : {}
}

export function text(value: unknown): string | undefined {
  if (typeof value !== 'string' || value === '') return undefined
  return value.length <= MAX_NAME_CHARS
    ? value
    : `${value.slice(0, MAX_NAME_CHARS).toWellFormed()}…`
}

function count(value: unknown): number | undefined {
  return Number.isSafeInteger(value) && (value as number) >= 0 ? (value as number) : undefined
}

function amount(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0 ? value : undefined
}
