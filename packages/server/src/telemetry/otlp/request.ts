/** The request that records are sent in, as bytes. Made in steps: the event loop is everybody's. */
import { setImmediate as breathe } from 'node:timers/promises'
import { encodeJson } from './json.ts'
import type { Built } from './log-record.ts'
import { encodeProtobuf } from './protobuf.ts'
import type { Message } from './schema.ts'

export type Signal = 'logs' | 'spans'
export type Protocol = 'http/protobuf' | 'http/json'

/** Every kind of event has the same one; whose events they are is said by their attributes. */
const SCOPE = 'envpod-coat'
/** Records that are encoded without a pause: about a millisecond. */
const STEP = 32

const SHAPES = {
  logs: {
    request: 'LogsRequest',
    resources: 'resourceLogs',
    scopes: 'scopeLogs',
    records: 'logRecords',
    record: 'LogRecord',
  },
  spans: {
    request: 'TraceRequest',
    resources: 'resourceSpans',
    scopes: 'scopeSpans',
    records: 'spans',
    record: 'Span',
  },
} as const

interface Scope {
  readonly scope: Message
  readonly records: readonly Built[]
}

export interface Encoded {
  readonly body: Uint8Array
  /** Records that cannot be written, which is a fault of ours and no reason to keep all others back. */
  readonly broken: readonly Built[]
}

export async function encodeRequest(
  signal: Signal,
  protocol: Protocol,
  resource: Message,
  records: readonly Built[],
): Promise<Encoded> {
  const broken: Built[] = []
  const scopes = [...Map.groupBy(records, ({ version }) => version)].map(([version, group]) => ({
    scope: { name: SCOPE, version },
    records: group,
  }))
  const write = protocol === 'http/json' ? jsonRequest : protobufRequest
  return { body: await write(signal, resource, scopes, broken), broken }
}

async function protobufRequest(
  signal: Signal,
  resource: Message,
  scopes: readonly Scope[],
  broken: Built[],
): Promise<Uint8Array> {
  const shape = SHAPES[signal]
  const encoded: Message[] = []
  for (const { scope, records } of scopes) {
    const encode = ({ message }: Built) => encodeProtobuf(shape.record, message)
    const parts = await inSteps(records, encode, broken)
    encoded.push({ scope, [shape.records]: parts })
  }
  return encodeProtobuf(shape.request, {
    [shape.resources]: [{ resource, [shape.scopes]: encoded }],
  })
}

async function jsonRequest(
  signal: Signal,
  resource: Message,
  scopes: readonly Scope[],
  broken: Built[],
): Promise<Uint8Array> {
  const shape = SHAPES[signal]
  const encoded: string[] = []
  for (const { scope, records } of scopes) {
    const encode = ({ message }: Built) => encodeJson(shape.record, message)
    const parts = await inSteps(records, encode, broken)
    encoded.push(`{"scope":${encodeJson('Scope', scope)},"${shape.records}":[${parts.join()}]}`)
  }
  const inner = `{"resource":${encodeJson('Resource', resource)},"${shape.scopes}":[${encoded.join()}]}`
  return Buffer.from(`{"${shape.resources}":[${inner}]}`)
}

async function inSteps<T>(
  records: readonly Built[],
  encode: (record: Built) => T,
  broken: Built[],
): Promise<T[]> {
  const out: T[] = []
  for (const [index, record] of records.entries()) {
    try {
      out.push(encode(record))
    } catch {
      broken.push(record)
    }
    if (index % STEP === STEP - 1) await breathe()
  }
  return out
}
