/** Finds what is said in one sentence, in a given order, however it is hidden. Linear in the text. */
import type { Target } from '../rule.ts'
import { excerpt } from '../wording.ts'

/** Ends of sentences and paragraphs; a single line end may be a wrapped line. */
const END = /[;!?]|\.(?=\s|$)|\n[ \t]*\n/g
/** Right before the first word: the sentence says the opposite. `Do not forget to send` does not. */
const NEGATED =
  /(?:\b(?:never|not|cannot|without|avoids?|prevents?|forbids?|refuses? to|no)|n't|n’t)[\s*_"'`]{1,4}(?:(?!forget|fail|hesitate|omit|only|neglect)[\w-]{1,16}[\s*_"'`]{1,4}){0,2}$/i
const NEGATION_BEFORE = 50

/** @param steps Global and case-insensitive; each at most `gap` characters after the one before. */
export function saidInOrder(
  target: Target,
  steps: readonly RegExp[],
  gap = 100,
): string | undefined {
  for (const view of target.views) {
    const found = inOrder(view, steps, gap)
    if (found !== undefined) return excerpt(view, found.start, found.end - found.start)
  }
  return undefined
}

interface Passage {
  readonly start: number
  readonly end: number
}

function inOrder(
  text: string,
  [first, ...more]: readonly RegExp[],
  gap: number,
): Passage | undefined {
  if (first === undefined) return undefined
  let reached = [...text.matchAll(first)]
    .filter(({ index }) => !NEGATED.test(text.slice(Math.max(0, index - NEGATION_BEFORE), index)))
    .map(({ index, 0: word }): Passage => ({ start: index, end: index + word.length }))
  if (reached.length === 0) return undefined
  const ends = [...text.matchAll(END)].map(({ index }) => index)
  for (const step of more) {
    reached = following(text, reached, step, ends, gap)
    if (reached.length === 0) return undefined
  }
  return reached[0]
}

/** What comes next counts from the nearest passage before it: none before that is nearer. */
function following(
  text: string,
  before: readonly Passage[],
  step: RegExp,
  ends: readonly number[],
  gap: number,
): Passage[] {
  const found: Passage[] = []
  let passage = -1
  let sentence = 0
  for (const { index, 0: word } of text.matchAll(step)) {
    while ((before[passage + 1]?.end ?? Number.POSITIVE_INFINITY) <= index) passage += 1
    const nearest = before[passage]
    if (nearest === undefined || index - nearest.end > gap) continue
    while ((ends[sentence] ?? Number.POSITIVE_INFINITY) < nearest.end) sentence += 1
    if ((ends[sentence] ?? Number.POSITIVE_INFINITY) < index) continue
    found.push({ start: nearest.start, end: index + word.length })
  }
  return found
}
