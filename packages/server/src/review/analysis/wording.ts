/**
 * Ways to say one thing, as one search. A phrase is written in words; between them may stand anything that is no
 * letter, and the same phrase is found when it is spelt out in pieces (`i-g-n-o-r-e`).
 */
import type { Target } from './rule.ts'

const BEGIN = '(?<![a-z0-9])'
const GAP = '[^a-z0-9]{1,12}'
/** A word that does not matter, and what follows it; no sentence ends there. */
const FILLER = '[a-z0-9]{1,24}[^a-z0-9.!?;]{1,12}'
/** Shown on both sides of what was found. */
const CONTEXT = 50
/** No phrase is shorter. */
const MIN_LENGTH = 6

export interface Wording {
  readonly spaced: RegExp
  readonly compact: RegExp | undefined
}

export interface Phrase {
  /** How it may begin. */
  readonly first: string
  readonly spaced: string
  readonly compact: string
}

/**
 * @param parts In lower case. A text: alternatives divided by `|`, a space stands for any gap, `?` after a letter
 *   makes it optional. A number: so many other words may stand there.
 *
 * `phrase('ignore|forget', 2, 'instructions?')` finds `forget all the instruction`.
 */
export function phrase(...parts: readonly (string | number)[]): Phrase {
  let spaced = ''
  let compact = ''
  let needsGap = false
  for (const part of parts) {
    if (typeof part === 'number') {
      spaced += `${GAP}(?:${FILLER}){0,${part}}`
      compact += `[a-z0-9]{0,${part * 8}}`
      needsGap = false
    } else {
      spaced += `${needsGap ? GAP : ''}(?:${part.replaceAll(' ', GAP)})`
      compact += `(?:${part.replaceAll(' ', '')})`
      needsGap = true
    }
  }
  const first = String(parts[0]).replaceAll(' ', GAP)
  return { first, spaced: `${BEGIN}${spaced}(?![a-z0-9])`, compact }
}

/** Only where none of these words stands before it in the same sentence. Spelt out in pieces, it counts anyway. */
export function notAfter(words: string, { first, spaced, compact }: Phrase): Phrase {
  // Looking back is dear, so it is done where the phrase may begin only.
  const guard = `${BEGIN}(?=${first})(?<!(?:${words})(?![a-z0-9])[^.!?\\n]{0,80})`
  return { first, spaced: `${guard}${spaced}`, compact }
}

/** Any of these. A regular expression is taken as it is, for views as they stand; ends of lines count as such. */
export function wording(...ways: readonly (Phrase | RegExp)[]): Wording {
  const compact = ways.flatMap((way) => (way instanceof RegExp ? [] : way.compact)).join('|')
  const spaced = ways.map((way) => (way instanceof RegExp ? way.source : way.spaced)).join('|')
  return {
    spaced: new RegExp(spaced, 'im'),
    compact: compact === '' ? undefined : new RegExp(compact),
  }
}

/** @returns What was found with some of what stands around it, in the first view that shows it. */
export function worded(target: Target, { spaced, compact }: Wording): string | undefined {
  if (target.raw.length < MIN_LENGTH) return undefined
  for (const view of target.views) {
    const match = spaced.exec(view)
    if (match !== null) return excerpt(view, match.index, match[0].length)
  }
  if (compact === undefined || !target.spelt) return undefined
  const match = compact.exec(target.compact)
  return match === null ? undefined : excerpt(target.compact, match.index, match[0].length)
}

export function excerpt(text: string, at: number, length: number): string {
  const start = Math.max(0, at - CONTEXT)
  const end = Math.min(text.length, at + Math.min(length, 120) + CONTEXT)
  return `${start > 0 ? '…' : ''}${text.slice(start, end)}${end < text.length ? '…' : ''}`
}
