/** OTLP requests read with the code that the OpenTelemetry project generates from its own definitions. */
import root from 'opentelemetry-proto/build/src/generated/root.js'

export interface AnyValue {
  stringValue?: string
  boolValue?: boolean
  intValue?: string
  doubleValue?: number
  arrayValue?: { values?: AnyValue[] }
  kvlistValue?: { values?: KeyValue[] }
}
export interface KeyValue {
  key: string
  value: AnyValue
}
export interface LogRecord {
  timeUnixNano: string
  observedTimeUnixNano: string
  severityNumber: number
  eventName: string
  body: AnyValue
  traceId?: string
  spanId?: string
  attributes: KeyValue[]
  droppedAttributesCount?: number
}
export interface Span {
  traceId: string
  spanId: string
  parentSpanId?: string
  name: string
  kind: number
  startTimeUnixNano: string
  endTimeUnixNano: string
  attributes: KeyValue[]
  droppedAttributesCount?: number
  events?: { timeUnixNano: string; name: string; attributes?: KeyValue[] }[]
  droppedEventsCount?: number
  links?: { traceId: string; spanId: string }[]
  status?: { code?: number }
}
interface Scoped {
  scope: { name: string; version: string }
}
export interface LogsRequest {
  resourceLogs: {
    resource: { attributes: KeyValue[] }
    scopeLogs: (Scoped & { logRecords: LogRecord[] })[]
  }[]
}
export interface TraceRequest {
  resourceSpans: {
    resource: { attributes: KeyValue[] }
    scopeSpans: (Scoped & { spans: Span[] })[]
  }[]
}

interface MessageType {
  decode(bytes: Uint8Array): unknown
  toObject(message: unknown, options: object): unknown
  fromObject(value: object): unknown
  encode(message: unknown): { finish(): Uint8Array }
}

const { collector } = (
  root as unknown as {
    opentelemetry: {
      proto: { collector: Record<'logs' | 'trace', { v1: Record<string, MessageType> }> }
    }
  }
).opentelemetry.proto

const REQUESTS = {
  logs: collector.logs.v1['ExportLogsServiceRequest'],
  traces: collector.trace.v1['ExportTraceServiceRequest'],
}
const RESPONSES = {
  logs: collector.logs.v1['ExportLogsServiceResponse'],
  traces: collector.trace.v1['ExportTraceServiceResponse'],
}

/** In the JSON form of OTLP: ids as hex, 64-bit integers as text. */
export function decodeProtobuf(signal: 'logs' | 'traces', bytes: Uint8Array): unknown {
  const type = REQUESTS[signal] as MessageType
  const plain = type.toObject(type.decode(bytes), { longs: String, enums: Number })
  return withHexIds(plain)
}

export function encodePartialSuccess(
  signal: 'logs' | 'traces',
  partialSuccess: object,
): Uint8Array {
  const type = RESPONSES[signal] as MessageType
  return type.encode(type.fromObject({ partialSuccess })).finish()
}

function withHexIds(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withHexIds)
  if (value === null || typeof value !== 'object') return value
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex')
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, withHexIds(item)]))
}

export function logsOf(request: unknown): LogRecord[] {
  return (request as LogsRequest).resourceLogs.flatMap(({ scopeLogs = [] }) =>
    scopeLogs.flatMap(({ logRecords }) => logRecords),
  )
}

export function spansOf(request: unknown): Span[] {
  return (request as TraceRequest).resourceSpans.flatMap(({ scopeSpans = [] }) =>
    scopeSpans.flatMap(({ spans }) => spans),
  )
}

export function attributesOf({
  attributes = [],
}: {
  attributes?: KeyValue[]
}): Record<string, unknown> {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, plain(value)]))
}

export function plain(value: AnyValue): unknown {
  if (value.arrayValue !== undefined) return (value.arrayValue.values ?? []).map(plain)
  if (value.kvlistValue !== undefined)
    return Object.fromEntries(
      (value.kvlistValue.values ?? []).map(({ key, value: v }) => [key, plain(v)]),
    )
  if (value.intValue !== undefined) return Number(value.intValue)
  return value.stringValue ?? value.boolValue ?? value.doubleValue
}
