/** Words as they are looked up: stems without accents, of passages and of queries alike. Pure. */
import { stem } from '../embedding/stem.ts'
import { wordsOf } from '../embedding/words.ts'

const ACCENTS = /\p{M}+/gu
// biome-ignore lint/suspicious/noControlCharactersInRegex: the whole of ASCII is what is meant
const ASCII = /^[\x00-\x7f]*$/
/** Stems that are remembered: most of a text are the same few words, and a stem costs microseconds. */
const MAX_KNOWN = 50_000
const known = new Map<string, string>()

/** In order, as often as they occur; names of code in their parts, and whole. */
export function termsOf(text: string): string[] {
  return Array.from(wordsOf(text), ({ text: word }) => termOf(word))
}

export function termCounts(text: string): Map<string, number> {
  const counts = new Map<string, number>()
  for (const term of termsOf(text)) counts.set(term, (counts.get(term) ?? 0) + 1)
  return counts
}

function termOf(word: string): string {
  const found = known.get(word)
  if (found !== undefined) return found
  const plain = ASCII.test(word) ? word : word.normalize('NFD').replace(ACCENTS, '').normalize()
  const term = stem(plain)
  if (known.size >= MAX_KNOWN) known.clear()
  known.set(word, term)
  return term
}
