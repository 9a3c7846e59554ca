/**
 * Vault globs (wire contract §13.3): `*` inside one segment, `**` as a whole segment, `?` for one character,
 * and templates such as `{{agent.name}}`. Parsed once; matching never back-tracks over segments and
 * builds no regular expression from what an operator wrote.
 */
import { VestryError } from '@vestry/contract/errors'

/** What a template may name. The principal of one request. */
export interface TemplateValues {
  id: string
  name: string
  meta: Record<string, string>
}

export type Segment =
  | { kind: 'literal'; text: string }
  /** Holds `*` or `?`. */
  | { kind: 'wild'; text: string }
  /** `**`: zero or more segments. */
  | { kind: 'deep' }
  /** Text and references in turn; becomes literal or wild when filled. */
  | { kind: 'template'; parts: readonly (string | TemplateRef)[] }

export type TemplateRef = { field: 'id' | 'name' } | { field: 'meta'; key: string }

export interface Glob {
  segments: readonly Segment[]
  templated: boolean
}

const SEGMENT = /^[A-Za-z0-9_][A-Za-z0-9._@+=:-]{0,127}$/
const PATTERN_CHARS = /^[A-Za-z0-9_*?][A-Za-z0-9._@+=:*?-]*$/
const INNER_CHARS = /^[A-Za-z0-9._@+=:*?-]*$/
const META_KEY = /^[A-Za-z0-9_.-]{1,128}$/
const EVERYTHING: Glob = { segments: [{ kind: 'deep' }], templated: false }

/**
 * @param text One glob, or several separated by commas: an entity id such as
 *   `PathGlob::"openai/*,anthropic/*"` is the union of its parts, so that one rule with many
 *   resources still has one indexed scope.
 * @throws VestryError `POLICY_INVALID` for a part that is empty, malformed or could never match.
 */
export function parseGlobs(text: string): Glob[] {
  return text.split(',').map((part) => parseGlob(part.trim()))
}

/** One glob without a comma list. A single `*` means everything, as the format always promised. */
export function parseGlob(text: string): Glob {
  if (text === '*') return EVERYTHING
  if (text === '') throw invalid(text, 'is empty')
  if (text.length > 512) throw invalid(text, 'is longer than 512 characters')
  const segments = text.split('/').map((segment) => parseSegment(segment, text))
  if (segments.length > 16) throw invalid(text, 'has more than 16 segments')
  return { segments, templated: segments.some((segment) => segment.kind === 'template') }
}

function parseSegment(text: string, whole: string): Segment {
  if (text === '**') return { kind: 'deep' }
  if (text.includes('**')) throw invalid(whole, 'may use ** only as a whole segment')
  if (text.includes('{{') || text.includes('}}')) return parseTemplate(text, whole)
  if (text === '') throw invalid(whole, 'has an empty segment')
  if (!PATTERN_CHARS.test(text)) throw invalid(whole, `has a segment no path can match: "${text}"`)
  if (!isWild(text)) {
    if (!SEGMENT.test(text)) throw invalid(whole, 'has a segment longer than 128 characters')
    return { kind: 'literal', text }
  }
  return { kind: 'wild', text }
}

function parseTemplate(text: string, whole: string): Segment {
  const parts: (string | TemplateRef)[] = []
  let rest = text
  while (rest !== '') {
    const open = rest.indexOf('{{')
    const plain = open < 0 ? rest : rest.slice(0, open)
    const chars = parts.length === 0 ? PATTERN_CHARS : INNER_CHARS
    if (plain !== '' && !chars.test(plain)) throw invalid(whole, `cannot hold "${plain}"`)
    if (plain !== '') parts.push(plain)
    if (open < 0) break
    const close = rest.indexOf('}}', open)
    if (close < 0) throw invalid(whole, 'opens a template and does not close it')
    parts.push(templateRef(rest.slice(open + 2, close).trim(), whole))
    rest = rest.slice(close + 2)
  }
  return { kind: 'template', parts }
}

function templateRef(name: string, whole: string): TemplateRef {
  if (name === 'agent.name') return { field: 'name' }
  if (name === 'agent.id') return { field: 'id' }
  const key = name.startsWith('agent.meta.') ? name.slice('agent.meta.'.length) : ''
  if (META_KEY.test(key)) return { field: 'meta', key }
  throw invalid(whole, `names an unknown template {{${name}}}`, {
    hint: 'Use {{agent.name}}, {{agent.id}} or {{agent.meta.<key>}}.',
  })
}

/**
 * The glob with its templates replaced, or undefined when a value is missing or is not a legal path
 * segment by itself: such a value must never become a wildcard or a path separator.
 */
export function fillGlob(glob: Glob, values: TemplateValues): Glob | undefined {
  if (!glob.templated) return glob
  const segments: Segment[] = []
  for (const segment of glob.segments) {
    if (segment.kind !== 'template') {
      segments.push(segment)
      continue
    }
    let text = ''
    for (const part of segment.parts) {
      const value = typeof part === 'string' ? part : templateValue(part, values)
      if (value === undefined) return undefined
      text += value
    }
    segments.push({ kind: isWild(text) ? 'wild' : 'literal', text })
  }
  return { segments, templated: false }
}

function templateValue(ref: TemplateRef, values: TemplateValues): string | undefined {
  const value =
    ref.field !== 'meta'
      ? values[ref.field]
      : Object.hasOwn(values.meta, ref.key)
        ? values.meta[ref.key]
        : undefined
  return value !== undefined && SEGMENT.test(value) ? value : undefined
}

/** `*` is any run of characters, `?` exactly one. At most text.length × pattern.length steps. */
export function segmentMatches(pattern: string, text: string): boolean {
  let p = 0
  let t = 0
  let star = -1
  let resume = 0
  while (t < text.length) {
    const char = pattern[p]
    if (char === '*') {
      star = p
      resume = t
      p += 1
    } else if (p < pattern.length && (char === '?' || char === text[t])) {
      p += 1
      t += 1
    } else if (star >= 0) {
      // Only the latest star can need to grow: everything before it is already matched.
      resume += 1
      t = resume
      p = star + 1
    } else {
      return false
    }
  }
  while (pattern[p] === '*') p += 1
  return p === pattern.length
}

/** Whether a text holds a wildcard. */
export function isWild(text: string): boolean {
  return text.includes('*') || text.includes('?')
}

function invalid(glob: string, what: string, options: { hint?: string } = {}): VestryError {
  return new VestryError('POLICY_INVALID', `Pattern "${glob}" ${what}`, options)
}
