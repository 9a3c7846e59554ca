import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { fillGlob, parseGlob, parseGlobs, type Segment, segmentMatches } from './glob.ts'
import { GlobFamily, GlobIndex } from './glob-index.ts'

const agent = { id: 'a-1', name: 'scout', meta: { team: 'red', evil: '*', up: '..', path: 'a/b' } }

function matches(glob: string, path: string): boolean {
  const index = new GlobIndex()
  const filled = fillGlob(parseGlob(glob), agent)
  if (filled === undefined) return false
  index.add('it', filled)
  return index.match(path).length === 1
}

describe('vault §28.28: globs', () => {
  test.each([
    ['openai/*', 'openai/key', true],
    ['openai/*', 'openai/team/key', false],
    ['openai/*', 'openai', false],
    ['openai/**', 'openai/team/key', true],
    ['openai/**', 'openai', true],
    ['**/key', 'key', true],
    ['**/key', 'a/b/key', true],
    ['a/**/z', 'a/z', true],
    ['a/**/z', 'a/b/c/z', true],
    ['a/**/z', 'a/b/c', false],
    ['a/**/m/**/z', 'a/m/x/m/y/z', true],
    ['*', 'any/thing/at/all', true],
    ['**', 'any', true],
    ['*/*', 'any', false],
    ['k?y', 'key', true],
    ['k?y', 'ky', false],
    ['a?b', 'a/b', false],
    ['Open/x', 'open/x', false],
    ['open/x', 'my/open/x', false],
    ['*-key-*', 'my-key-1', true],
    ['agents/{{agent.name}}/**', 'agents/scout/x', true],
    ['agents/{{agent.name}}/**', 'agents/other/x', false],
    ['t-{{agent.meta.team}}-*', 't-red-9', true],
    ['{{ agent.id }}', 'a-1', true],
  ])('%s on %s: %s', (glob, path, expected) => {
    expect(matches(glob, path)).toBe(expected)
  })

  test('a template value that is no legal segment never matches, not even itself', () => {
    for (const key of ['evil', 'up', 'path', 'absent', '__proto__', 'constructor']) {
      expect(fillGlob(parseGlob(`x/{{agent.meta.${key}}}/**`), agent)).toBeUndefined()
    }
  })

  test.each([
    '',
    'a//b',
    '/a',
    'a/',
    'a/***',
    'a**',
    'a/{{agent.x}}',
    'a/{{agent.name',
    'a b',
    '../x',
    '-a',
    'a\u0000',
  ])('refuses %j at load', (glob) =>
    expect(() => parseGlob(glob)).toThrow(expect.objectContaining({ code: 'POLICY_INVALID' })),
  )

  test('a list of globs is their union', () => {
    const family = new GlobFamily(['openai/*,anthropic/**', 'x/**'])
    expect(family.match('anthropic/a/b')).toEqual(['openai/*,anthropic/**'])
    expect(family.match('google/a')).toEqual([])
    expect(parseGlobs('a, b')).toHaveLength(2)
  })

  test('many wildcards cannot blow up the search', () => {
    expect(segmentMatches(`${'*a'.repeat(60)}b`, 'a'.repeat(128))).toBe(false)
    const glob = `${Array(7).fill('**/a').join('/')}/b`
    expect(matches(glob, Array(16).fill('a').join('/'))).toBe(false)
  })
})

/** The definition, written down directly: exponential, and plainly right. */
function naive(segments: readonly Segment[], path: readonly string[]): boolean {
  const [first, ...rest] = segments
  if (first === undefined) return path.length === 0
  const [head, ...tail] = path
  if (first.kind === 'deep') {
    return naive(rest, path) || (head !== undefined && naive(segments, tail))
  }
  if (head === undefined || first.kind === 'template') return false
  return naiveText(first.text, head) && naive(rest, tail)
}

function naiveText(pattern: string, text: string): boolean {
  if (pattern === '') return text === ''
  const [char, rest] = [pattern[0], pattern.slice(1)]
  if (char === '*')
    return naiveText(rest, text) || (text !== '' && naiveText(pattern, text.slice(1)))
  return text !== '' && (char === '?' || char === text[0]) && naiveText(rest, text.slice(1))
}

test('the trie agrees with the definition on random globs and paths', () => {
  const word = fc.string({ unit: fc.constantFrom('a', 'b', '*', '?'), minLength: 1, maxLength: 4 })
  const part = fc.oneof(
    word.filter((text) => !text.includes('**')),
    fc.constant('**'),
  )
  const glob = fc.array(part, { minLength: 1, maxLength: 5 }).map((parts) => parts.join('/'))
  const plain = fc.string({ unit: fc.constantFrom('a', 'b'), minLength: 1, maxLength: 4 })
  const path = fc.array(plain, { minLength: 1, maxLength: 6 })
  fc.assert(
    fc.property(fc.uniqueArray(glob, { minLength: 1, maxLength: 12 }), path, (globs, segments) => {
      const index = new GlobIndex()
      for (const text of globs) index.add(text, parseGlob(text))
      const expected = globs.filter((text) => naive(parseGlob(text).segments, segments))
      expect(index.match(segments.join('/')).sort()).toEqual(expected.sort())
    }),
    { numRuns: 2_000 },
  )
})
