import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { judgePattern } from './ambiguity.ts'

test.each([
  '^(a+)+$',
  '^(a*)*$',
  '(a|a)*b',
  '(a|ab|b)*c',
  '^(\\w+\\s?)*$',
  '^(?:[a-z]|\\w)*$',
  '^(\\d+|[0-9]+)+x$',
  '^(a?b?)*c$',
  '^([a-zA-Z0-9._-]+)+@x$',
  '(x+x+)+y',
  '^(?:\\d{1,3})*$',
  '^(?:\\d{3}|\\d{3})*$',
  '^(([a-z])+.)+[A-Z]([a-z])+$',
  '^(?:(?:ab?){1,3})*$',
  '(?=(a+)+$)b',
  '^(?:a|b|c|ab)*$',
  '^\\w*\\w*\\w*$',
  '^(?:a|a){64}$',
  '^(?:a{1,64}){1,20}b$',
  '^(?<word>[a-z]+)(?:[ ]?\\k<word>)*([a-z]+)*$',
])('%s explodes', (pattern) => {
  expect(judgePattern(pattern).kind).toBe('explodes')
})

test.each([
  '^[a-z]+$',
  '^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}(?:/[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}){0,20}$',
  '^(?:[0-9a-f]{2})+$',
  '^(?:[0-9a-f]{4}){8}$',
  '^[0-9]{1,3}(?:\\.[0-9]{1,3}){3}$',
  '^(?:[a-z0-9]+-)*[a-z0-9]+$',
  '^(?:-[a-z]+)*$',
  '^(?:a|b|c)*$',
  '^(?:\\w+\\s)*$',
  '^https://(?:[a-z0-9-]+\\.)+example\\.com/[^\\s]*$',
  '^(?!-)[a-z-]{1,63}(?<!-)$',
  '^(?:AL|AK|AZ|AR|CA|CO|CT|DE|FL|GA)$',
  '^\\p{L}+(?: \\p{L}+)*$',
  '^(?:a{1,3}){2}$',
  '^.*foo.*$',
  '^[^"]*(?:"[^"]*"[^"]*)*$',
  '^(\\d{3})-\\1$',
  '^(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)$',
  '^\\u{1F600}+[\\x41-\\x5a]*$',
  '',
])('%s is fine', (pattern) => {
  expect(judgePattern(pattern)).toEqual({ kind: 'fine' })
})

test.each(['(', '[a', 'a**', '(?<a>x)(?<a>y)', '*', 'a{3,1}'])('%s is invalid', (pattern) => {
  expect(judgePattern(pattern)).toEqual({ kind: 'invalid' })
})

test('what is too large is said to be, and costs a bounded amount', () => {
  const letters = Array.from({ length: 900 }, (_, at) => String.fromCodePoint(0x4e00 + at))
  for (const pattern of [
    'a'.repeat(5_000),
    `(${letters.join('|')})*`,
    `${'('.repeat(100)}a${')'.repeat(100)}`,
    `^(?:${letters.slice(0, 230).join('|')})*(?:${letters.slice(0, 230).join('?')})*$`,
  ]) {
    expect(['too_large', 'explodes']).toContain(judgePattern(pattern).kind)
  }
})

test('any text has a verdict', () => {
  const pieces = fc.constantFrom(
    'a',
    'b',
    '.',
    '(',
    ')',
    '(?:',
    '(?=',
    '[',
    ']',
    '|',
    '*',
    '+',
    '?',
    '{2,}',
    '\\',
    '-',
    '^',
  )
  void fc.assert(
    fc.property(fc.array(pieces, { maxLength: 14 }), (parts) => {
      const pattern = parts.join('')
      const verdict = judgePattern(pattern)
      let valid = true
      try {
        new RegExp(pattern)
      } catch {
        valid = false
      }
      expect(verdict.kind === 'invalid').toBe(!valid)
    }),
    { numRuns: 400 },
  )
})

test('it agrees with counting the ways in which short texts fit', () => {
  // Patterns over a and b that loop; the number of ways grows by itself where the verdict says so.
  const atom = fc.constantFrom('a', 'b', 'a?', 'b?', 'a+', 'b+', '(?:a|b)', 'ab', 'ba', 'a*')
  const part = fc.array(atom, { minLength: 1, maxLength: 2 })
  const body = fc.array(part, { minLength: 1, maxLength: 2 })
  void fc.assert(
    fc.property(body, (options) => {
      const pattern = `^(?:${options.map((parts) => parts.join('')).join('|')})*$`
      const explodes = judgePattern(pattern).kind === 'explodes'
      expect({ pattern, explodes }).toEqual({ pattern, explodes: waysGrow(options) })
    }),
    { numRuns: 100 },
  )
})

/** Splits texts into iterations by brute force and asks whether the ways multiply. */
function waysGrow(options: readonly (readonly string[])[]): boolean {
  const words = texts(8)
  return words.some((word) => {
    const [once, many] = [ways(options, word), ways(options, word.repeat(4))]
    return once > 0 && many >= 16
  })
}

function texts(longest: number): string[] {
  let last = ['']
  const all: string[] = []
  for (let length = 1; length <= longest; length += 1) {
    last = last.flatMap((text) => [`${text}a`, `${text}b`])
    all.push(...last)
  }
  return all
}

function ways(options: readonly (readonly string[])[], word: string): number {
  const from = new Array<number>(word.length + 1).fill(0)
  from[word.length] = 1
  for (let at = word.length - 1; at >= 0; at -= 1) {
    let sum = 0
    for (const parts of options) {
      for (const [end, count] of fits(parts, word, at)) {
        if (end > at) sum += count * (from[end] ?? 0)
      }
    }
    from[at] = sum
  }
  return from[0] ?? 0
}

function fits(parts: readonly string[], word: string, start: number): Map<number, number> {
  let ends = new Map([[start, 1]])
  for (const part of parts) {
    const next = new Map<number, number>()
    for (const [at, count] of ends) {
      for (const end of ofAtom(part, word, at)) next.set(end, (next.get(end) ?? 0) + count)
    }
    ends = next
  }
  return ends
}

function ofAtom(atom: string, word: string, at: number): number[] {
  if (atom === '(?:a|b)') return at < word.length ? [at + 1] : []
  if (/^[ab]{2}$/.test(atom)) return word.startsWith(atom, at) ? [at + 2] : []
  const letter = atom.charAt(0)
  let run = 0
  while (word.charAt(at + run) === letter) run += 1
  const [least, most] = { '': [1, 1], '?': [0, 1], '+': [1, run], '*': [0, run] }[
    atom.slice(1)
  ] ?? [1, 1]
  const ends: number[] = []
  for (let taken = least ?? 1; taken <= Math.min(most ?? 1, run); taken += 1) ends.push(at + taken)
  return ends
}
