import fc from 'fast-check'
import { expect, test } from 'vitest'
import { parseImport } from './import-file.ts'

const read = (text: string, format: 'env' | 'json' | 'csv') =>
  parseImport(text, format).map(({ path, value, ...facts }) => ({
    path,
    value: value.toString(),
    ...facts,
  }))

test('env files: comments, export, quotes, escapes, several lines', () => {
  const text = [
    '# a comment',
    'A=1',
    'export B = two words # and a comment',
    'C="line\\nbreak \\"quoted\\" # no comment"',
    "D='$not \\n expanded'",
    'E="first',
    'second"',
    'F=',
    'G=a#b',
    '  ',
  ].join('\n')
  expect(read(text, 'env')).toEqual([
    { path: 'A', value: '1' },
    { path: 'B', value: 'two words' },
    { path: 'C', value: 'line\nbreak "quoted" # no comment' },
    { path: 'D', value: '$not \\n expanded' },
    { path: 'E', value: 'first\nsecond' },
    { path: 'F', value: '' },
    { path: 'G', value: 'a#b' },
  ])
})

test.each([
  ['A', 'line 1 expects NAME=value'],
  ['A=1\nnot a pair', 'line 2 expects NAME=value'],
  ['\n\nA="open', 'line 3 has a quote that is not closed'],
  ["A='x' y", 'line 1 has text behind the quotes'],
])('the env file %j is refused: %s', (text, message) => {
  expect(() => parseImport(text, 'env')).toThrow(
    expect.objectContaining({ code: 'INVALID_PARAMS', message }),
  )
})

test('JSON: a map, a map of entries, a list', () => {
  expect(read('{"a/b":"1","c":{"value":"2","type":"token","tags":["x"]}}', 'json')).toEqual([
    { path: 'a/b', value: '1' },
    { path: 'c', value: '2', type: 'token', tags: ['x'] },
  ])
  expect(read('[{"path":"k","value_base64":"AAE="}]', 'json')).toEqual([
    { path: 'k', value: '\u0000\u0001' },
  ])
})

test.each([
  ['{"a":1}', '"a" must be a string or an object'],
  ['[{"value":"x"}]', 'entry 1 needs a path'],
  ['[{"path":"p"}]', 'entry 1 needs a value or a value_base64, as text'],
  ['[{"path":"p","value":"v","hosts":[]}]', 'entry 1 has an unknown member "hosts"'],
  ['[{"path":"p","value_base64":"!"}]', 'entry 1 has a value_base64 that is not base64'],
  ['7', 'the file must hold an object or a list'],
  ['{"a":"sk-live-1234"', 'the file is not JSON'],
])('the JSON file %j is refused: %s', (text, message) => {
  expect(() => parseImport(text, 'json')).toThrow(
    expect.objectContaining({ code: 'INVALID_PARAMS', message }),
  )
})

test('CSV: quotes, commas, line breaks and tags', () => {
  const text = 'path,value,tags,description\r\na,"1,2\n""3""",x;y,\r\n\r\nb,plain,,why\n'
  expect(read(text, 'csv')).toEqual([
    { path: 'a', value: '1,2\n"3"', tags: ['x', 'y'] },
    { path: 'b', value: 'plain', tags: [], description: 'why' },
  ])
})

test.each([
  ['name,value\na,b', 'line 1 must name the columns, "path" among them'],
  ['path,value\na', 'line 2 has 1 fields, the header has 2'],
  ['path,value\na,b"c', 'line 2 has a quote in the wrong place'],
])('the CSV file %j is refused: %s', (text, message) => {
  expect(() => parseImport(text, 'csv')).toThrow(
    expect.objectContaining({ code: 'INVALID_PARAMS', message }),
  )
})

test('no complaint ever quotes a value', () => {
  const secret = 'S3CRET'
  const around = fc.string({ maxLength: 12 })
  fc.assert(
    fc.property(around, around, fc.constantFrom('env', 'json', 'csv'), (before, after, format) => {
      try {
        parseImport(`${before}p=${secret}${after}`, format)
      } catch (error) {
        expect(String(error)).not.toContain(secret)
      }
    }),
  )
})

test('what CSV quotes comes back as it was', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme', maxLength: 30 }), (value) => {
      const text = `path,value\np,"${value.replaceAll('"', '""')}"\n`
      expect(read(text, 'csv')).toEqual([{ path: 'p', value }])
    }),
  )
})
