import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Json } from '../tools/tool.ts'
import { filterReply, type ResponseFilters } from './response-filters.ts'

const NONE: ResponseFilters = { redact: [], truncate: [], pii: [], block: [] }

function filter(value: Json, filters: Partial<ResponseFilters>): Json {
  const outcome = filterReply(value, { ...NONE, ...filters })
  if ('refused' in outcome) return outcome.refused
  return outcome.value
}

const REPLY = {
  id: 7,
  Token: 'abc',
  content: 'x'.repeat(12),
  results: [
    { title: 'mail ada@x.io', token: { deep: [1, 2] }, content: 'short' },
    [{ nested: { content: 'y'.repeat(12), TOKEN: null } }],
  ],
}

describe('gateway §19.20: nested data', () => {
  test('a key is redacted in any case and at any depth, whatever it holds', () => {
    expect(filter(REPLY, { redact: ['tOKEN', 'absent'] })).toEqual({
      ...REPLY,
      Token: '[REDACTED]',
      results: [
        { title: 'mail ada@x.io', token: '[REDACTED]', content: 'short' },
        [{ nested: { content: 'y'.repeat(12), TOKEN: '[REDACTED]' } }],
      ],
    })
  })

  test('texts under a key are cut to their characters, with an ellipsis', () => {
    expect(filter(REPLY, { truncate: ['CONTENT:10'] })).toEqual({
      ...REPLY,
      content: `${'x'.repeat(10)}...`,
      results: [REPLY.results[0], [{ nested: { content: `${'y'.repeat(10)}...`, TOKEN: null } }]],
    })
    const cut = (text: Json, ...truncate: string[]) => filter({ a: text }, { truncate })
    expect(cut('abc', 'a:3')).toEqual({ a: 'abc' })
    expect(cut('abc', 'a:0')).toEqual({ a: '...' })
    expect(cut('abcdef', 'a:5', 'a:2')).toEqual({ a: 'ab...' })
    expect(cut('a😀b', 'a:2')).toEqual({ a: 'a...' })
    expect(cut(12345, 'a:2')).toEqual({ a: 12345 })
    expect(filter({ 'a:b': 'long' }, { truncate: ['a:b:1'] })).toEqual({ 'a:b': 'l...' })
  })

  test('personal data is masked in every string value, before anything is cut', () => {
    expect(filter(REPLY, { pii: ['email'] })).toMatchObject({
      results: [{ title: 'mail [REDACTED:email]' }, expect.anything()],
    })
    expect(filter(['call 555-123-4567', { 'b@x.io': 1 }], { pii: ['phone', 'email'] })).toEqual([
      'call [REDACTED:phone]',
      { 'b@x.io': 1 },
    ])
    expect(filter({ a: 'to ada@example.com' }, { pii: ['email'], truncate: ['a:8'] })).toEqual({
      a: 'to [REDA...',
    })
    expect(filter('4111 1111 1111 1111', { pii: ['credit_card'] })).toBe('[REDACTED:credit_card]')
  })

  test('what holds a blocked text is withheld as a whole', () => {
    const deep = { a: [{ b: { c: 'for internal USE only' } }] }
    expect(filter(deep, { block: ['internal USE'] })).toBe('RESPONSE_BLOCKED')
    expect(filter(deep, { block: ['internal use'] })).toEqual(deep)
    expect(filter(deep, { block: ['"b":{'] })).toBe('RESPONSE_BLOCKED')
    expect(filter(deep, { block: ['[internal]', 'U.E'] })).toEqual(deep)
    // What is redacted is no longer in the result.
    expect(filter(deep, { redact: ['c'], block: ['internal'] })).toEqual({
      a: [{ b: { c: '[REDACTED]' } }],
    })
  })

  test('what matches a blocked pattern is withheld too', () => {
    const value = { list: ['ok', { note: 'key AKIA0123456789' }] }
    expect(filter(value, { block: ['re:AKIA[0-9A-Z]{10,}'] })).toBe('RESPONSE_BLOCKED')
    expect(filter(value, { block: ['re:AKIA[A-Z]{10,}', 're:^note'] })).toEqual(value)
  })

  test('a result beyond its bytes is withheld; filters count first, and UTF-8 counts', () => {
    const size = (value: Json) => Buffer.byteLength(JSON.stringify(value))
    const value = { a: 'é'.repeat(100), b: [1, { c: 2 }] }
    expect(filter(value, { maxResponseBytes: size(value) })).toEqual(value)
    expect(filter(value, { maxResponseBytes: size(value) - 1 })).toBe('RESPONSE_TOO_LARGE')
    expect(filter(value, { maxResponseBytes: 60, truncate: ['a:10'] })).toMatchObject({
      b: [1, {}],
    })
    expect(filter(null, { maxResponseBytes: 3 })).toBe('RESPONSE_TOO_LARGE')
  })

  test('it is counted how much was taken out', () => {
    const filters = { ...NONE, redact: ['token'], pii: ['email'], truncate: ['content:10'] }
    expect(filterReply(REPLY, filters)).toMatchObject({ redactions: 6 })
    expect(filterReply(REPLY, NONE)).toEqual({ value: REPLY, redactions: 0 })
  })
})

describe('hostile results', () => {
  test('members named after prototypes stay members, and are filtered like others', () => {
    const value = JSON.parse(
      '{"__proto__":{"token":"a","polluted":true},"constructor":{"prototype":{"token":"b"}}}',
    ) as Json
    const outcome = filter(value, { redact: ['token'] })
    expect(JSON.stringify(outcome)).toBe(
      '{"__proto__":{"token":"[REDACTED]","polluted":true},"constructor":{"prototype":{"token":"[REDACTED]"}}}',
    )
    expect(Object.getPrototypeOf(outcome)).toBe(Object.prototype)
    expect({}).not.toHaveProperty('polluted')
    expect(JSON.stringify(filter(value, { redact: ['__PROTO__'] }))).toContain(
      '"__proto__":"[REDACTED]"',
    )
  })

  test('a result nested beyond reason is withheld instead of exhausting the stack', () => {
    const nested = (depth: number): Json =>
      Array.from({ length: depth }).reduce<Json>((inner) => [inner], 'leaf')
    expect(filter(nested(100), {})).toEqual(nested(100))
    expect(filter(nested(100_000), {})).toBe('RESPONSE_BLOCKED')
    expect(filter(nested(100_000), { redact: ['a'], block: ['b'] })).toBe('RESPONSE_BLOCKED')
  })

  test('huge texts made against patterns are withheld in bounded time', () => {
    const startedMs = performance.now()
    const value = { a: `${'a'.repeat(5_000_000)}!` }
    expect(filter(value, { block: ['re:(?:a|aa)+b(?:a?){200}$'] })).toBe('RESPONSE_BLOCKED')
    expect(performance.now() - startedMs).toBeLessThan(2_000)
  })

  test('the time of all patterns together is bounded', () => {
    const clock = [0, 50, 150][Symbol.iterator]()
    const now = () => clock.next().value ?? 200
    const value = 'b'.repeat(100_000)
    const outcome = filterReply(value, { ...NONE, block: ['re:b*x', 're:b+y'] }, now)
    expect(outcome).toEqual({ refused: 'RESPONSE_BLOCKED' })
  })
})

test('a filter that cannot be carried out withholds everything', () => {
  for (const filters of [
    { truncate: ['content'] },
    { truncate: ['content:-1'] },
    { truncate: [':5'] },
    { pii: ['passport'] },
    { block: ['re:(a)\\1'] },
    { block: ['re:('] },
  ]) {
    expect(filter({ a: 1 }, filters), JSON.stringify(filters)).toBe('RESPONSE_BLOCKED')
  }
})

test('any result comes back with its shape, free of what was filtered, and the input untouched', () => {
  const key = fc.constantFrom('token', 'Token', 'note', '__proto__', 'a')
  const { value } = fc.letrec<{ value: Json }>((tie) => ({
    value: fc.oneof(
      { depthSize: 'medium' },
      fc.constantFrom<Json>(null, true, 3, 'text', 'mail a@b.io now', 'SECRET-9'),
      fc.array(tie('value'), { maxLength: 4 }),
      fc
        .array(fc.tuple(key, tie('value')), { maxLength: 4 })
        .map((entries) => Object.fromEntries(entries) as Json),
    ),
  }))
  fc.assert(
    fc.property(value, (input) => {
      const before = JSON.stringify(input)
      const outcome = filter(input, { redact: ['token'], pii: ['email'], block: ['re:SECRET-\\d'] })
      expect(JSON.stringify(input)).toBe(before)
      if (outcome === 'RESPONSE_BLOCKED') return
      const after = JSON.stringify(outcome)
      expect(after).not.toMatch(/a@b\.io|SECRET-\d/)
      expect(after).not.toMatch(/"token":(?!"\[REDACTED\]")/i)
      expect(Array.isArray(outcome)).toBe(Array.isArray(input))
    }),
  )
})
