/** Looks through a parsed request for what must not leave, in names as well as in values. */
import { VestryError } from '@vestry/contract/errors'
import { DLP_RULES } from './rules.ts'

export type DlpMode = 'allow' | 'redact' | 'block'

export interface Scanned {
  /** The value, or a copy without what was found. */
  readonly value: unknown
  /** Names of the rules that matched; how often does not matter. */
  readonly found: readonly string[]
}

/** @throws VestryError DLP_BLOCKED naming the rules, never the matches. */
export function applyDlp(value: unknown, mode: DlpMode): Scanned {
  if (mode === 'allow') return { value, found: [] }
  const found = new Set<string>()
  const clean = walk(value, found)
  if (found.size > 0 && mode === 'block') {
    throw new VestryError(
      'DLP_BLOCKED',
      `The request holds what must not leave: ${[...found].join(', ')}`,
      {
        hint: 'Take it out, or ask an operator about llm.dlp',
        context: { dlp: [...found] },
      },
    )
  }
  return { value: found.size === 0 ? value : clean, found: [...found] }
}

/** Nesting is bounded by the reader of the body. */
function walk(value: unknown, found: Set<string>): unknown {
  if (typeof value === 'string') return cleaned(value, found)
  if (Array.isArray(value)) return value.map((item) => walk(item, found))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([name, item]) => [cleaned(name, found), walk(item, found)]),
  )
}

function cleaned(text: string, found: Set<string>): string {
  if (text.length < 20) return text
  const plain = unescaped(text)
  let clean = plain
  for (const { name, hints, pattern } of DLP_RULES) {
    if (!hints.some((hint) => clean.includes(hint))) continue
    clean = clean.replace(pattern, () => {
      found.add(name)
      return `[${name} removed]`
    })
  }
  return clean === plain ? text : clean
}

/** Texts hold JSON, which is read for providers that take values: what it spells in escapes would come out there. */
function unescaped(text: string): string {
  if (!text.includes('\\u00')) return text
  return text.replace(/\\u00([2-7][0-9a-f])/gi, (whole, code: string) => {
    const char = String.fromCharCode(Number.parseInt(code, 16))
    // Others would end a string, or begin another escape.
    return /[\w+/=. -]/.test(char) ? char : whole
  })
}
