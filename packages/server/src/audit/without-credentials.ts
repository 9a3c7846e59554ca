/**
 * Takes out of a record what has the shape of a credential. Names are what callers write, and what was pasted where a
 * name belongs may be a key; no station has to think of it. Pure.
 */
import { redactText } from '@vestry/coat/redaction'
import type { AuditEntry } from './record.ts'

/** Found in ordinary words and numbers as well: `token expired`, an amount, a date. */
const ORDINARY: ReadonlySet<string> = new Set(['auth-header', 'cookie', 'card', 'iban', 'ssn'])
const PASTED_HEADER = /^(?:bearer|basic)\s/i
/** Keys of this daemon: what they are called stays, what opens the door goes. */
const OWN_KEY = /\b(key_[0-9a-f]{16})\.[\w-]{43}/g
/** Deeper than anything that is recorded; what is below has its own bounds. */
const MAX_DEPTH = 16

/** @returns The very same entry when nothing was found. Telemetry (`event`) was screened when it came in. */
export function withoutCredentials(entry: AuditEntry): AuditEntry {
  const detail = cleanText(entry.detail)
  const data = entry.data && cleanMembers(entry.data, 0)
  const outcome = entry.outcome && cleanMembers(entry.outcome, 0)
  if (detail === entry.detail && data === entry.data && outcome === entry.outcome) return entry
  return {
    ...entry,
    detail,
    ...(data !== undefined && { data }),
    ...(outcome !== undefined && { outcome }),
  }
}

/** Records are much alike: names of members, of tools, of operations. */
const MAX_KNOWN = 4_096
const MAX_KNOWN_CHARS = 64
const known = new Set<string>()

function cleanText(text: string): string {
  // A station that hands in something else is no reason to lose the record.
  if (typeof text !== 'string') return text
  if (known.has(text)) return text
  const clean = withoutMatches(text)
  if (clean === text && text.length <= MAX_KNOWN_CHARS) {
    if (known.size >= MAX_KNOWN) known.clear()
    known.add(text)
  }
  return clean
}

function withoutMatches(text: string): string {
  const own = text.includes('key_') ? text.replace(OWN_KEY, '$1.[redacted:key]') : text
  const { text: clean, hits } = redactText(own)
  if (hits.length === 0) return own
  return hits.some((rule) => !ORDINARY.has(rule)) || PASTED_HEADER.test(own) ? clean : own
}

function cleanValue(value: unknown, depth: number): unknown {
  if (typeof value === 'string') return cleanText(value)
  if (typeof value !== 'object' || value === null || depth >= MAX_DEPTH) return value
  if (!Array.isArray(value)) return isPlain(value) ? cleanMembers(value, depth) : value
  const isSame = value.every((item) => cleanValue(item, depth + 1) === item)
  return isSame ? value : value.map((item) => cleanValue(item, depth + 1))
}

/** The same members, some with other texts. Makes nothing where there is nothing to change: it sees every record. */
function cleanMembers<T extends object>(members: T, depth: number): T {
  const isSame = Object.keys(members).every((name) => {
    const value: unknown = Reflect.get(members, name)
    return cleanText(name) === name && cleanValue(value, depth + 1) === value
  })
  if (isSame) return members
  const clean = Object.entries(members).map(([name, value]) => [
    cleanText(name),
    cleanValue(value, depth + 1),
  ])
  // Entries, not assignments: a member may be called `__proto__`.
  return Object.fromEntries(clean) as T
}

function isPlain(value: object): value is Record<string, unknown> {
  const prototype = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}
