import { createContext, Script } from 'node:vm'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { LinearPattern } from './linear-pattern.ts'

const now = () => performance.now()
const search = (pattern: string, text: string) =>
  new LinearPattern(pattern).search(text, Number.POSITIVE_INFINITY, now)

/** A pattern as text, of everything that is supported. */
const atom = fc.oneof(
  { weight: 5, arbitrary: fc.constantFrom('a', 'b', 'c', ' ', 'é') },
  {
    weight: 3,
    arbitrary: fc.constantFrom(
      '.',
      '[ab]',
      '[^a]',
      '[a-c-]',
      '[^\\s\\d]',
      '\\w',
      '\\W',
      '\\d',
      '\\s',
      '\\S',
      '\\x61',
      '\\u00e9',
      '\\.',
      '\\-',
      '\\t',
      '[\\b]',
      '[]',
      '[^]',
    ),
  },
)
const edge = fc.constantFrom('^', '$', '\\b', '\\B')
const quantifier = fc.constantFrom(
  '',
  '',
  '',
  '*',
  '+',
  '?',
  '*?',
  '+?',
  '{2}',
  '{0,2}',
  '{1,}',
  '{0}',
)
const { pattern } = fc.letrec<{ pattern: string; sequence: string; piece: string }>((tie) => ({
  pattern: fc
    .array(tie('sequence'), { minLength: 1, maxLength: 3 })
    .map((alternatives) => alternatives.join('|')),
  sequence: fc.array(tie('piece'), { maxLength: 4 }).map((pieces) => pieces.join('')),
  piece: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.tuple(atom, quantifier).map((parts) => parts.join('')),
    edge,
    fc
      .tuple(fc.constantFrom('(', '(?:'), tie('pattern'), quantifier)
      .map(([open, inner, count]) => `${open}${inner})${count}`),
  ),
}))

const short = pattern.filter((source) => source.length <= 40)

const asked = createContext({ source: '', subject: '' })
const ask = new Script('new RegExp(source).test(subject)')

/** @returns undefined where that engine tries again and again: some short patterns keep it busy for ever. */
function engineFinds(source: string, subject: string): boolean | undefined {
  Object.assign(asked, { source, subject })
  try {
    return ask.runInContext(asked, { timeout: 100 }) as boolean
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_SCRIPT_EXECUTION_TIMEOUT') return undefined
    throw error
  }
}

test('finds exactly what the engine of the language finds', () => {
  const text = fc.string({ unit: fc.constantFrom(...'aaabbc .-1é\n\t\u2028'), maxLength: 12 })
  fc.assert(
    fc.property(short, text, (source, subject) => {
      const found = engineFinds(source, subject)
      fc.pre(found !== undefined)
      const expected = found ? 'found' : 'absent'
      expect(search(source, subject), `/${source}/ in ${JSON.stringify(subject)}`).toBe(expected)
    }),
    { numRuns: 5_000 },
  )
})

describe('time', () => {
  test.each([
    ['(a+)+$', 'a'],
    ['(a|a)*b', 'a'],
    ['(.*)*x', 'a'],
    ['\\s+$', ' '],
    ['(a?){30}a{30}b', 'a'],
    ['([a-zA-Z]+)*\\d', 'a'],
    ['^(([a-z])+.)+[A-Z]([a-z])+$', 'a'],
  ])('%s is searched in time that grows with the text alone', (source, unit) => {
    // Any engine that tries again would be at it for years.
    expect(search(source, `${unit.repeat(20_000)}!`)).toBe('absent')
  })

  test('the deadline is kept, however large pattern and text are', () => {
    const heavy = new LinearPattern('(?:a|b|c|d|e|f){0,100}(?:[a-f]?[a-e]?){50}x')
    const startedMs = performance.now()
    expect(heavy.search('abcdef'.repeat(1_000_000), startedMs + 50, now)).toBe('late')
  })

  test('a long text without a beginning of a match is gone through to its end', () => {
    const text = 'lorem ipsum '.repeat(400_000)
    const pattern = new LinearPattern('SECRET-\\d+')
    expect(pattern.search(text, Number.POSITIVE_INFINITY, now)).toBe('absent')
    expect(pattern.search(`${text}SECRET-1`, Number.POSITIVE_INFINITY, now)).toBe('found')
  })
})

test('what is not supported, or no pattern, is refused when it is loaded', () => {
  for (const source of [
    '(a)\\1',
    '(?=a)',
    '(?!a)',
    '(?<=a)b',
    '(?<name>a)',
    '(?i)a',
    '\\p{L}',
    '\\k<a>',
    '\\cA',
    '\\u{61}',
    'a**',
    'a+*',
    'a{2}{3}',
    '*a',
    '+',
    '^*',
    '(',
    ')',
    'a)',
    '(a',
    '[a',
    ']',
    '}',
    'a{',
    'a{x}',
    'a{2,1}',
    'a{1001}',
    '((a{100}){100}){100}',
    '[b-a]',
    '[a-\\d]',
    '\\',
    `${'('.repeat(40)}${')'.repeat(40)}`,
    'a'.repeat(513),
  ]) {
    expect(() => new LinearPattern(source), source).toThrow(
      expect.objectContaining({ code: 'POLICY_INVALID' }),
    )
  }
})
