/**
 * Redaction of JSON that is already there: what a host applies to envelopes of producers that it does
 * not trust, and how it cuts captured values down to a lesser mode. The rules are those of capturing.
 */
import { CAPTURED_MEMBERS, type CaptureMode, lesser } from './aot.ts'
import type { Json } from './capture/capturer.ts'
import { uncutLength } from './capture/cut.ts'
import { describe } from './capture/describe.ts'
import { canonicalJson, hashed } from './capture/hash.ts'
import { createScanner, isMarkedText } from './capture/scan.ts'
import { createKeyRule, isSensitiveKey } from './capture/sensitive-key.ts'
import { summarise } from './capture/summarise.ts'
import { RULE_NAMES } from './capture/token-rules.ts'

export { hashKey } from './capture/hash.ts'
export { isSensitiveKey, RULE_NAMES }

export interface Redacted<T> {
  /** The very same value when nothing was found in it. */
  readonly value: T
  /** Names of the rules that found something, each once. */
  readonly hits: string[]
}

export interface RedactorOptions {
  /** Names whose values go, beside the built-in ones. */
  readonly redactKeys?: readonly string[]
  /** Texts that are secret whatever their shape; shorter ones than 8 characters are ignored. */
  readonly exact?: readonly string[]
  readonly entropy?: boolean
}

export interface Redactor {
  json<T>(value: T): Redacted<T>
  text(text: string): { text: string; hits: string[] }
}

/** Deeper than any envelope may be; what lies below is not shown. */
const MAX_DEPTH = 64
const REDACTED_KEY = '[redacted:key]'

export function createRedactor(options: RedactorOptions = {}): Redactor {
  const keyRule = createKeyRule(options.redactKeys)
  const { exact = [], entropy = false } = options
  const scanner = createScanner({ keyRule, exact, entropy })
  return {
    json<T>(value: T) {
      const hits = new Set<string>()
      // What comes back has the shape that went in, with texts in the place of some values.
      const clean = redactNode(value, true, 0, hits) as T
      return { value: clean, hits: [...hits] }
    },
    text(text) {
      const hits = new Set<string>()
      return { text: scanner.redact(text, false, hits), hits: [...hits] }
    },
  }

  function redactNode(value: unknown, judged: boolean, depth: number, hits: Set<string>): unknown {
    if (typeof value === 'string') return scanner.redact(value, false, hits)
    if (typeof value !== 'object' || value === null) return value
    if (depth >= MAX_DEPTH) return '[too deep]'
    return Array.isArray(value)
      ? redactItems(value, judged, depth, hits)
      : redactMembers(value as Record<string, unknown>, judged, depth, hits)
  }

  function redactItems(items: unknown[], judged: boolean, depth: number, hits: Set<string>) {
    let out = items
    for (let at = 0; at < items.length; at += 1) {
      const clean = redactNode(items[at], judged, depth + 1, hits)
      if (clean === items[at]) continue
      if (out === items) out = items.slice()
      out[at] = clean
    }
    return out
  }

  function redactMembers(
    members: Record<string, unknown>,
    judged: boolean,
    depth: number,
    hits: Set<string>,
  ) {
    const keys = Object.keys(members)
    let changed: [string, unknown][] | undefined
    for (let at = 0; at < keys.length; at += 1) {
      const key = keys[at] as string
      const value = members[key]
      const cleanKey = scanner.redact(key, false, hits)
      const clean = redactNamed(key, value, judged, depth, hits)
      if (changed === undefined) {
        if (clean === value && cleanKey === key) continue
        changed = keys.slice(0, at).map((before) => [before, members[before]])
      }
      changed.push([cleanKey, clean])
    }
    // Entries, not assignments: a member may be called `__proto__`.
    return changed === undefined ? members : Object.fromEntries(distinct(changed))
  }

  function redactNamed(
    key: string,
    value: unknown,
    judged: boolean,
    depth: number,
    hits: Set<string>,
  ): unknown {
    const verdict = judged ? keyRule(key) : 'plain'
    if (verdict === 'plain' || value === null) return redactNode(value, judged, depth + 1, hits)
    if (verdict === 'open') return redactNode(value, false, depth + 1, hits)
    const isCount = typeof value === 'number' || typeof value === 'boolean'
    if (verdict === 'counter' && isCount) return value
    if (typeof value === 'string' && tellsNothing(value)) return value
    hits.add('key')
    return REDACTED_KEY
  }
}

const builtIn = createRedactor()

/** @param value Plain JSON, as `JSON.parse` makes it. It is not changed. */
export function redactJson<T>(value: T, options?: RedactorOptions): Redacted<T> {
  return (options === undefined ? builtIn : createRedactor(options)).json(value)
}

/** Linear in the length of the text; the caller bounds it. */
export function redactText(text: string): { text: string; hits: string[] } {
  return builtIn.text(text)
}

/**
 * Cuts the captured values of a stored payload down to a mode that tells less. Metadata stays.
 *
 * @param from Mode in which they were captured, as the envelope says.
 * @param key  Key of the hashes that mode `hash` makes, at least 16 bytes.
 * @returns The same payload when `to` tells no less than `from`.
 */
export function lowerPayload(
  payload: Readonly<Record<string, unknown>>,
  from: CaptureMode,
  to: CaptureMode,
  key: Uint8Array,
): Readonly<Record<string, unknown>> {
  if (lesser(from, to) === from) return payload
  const lower = (value: unknown) => lowered(value, from, to, key)
  const out: Record<string, unknown> = { ...payload }
  for (const member of CAPTURED_MEMBERS) {
    if (!Object.hasOwn(payload, member)) continue
    out[member] =
      member === 'preview' ? lowerPreview(payload[member], to, lower) : lower(payload[member])
  }
  if (isRecord(payload['error'])) out['error'] = lowerError(payload['error'], to, lower)
  return out
}

type Lower = (value: unknown) => unknown

/** Arguments and yielded values one by one; the others each as a whole. */
function lowerPreview(preview: unknown, to: CaptureMode, lower: Lower): unknown {
  if (!isRecord(preview)) return lower(preview)
  const out: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(preview)) {
    const single = (name === 'args' || name === 'yields') && Array.isArray(value)
    const none = name === 'kwargs' && isRecord(value) && Object.keys(value).length === 0
    if (none) out[name] = value
    else out[name] = single ? (value as unknown[]).map(lower) : lower(value)
  }
  // Names of arguments are content as well: below `summary` they are one more argument.
  if ((to === 'none' || to === 'hash') && typeof out['kwargs'] === 'string') {
    out['args'] = [...(Array.isArray(out['args']) ? out['args'] : []), out['kwargs']]
    out['kwargs'] = {}
  }
  return out
}

function lowerError(error: Record<string, unknown>, to: CaptureMode, lower: Lower): unknown {
  const { message } = error
  if (typeof message !== 'string') return error
  // Where the mode makes an object of a text, the message stays a text of which only the length is told.
  return { ...error, message: to === 'summary' ? describeStored(message) : lower(message) }
}

function lowered(value: unknown, from: CaptureMode, to: CaptureMode, key: Uint8Array): unknown {
  switch (to) {
    case 'none':
      return from === 'summary' ? describeSummary(value) : describeStored(value)
    case 'hash':
      return hashStored(value, key)
    case 'summary':
      return summariseStored(value)
    default:
      return builtIn.json(value).value
  }
}

/** A text that was cut is described by the length that it had. */
function describeStored(value: unknown): string {
  if (typeof value !== 'string') return describe(value)
  if (tellsNothing(value) && value.startsWith('<')) return value
  const hash = HASH.exec(value)
  if (hash !== null) return `<value${hash[1] === undefined ? '' : ` ${hash[1]}`}>`
  return `<string len=${uncutLength(value)}>`
}

/** Of what mode `summary` told only type and size are left. */
function describeSummary(value: unknown): string {
  if (!isRecord(value)) return describe(value)
  const { type, len, keys } = value
  if (type === 'string' || type === 'array') return `<${type} len=${Number(len)}>`
  if (type === 'object' && Array.isArray(keys)) return `<object keys=${keys.length}>`
  return typeof type === 'string' && /^[a-z]{1,16}$/.test(type) ? `<${type}>` : '<object>'
}

function hashStored(value: unknown, key: Uint8Array): string {
  if (typeof value === 'string') {
    if (HASH.test(value)) return value
    return hashed(key, 'string', canonicalJson(value), `len=${uncutLength(value)}`)
  }
  const json = value as Json
  if (Array.isArray(json)) return hashed(key, 'array', canonicalJson(json), `len=${json.length}`)
  if (isRecord(json)) {
    const keys = `keys=${Object.keys(json).length}`
    return hashed(key, 'object', canonicalJson(json), keys)
  }
  return hashed(key, json === null ? 'null' : typeof json, canonicalJson(json))
}

const SUMMARY_OPTIONS = {
  keyRule: createKeyRule(),
  clean: (text: string) => builtIn.text(text).text,
}

function summariseStored(value: unknown): Json {
  const summary = summarise(value, SUMMARY_OPTIONS)
  if (typeof value !== 'string' || !isRecord(summary)) return summary
  return { ...(summary as Record<string, Json>), len: uncutLength(value) }
}

const DESCRIPTOR = /^<[A-Za-z]{1,40}(?: (?:len|keys|size)=\w{1,12})?>$/
const HASH = /^h:[0-9a-f]{32}(?::((?:len|keys)=\w{1,12}))?$/

/** What redaction, or a mode that sends no content, has left of a value. */
function tellsNothing(text: string): boolean {
  return text === '' || DESCRIPTOR.test(text) || HASH.test(text) || isMarkedText(text)
}

/** Names that became alike stay two. */
function distinct(entries: [string, unknown][]): [string, unknown][] {
  const seen = new Set<string>()
  return entries.map(([key, value]) => {
    let free = key
    for (let count = 2; seen.has(free); count += 1) free = `${key}#${count}`
    seen.add(free)
    return [free, value]
  })
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
