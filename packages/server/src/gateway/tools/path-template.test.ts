import fc from 'fast-check'
import { expect, test } from 'vitest'
import { fillPath, parseTemplate, pathProblem, templateParams } from './path-template.ts'

test('placeholders are names in braces', () => {
  expect(parseTemplate('/a/{id}-{x.y}')).toEqual([
    { text: '/a/' },
    { param: 'id' },
    { text: '-' },
    { param: 'x.y' },
  ])
  expect(templateParams(parseTemplate('{a}{b}{a}') ?? [])).toEqual(['a', 'b'])
  for (const bad of ['{', '}', '{}', '{a', 'a}', '{a b}', '{{a}}', '{__p!}', '{1}']) {
    expect(parseTemplate(bad)).toBeUndefined()
  }
})

test.each([
  '/',
  '/a',
  '/a/',
  '/a/{id}',
  '/a/{id}.json',
  '/v1/users/me:send',
  "/a-b_c~d!$&'()*+,;=@",
])('%j is a path', (path) => expect(pathProblem(path)).toBeUndefined())

test.each([
  '',
  'a',
  '//a',
  '/a//b',
  '/..',
  '/a/../b',
  '/./a',
  '/..;x/a',
  '/a?x=1',
  '/a#b',
  '/%2e%2e',
  '/a b',
  '/é',
  '/{',
  '{id}',
])('%j is not', (path) => expect(pathProblem(path)).toBeDefined())

test.each([
  ['/c/{id}', { id: 'a b/c?d#e%' }, '/c/a%20b%2Fc%3Fd%23e%25'],
  ['/c/{id}.json', { id: 'a.b' }, '/c/a.b.json'],
  ['/c/{id}', { id: "é!'()*" }, '/c/%C3%A9%21%27%28%29%2A'],
  ['/{a}{b}/', { a: '1', b: '2' }, '/12/'],
  ['/c/{id}', { id: '...' }, '/c/...'],
])('%s filled with %j is %s', (path, values, filled) => {
  expect(fillPath(path, values)).toEqual({ path: filled })
})

test.each([
  ['/c/{id}', { id: '' }],
  ['/c/{id}', {}],
  ['/c/{id}', { id: '.' }],
  ['/c/{id}', { id: '..' }],
  ['/c/{id}.json', { id: '..' }],
  ['/c/{id}', { id: '../x' }],
  ['/c/{id}', { id: 'x/..' }],
  ['/c/{id}', { id: '..\\x' }],
  ['/c/{id}', { id: '..;a=b' }],
  ['/c/.{id}', { id: '.' }],
  ['/c/{a}{b}', { a: '.', b: '.' }],
  ['/c/{a}{b}', { a: '.', b: './x' }],
  ['/c/{id}', { id: 'a\r\nb' }],
  ['/c/{id}', { id: '\0' }],
])('%s refuses %j', (path, values) => {
  expect(fillPath(path, values)).toHaveProperty('problems')
})

test('whatever the values, a filled path stays in its place, and says what they were', () => {
  const value = fc.oneof(
    fc.string({ unit: 'grapheme', maxLength: 20 }),
    fc.string({
      unit: fc.constantFrom('.', '/', '\\', ';', '%', '2', 'e', 'a', '?', '#', ':', '@'),
      maxLength: 6,
    }),
  )
  fc.assert(
    fc.property(value, value, (a, b) => {
      const filled = fillPath('/base/{a}/x{b}/end', { a, b })
      if ('problems' in filled) return
      const url = new URL(`https://host.example${filled.path}`)
      expect(url.href).toBe(`https://host.example${filled.path}`)
      const segments = url.pathname.split('/')
      expect(segments).toHaveLength(5)
      expect(decodeURIComponent(segments[2] ?? '')).toBe(a)
      expect(decodeURIComponent(segments[3] ?? '')).toBe(`x${b}`)
    }),
    { numRuns: 1_000 },
  )
})
