/**
 * The OTLP messages that are sent or read, as a table of field numbers (opentelemetry-proto 1.x). Both encodings
 * follow it, so a field exists in both or in none.
 */

/**
 * How a field is written. `id` is bytes, kept as lower-case hex; `nanos` is an unsigned 64-bit time; `int64`
 * takes safe integers.
 */
export type Scalar =
  | 'string'
  | 'bool'
  | 'int64'
  | 'double'
  | 'uint32'
  | 'enum'
  | 'fixed32'
  | 'nanos'
  | 'id'

export interface Field {
  readonly number: number
  readonly type: Scalar | MessageName
  readonly repeated?: true
}

export type MessageName =
  | 'LogsRequest'
  | 'ResourceLogs'
  | 'ScopeLogs'
  | 'LogRecord'
  | 'TraceRequest'
  | 'ResourceSpans'
  | 'ScopeSpans'
  | 'Span'
  | 'SpanEvent'
  | 'SpanLink'
  | 'SpanStatus'
  | 'Resource'
  | 'Scope'
  | 'KeyValue'
  | 'AnyValue'
  | 'ArrayValue'
  | 'KeyValueList'

const one = (number: number, type: Field['type']): Field => ({ number, type })
const many = (number: number, type: Field['type']): Field => ({ number, type, repeated: true })

export const MESSAGES: Readonly<Record<MessageName, Readonly<Record<string, Field>>>> = {
  LogsRequest: { resourceLogs: many(1, 'ResourceLogs') },
  ResourceLogs: { resource: one(1, 'Resource'), scopeLogs: many(2, 'ScopeLogs') },
  ScopeLogs: { scope: one(1, 'Scope'), logRecords: many(2, 'LogRecord') },
  LogRecord: {
    timeUnixNano: one(1, 'nanos'),
    severityNumber: one(2, 'enum'),
    severityText: one(3, 'string'),
    body: one(5, 'AnyValue'),
    attributes: many(6, 'KeyValue'),
    droppedAttributesCount: one(7, 'uint32'),
    flags: one(8, 'fixed32'),
    traceId: one(9, 'id'),
    spanId: one(10, 'id'),
    observedTimeUnixNano: one(11, 'nanos'),
    eventName: one(12, 'string'),
  },
  TraceRequest: { resourceSpans: many(1, 'ResourceSpans') },
  ResourceSpans: { resource: one(1, 'Resource'), scopeSpans: many(2, 'ScopeSpans') },
  ScopeSpans: { scope: one(1, 'Scope'), spans: many(2, 'Span') },
  Span: {
    traceId: one(1, 'id'),
    spanId: one(2, 'id'),
    parentSpanId: one(4, 'id'),
    name: one(5, 'string'),
    kind: one(6, 'enum'),
    startTimeUnixNano: one(7, 'nanos'),
    endTimeUnixNano: one(8, 'nanos'),
    attributes: many(9, 'KeyValue'),
    droppedAttributesCount: one(10, 'uint32'),
    events: many(11, 'SpanEvent'),
    droppedEventsCount: one(12, 'uint32'),
    links: many(13, 'SpanLink'),
    status: one(15, 'SpanStatus'),
    flags: one(16, 'fixed32'),
  },
  SpanEvent: {
    timeUnixNano: one(1, 'nanos'),
    name: one(2, 'string'),
    attributes: many(3, 'KeyValue'),
    droppedAttributesCount: one(4, 'uint32'),
  },
  SpanLink: {
    traceId: one(1, 'id'),
    spanId: one(2, 'id'),
    attributes: many(4, 'KeyValue'),
  },
  SpanStatus: { message: one(2, 'string'), code: one(3, 'enum') },
  Resource: { attributes: many(1, 'KeyValue') },
  Scope: { name: one(1, 'string'), version: one(2, 'string') },
  KeyValue: { key: one(1, 'string'), value: one(2, 'AnyValue') },
  AnyValue: {
    stringValue: one(1, 'string'),
    boolValue: one(2, 'bool'),
    intValue: one(3, 'int64'),
    doubleValue: one(4, 'double'),
    arrayValue: one(5, 'ArrayValue'),
    kvlistValue: one(6, 'KeyValueList'),
  },
  ArrayValue: { values: many(1, 'AnyValue') },
  KeyValueList: { values: many(1, 'KeyValue') },
}

export interface NamedField {
  readonly member: string
  readonly number: number
  readonly repeated: boolean
  /** Of a field that holds messages. */
  readonly message: MessageName | undefined
  /** Of all others. */
  readonly scalar: Scalar
}

/**
 * The same as lists: both encodings go through them for every value that leaves. The names are those of the table;
 * `fromEntries` only forgets their types.
 */
export const FIELDS = Object.fromEntries(
  Object.entries(MESSAGES).map(([name, fields]) => [
    name,
    Object.entries(fields).map(([member, { number, type, repeated }]) => ({
      member,
      number,
      repeated: repeated === true,
      message: isMessage(type) ? type : undefined,
      scalar: isMessage(type) ? 'string' : type,
    })),
  ]),
) as unknown as Readonly<Record<MessageName, readonly NamedField[]>>

function isMessage(type: Field['type']): type is MessageName {
  return type in MESSAGES
}

/** A message in memory: members named as in the table, absent ones are not written. */
export type Message = { readonly [name: string]: unknown }

/** Members of an `AnyValue` are written whatever they hold: `false`, 0 and `""` are values. */
export function isPresent(message: MessageName, value: unknown): boolean {
  if (value === undefined) return false
  if (message === 'AnyValue') return true
  return value !== '' && value !== 0 && value !== 0n && value !== false
}
