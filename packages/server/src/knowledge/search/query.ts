/** What a query asks for: its text as it is compared, and its words as they are looked up. Pure. */
import { VestryError } from '@vestry/contract/errors'
import { termsOf } from '../index/terms.ts'
import { MAX_QUERY_CHARS, normalised } from '../item.ts'

/** Words of a query that are looked up. */
const MAX_TERMS = 32

/** They say what kind of sentence it is, and nothing of what it is about. */
const COMMON = new Set(
  termsOf(`a an and any are as at be been but by can could did do does for from get had has have how i if in
    into is it its me my no not of on or our shall should so than that the their them then there these they
    this those to us was we were what when where which who whom whose why will with would you your`),
)

export interface ParsedQuery {
  readonly text: string
  readonly terms: readonly string[]
}

/** @throws VestryError VALIDATION_ERROR */
export function parseQuery(query: string): ParsedQuery {
  const text = normalised(query)
  if (text === '') throw new VestryError('VALIDATION_ERROR', 'query: must not be empty')
  if (query.length > MAX_QUERY_CHARS)
    throw new VestryError('VALIDATION_ERROR', `query: at most ${MAX_QUERY_CHARS} characters`)
  const words = [...new Set(termsOf(text))]
  const telling = words.filter((word) => !COMMON.has(word))
  return { text, terms: (telling.length > 0 ? telling : words).slice(0, MAX_TERMS) }
}
