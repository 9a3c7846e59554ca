import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { MAX_DEPTH, MAX_MEMBERS, scanJson } from './json-scan.ts'

const SECRETS = new Set(['value', 'share'])

function scan(text: string) {
  const bytes = Buffer.from(text, 'utf8')
  const { fault, lifted } = scanJson(bytes, SECRETS)
  const values = Object.fromEntries(
    [...lifted].map(([name, value]) => [name, Buffer.from(value).toString('utf8')]),
  )
  return { fault, lifted: values, rest: bytes.toString('utf8') }
}

test('a secret member of params is lifted, and what remains is the same message without it', () => {
  const { lifted, rest, fault } = scan('{"id":1,"params":{"path":"a/b","value":"c0ffee","n":2}}')
  expect(fault).toBeUndefined()
  expect(lifted).toEqual({ value: 'c0ffee' })
  expect(JSON.parse(rest)).toEqual({ id: 1, params: { path: 'a/b', value: '', n: 2 } })
  expect(rest).not.toContain('c0ffee')
})

test('only members of params are lifted: not of other objects, not deeper, not in lists', () => {
  const others = [
    '{"value":"kept"}',
    '{"other":{"value":"kept"},"params":{}}',
    '{"params":{"params":{"value":"kept"}}}',
    '{"params":{"list":["value","kept"]}}',
    '{"params":["value","kept"]}',
    '{"params":{"note":"value"},"value":"kept"}',
    '{"params":{"x":"\\"value\\":\\"kept\\""}}',
    '{"params":{"values":"kept","valu":"kept"}}',
  ]
  for (const text of others) expect(scan(text)).toEqual({ lifted: {}, rest: text })
})

test('a name spelt with escapes is the same name', () => {
  for (const text of [
    '{"params":{"val\\u0075e":"s3cret"}}',
    '{"par\\u0061ms":{"\\u0076\\u0061\\u006c\\u0075\\u0065":"s3cret"}}',
    '{ "params" : { "value" : "s3cret" } }',
    '{"params":{"value"\n:\t"s3cret"}}',
  ]) {
    const { lifted, rest } = scan(text)
    expect(lifted).toEqual({ value: 's3cret' })
    expect(rest).not.toContain('s3cret')
    expect(JSON.parse(rest)).toEqual({ params: { value: '' } })
  }
})

test('a name that only looks like one is another name', () => {
  for (const text of ['{"params":{"val\\\\u0075e":"x"}}', '{"params":{"value\\u0000":"x"}}'])
    expect(scan(text)).toEqual({ lifted: {}, rest: text })
})

test('of equal names the last wins, as in every parser', () => {
  expect(scan('{"params":{"value":"first","value":"last"}}').lifted).toEqual({ value: 'last' })
  expect(scan('{"params":{"value":"first","value":null}}').lifted).toEqual({})
  expect(scan('{"params":{"value":"first"},"params":{"path":"p"}}').lifted).toEqual({})
  expect(scan('{"params":{"value":"a"},"params":{"share":"b"}}').lifted).toEqual({ share: 'b' })
  expect(scan('{"params":{"value":"first","value":"last"}}').rest).not.toMatch(/first|last/)
})

test('a secret that is no plain string is refused, except null, which is none', () => {
  for (const value of [
    '"a\\u0062c"',
    '"a\\nb"',
    '"a\nb"',
    '["abc"]',
    '{"a":"bc"}',
    '123',
    'true',
    'nul',
    '"unfinished',
  ]) {
    expect(scan(`{"params":{"value":${value}}}`).fault, value).toMatch(/without escapes/)
  }
  const absent = scan('{"params":{"value":null,"share":"s"}}')
  expect(absent.fault).toBeUndefined()
  expect(absent.lifted).toEqual({ share: 's' })
})

test('the empty string and every other plain text come out byte for byte', () => {
  expect(scan('{"params":{"value":""}}').lifted).toEqual({ value: '' })
  void fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.string(), (value, note) => {
      fc.pre(JSON.stringify(value) === `"${value}"` && value.isWellFormed())
      const text = JSON.stringify({ id: 1, params: { note, value, after: [note] } })
      const { lifted, rest, fault } = scan(text)
      expect(fault).toBeUndefined()
      expect(lifted).toEqual({ value })
      expect(JSON.parse(rest)).toEqual({ id: 1, params: { note, value: '', after: [note] } })
      expect(Buffer.byteLength(rest)).toBe(Buffer.byteLength(text))
    }),
  )
})

test('without secret names nothing is touched', () => {
  const text = '{"params":{"value":"kept"}}'
  const bytes = Buffer.from(text)
  expect(scanJson(bytes).lifted.size).toBe(0)
  expect(bytes.toString()).toBe(text)
})

test('vault §28.18: depth is bounded at 32, brackets inside strings aside', () => {
  const nested = (depth: number) => `${'['.repeat(depth)}${']'.repeat(depth)}`
  expect(scan(nested(MAX_DEPTH)).fault).toBeUndefined()
  expect(scan(nested(MAX_DEPTH + 1)).fault).toMatch(/nested/)
  expect(scan(nested(100_000)).fault).toMatch(/nested/)
  expect(scan('{"a":'.repeat(33)).fault).toMatch(/nested/)
  expect(scan(JSON.stringify('['.repeat(1000))).fault).toBeUndefined()
  expect(scan(`["${'[\\"'.repeat(1000)}"]`).fault).toBeUndefined()
})

test('members and elements are counted together, and exactly', () => {
  const list = (count: number) => JSON.stringify(Array.from({ length: count }, (_, n) => n))
  const object = (count: number) =>
    JSON.stringify(Object.fromEntries(Array.from({ length: count }, (_, n) => [`k${n}`, [n]])))
  expect(scan(list(MAX_MEMBERS)).fault).toBeUndefined()
  expect(scan(list(MAX_MEMBERS + 1)).fault).toMatch(/members/)
  expect(scan(object(MAX_MEMBERS / 2)).fault).toBeUndefined()
  expect(scan(object(MAX_MEMBERS / 2 + 1)).fault).toMatch(/members/)
  expect(scan(`[${'[],'.repeat(MAX_MEMBERS - 1)}{}]`).fault).toBeUndefined()
  expect(scan(`["${',:'.repeat(MAX_MEMBERS)}"]`).fault).toBeUndefined()
})

test('any JSON value passes or faults as counting its parsed form would', () => {
  const count = (value: unknown): number =>
    typeof value !== 'object' || value === null
      ? 0
      : Object.values(value).reduce((sum: number, inner) => sum + 1 + count(inner), 0)
  void fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 6 }), (value) => {
      expect(count(value)).toBeLessThan(MAX_MEMBERS)
      expect(scan(JSON.stringify(value, null, 1)).fault).toBeUndefined()
    }),
  )
})

test('bytes that are no JSON at all never make it throw or hang', () => {
  void fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
      scanJson(Buffer.from(bytes), SECRETS)
    }),
  )
  void fc.assert(
    fc.property(
      fc.array(
        fc.constantFrom('{', '}', '[', ']', ':', ',', '"', '\\', '"params"', '"value"', 'n'),
        {
          maxLength: 60,
        },
      ),
      (tokens) => {
        scanJson(Buffer.from(tokens.join('')), SECRETS)
      },
    ),
  )
})
