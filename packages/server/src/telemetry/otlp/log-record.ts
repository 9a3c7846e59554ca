/** One stored event as an OTLP log record. */
import { type AttributeRules, Attributes, MAX_NAME_BYTES, shortened } from './attributes.ts'
import { type CoatEvent, members, type Payload, text } from './coat-event.ts'
import { type ContentRules, toldOf } from './content.ts'
import { isClaimed, setCommon } from './event-attributes.ts'
import { exceptionOf } from './exception.ts'
import { familyOf, isEnd } from './family.ts'
import { spanIdOf, traceIdOf } from './ids.ts'
import { describeKind } from './kind-attributes.ts'
import type { Message } from './schema.ts'
import { ENVPOD, HIDDEN } from './semconv.ts'
import { asText, isHidden } from './told-io.ts'

export interface ExportRules extends AttributeRules, ContentRules {}

/** A record ready to be sent. */
export interface Built {
  readonly message: Message
  /** What it takes, roughly. */
  readonly bytes: number
  /** Of the scope it belongs to. */
  readonly version: string
  /** Position in the log; of a span, of its first record. */
  readonly seq: number
}

/** What is known of an event from others. */
export interface Surroundings {
  /** Of the same span, when `event` ends it. */
  readonly start: CoatEvent | undefined
  readonly conversation: string | undefined
  readonly modelCalls: boolean
}

const NOT_EXPORTED = new Set(['x.coat.io', 'x.coat.health'])

export function isExported({ kind }: CoatEvent): boolean {
  return !NOT_EXPORTED.has(kind)
}

export const TIE = 'x.coat.tie'

const INFO = { severityNumber: 9, severityText: 'INFO' }
const WARN = { severityNumber: 13, severityText: 'WARN' }
const ERROR = { severityNumber: 17, severityText: 'ERROR' }
/** What else a record takes. */
const FRAME_BYTES = 256

export function logRecordOf(event: CoatEvent, around: Surroundings, rules: ExportRules): Built {
  const into = new Attributes(rules)
  setCommon(into, event, around.conversation)
  const family = familyOf(event.kind)
  if (event.kind === TIE) setTie(into, event, rules)
  else if (family !== undefined) {
    const ends = isEnd(event)
    const told = toldOf(event, rules)
    const nothing = toldOf(undefined, rules)
    describeKind(into, family, {
      facts: factsOf(ends ? around.start : undefined, event),
      start: ends ? undefined : event,
      end: ends ? event : undefined,
      toldStart: ends ? nothing : told,
      toldEnd: ends ? told : nothing,
      claimed: isClaimed(event),
      modelCalls: around.modelCalls,
      structured: true,
    })
    into.set(ENVPOD.phase, text(event.payload['phase']))
    for (const [name, value] of exceptionOf(event, rules)) into.set(name, value)
  }
  const { fields, bytes } = into.message()
  const message = {
    timeUnixNano: nanos(event.tsMs),
    observedTimeUnixNano: nanos(event.observedMs),
    ...severityOf(event),
    eventName: event.kind,
    body: { stringValue: bodyOf(event) },
    ...fields,
    flags: 1,
    traceId: traceIdOf(event.ids.trace).hex,
    spanId: spanIdOf(event.ids.span, event.ids.trace).hex,
  }
  const whole = bytes + Buffer.byteLength(message.body.stringValue) + FRAME_BYTES
  return { message, bytes: whole, version: versionOf(event), seq: event.seq }
}

/** Metadata of both ends. Tools and servers are told in part by either. */
export function factsOf(start: CoatEvent | undefined, end: CoatEvent | undefined): Payload {
  const one = start?.payload ?? {}
  const other = end?.payload ?? {}
  const both = (name: string): Payload => {
    const [first, second] = [members(one[name]), members(other[name])]
    return first === undefined || second === undefined ? {} : { [name]: { ...first, ...second } }
  }
  return { ...one, ...other, ...both('tool'), ...both('mcp') }
}

export function setTie(into: Attributes, event: CoatEvent, rules: ExportRules): void {
  const told = toldOf(event, rules)
  into.set(ENVPOD.tieName, text(event.payload['name']))
  if (!told.has('data')) return
  const data = told.value('data')
  const hidden = data === undefined || isHidden('output', told)
  into.set(ENVPOD.tieData, hidden ? HIDDEN : asText(data))
}

/** The year 2262: as far as receivers that count nanoseconds in 63 bits can see. */
export const LAST_MS = 9_223_372_036_854

/** A duration that nobody measured must not lead to a time that no receiver, and no encoding, can take. */
export function nanos(epochMs: number): bigint {
  return BigInt(Math.round(Math.min(Math.max(epochMs, 0), LAST_MS) * 1000)) * 1000n
}

export function versionOf({ subject }: CoatEvent): string {
  return text(subject['framework_version']) ?? ''
}

function severityOf({ envpod, payload }: CoatEvent): typeof INFO {
  if (payload['status'] === 'error') return ERROR
  const overwrote = envpod['overwrote']
  return Array.isArray(overwrote) && overwrote.length > 0 ? WARN : INFO
}

/** For people who look at a list of records. */
function bodyOf({ kind, payload }: CoatEvent): string {
  const named = text(payload['fn']) ?? text(payload['name']) ?? text(payload['request'])
  const parts = [kind, named, text(payload['status'])].filter((part) => part !== undefined)
  return shortened(parts.join(' '), MAX_NAME_BYTES)
}
