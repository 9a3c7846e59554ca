/**
 * What policy lets through of a result (gateway contract §9.5): members are redacted, personal data masked, long
 * texts cut, and the whole withheld when it holds what it must not or is too large. What cannot be carried out
 * withholds as well. The input stays as it was.
 */
import { VestryError } from '@vestry/contract/errors'
import { LinearPattern } from '../../policy/text-pattern/linear-pattern.ts'
import { RecentMap } from '../../store/recent-map.ts'
import type { Json, JsonObject } from '../tools/tool.ts'
import { isPiiName, maskPii, PII_NAMES, type PiiName } from './pii.ts'

/** As policy's obligations name them. */
export interface ResponseFilters {
  /** Keys, in any case. */
  readonly redact: readonly string[]
  /** `<key>:<characters>` */
  readonly truncate: readonly string[]
  readonly pii: readonly string[]
  /** Substrings of the JSON; with `re:` before them, patterns. */
  readonly block: readonly string[]
  /** Of the JSON in UTF-8. */
  readonly maxResponseBytes?: number | undefined
}

export type Filtered =
  | { readonly value: Json; readonly redactions: number }
  | { readonly refused: 'RESPONSE_BLOCKED' | 'RESPONSE_TOO_LARGE' }

const MAX_DEPTH = 128
/** For all patterns together. */
const PATTERN_BUDGET_MS = 100
const PATTERN_PREFIX = 're:'
const MARK = '[REDACTED]'

/** Compiled patterns by source. */
const patterns = new RecentMap<string, LinearPattern>(256)

/** @param now Milliseconds on a clock that never goes back. */
export function filterReply(
  value: Json,
  filters: ResponseFilters,
  now: () => number = () => performance.now(),
): Filtered {
  try {
    const work = plan(filters)
    const filtered = rewrite(value, work, undefined, 0)
    const { block, maxResponseBytes } = filters
    if (block.length > 0 || maxResponseBytes !== undefined) {
      const json = JSON.stringify(filtered)
      if (isBlocked(json, block, now)) return { refused: 'RESPONSE_BLOCKED' }
      if (maxResponseBytes !== undefined && Buffer.byteLength(json) > maxResponseBytes) {
        return { refused: 'RESPONSE_TOO_LARGE' }
      }
    }
    return { value: filtered, redactions: work.redactions }
  } catch (error) {
    if (error instanceof TooDeep) return { refused: 'RESPONSE_BLOCKED' }
    // A filter nobody understands must not be one that does nothing.
    if (error instanceof VestryError && error.code === 'POLICY_INVALID') {
      return { refused: 'RESPONSE_BLOCKED' }
    }
    throw error
  }
}

class TooDeep extends Error {}

interface Work {
  /** Lower-case. */
  readonly redact: ReadonlySet<string>
  /** Lower-case key → characters. */
  readonly lengths: ReadonlyMap<string, number>
  readonly pii: ReadonlySet<PiiName>
  redactions: number
}

function plan({ redact, truncate, pii }: Omit<ResponseFilters, 'maxResponseBytes'>): Work {
  const lengths = new Map<string, number>()
  for (const text of truncate) {
    const [, field, digits] = /^(.+):(\d{1,9})$/s.exec(text) ?? []
    if (field === undefined) throw invalid(`"${text}" is not <key>:<characters>`)
    const key = field.toLowerCase()
    lengths.set(key, Math.min(Number(digits), lengths.get(key) ?? Number.POSITIVE_INFINITY))
  }
  const names = pii.map((name) => {
    if (isPiiName(name)) return name
    throw invalid(`"${name}" is not one of ${PII_NAMES.join(', ')}`)
  })
  return {
    redact: new Set(redact.map((key) => key.toLowerCase())),
    lengths,
    pii: new Set(names),
    redactions: 0,
  }
}

/** @param key Lower-case name of the member that holds `value` itself. */
function rewrite(value: Json, work: Work, key: string | undefined, depth: number): Json {
  if (depth > MAX_DEPTH) throw new TooDeep()
  if (typeof value === 'string') return rewriteText(value, work, key)
  if (Array.isArray(value)) return value.map((item) => rewrite(item, work, undefined, depth + 1))
  if (typeof value === 'object' && value !== null) return rewriteMembers(value, work, depth)
  return value
}

function rewriteMembers(object: JsonObject, work: Work, depth: number): JsonObject {
  // Entries define members, also one that is called __proto__.
  return Object.fromEntries(
    Object.entries(object).map(([name, member]) => {
      const key = name.toLowerCase()
      if (!work.redact.has(key)) return [name, rewrite(member, work, key, depth + 1)]
      work.redactions += 1
      return [name, MARK]
    }),
  )
}

/** Masked before it is cut: half an address would be recognised by nobody but its reader. */
function rewriteText(value: string, work: Work, key: string | undefined): string {
  const { text, masked } =
    work.pii.size === 0 ? { text: value, masked: 0 } : maskPii(value, work.pii)
  work.redactions += masked
  const length = key === undefined ? undefined : work.lengths.get(key)
  if (length === undefined || text.length <= length) return text
  work.redactions += 1
  return `${cut(text, length)}...`
}

/** Half a surrogate pair is no character. */
function cut(text: string, length: number): string {
  const short = text.slice(0, length)
  return short.isWellFormed() || !text.isWellFormed() ? short : short.slice(0, -1)
}

function isBlocked(json: string, block: readonly string[], now: () => number): boolean {
  const deadlineMs = now() + PATTERN_BUDGET_MS
  return block.some((text) =>
    text.startsWith(PATTERN_PREFIX)
      ? patternOf(text).search(json, deadlineMs, now) !== 'absent'
      : json.includes(text),
  )
}

function patternOf(text: string): LinearPattern {
  const known = patterns.get(text)
  if (known !== undefined) return known
  const pattern = new LinearPattern(text.slice(PATTERN_PREFIX.length))
  patterns.set(text, pattern)
  return pattern
}

function invalid(message: string): VestryError {
  return new VestryError('POLICY_INVALID', `Response filter ${message}`)
}
