import fc from 'fast-check'
import { expect, test } from 'vitest'
import { jsonLine, jsonText, safeLines, safeText, textWidth } from './terminal-text.ts'

test.each([
  ['a\u001b[31mred', 'a\\x1b[31mred'],
  ['two\nlines\r\t', 'two\\nlines\\r\\t'],
  ['bell\u0007', 'bell\\x07'],
  ['\u009b31m', '\\x9b31m'],
  ['abc\u202etxt.exe', 'abc\\u202etxt.exe'],
  ['zero\u200bwidth', 'zero\\u200bwidth'],
  ['\ud800', '\\ud800'],
  ['grün 漢字 🦊', 'grün 漢字 🦊'],
])('%j is shown as %s', (text, shown) => {
  expect(safeText(text)).toBe(shown)
})

test('no text moves the cursor, whatever is in it', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (text) => {
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not come out
      expect(safeText(text)).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/)
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not come out
      expect(safeLines(text)).not.toMatch(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/)
    }),
  )
})

test('JSON output escapes what JSON itself leaves alone, and still says the same', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 100 }), (text) => {
      const document = { text, list: [text] }
      const shown = jsonText(document)
      expect(JSON.parse(shown)).toEqual(JSON.parse(JSON.stringify(document)))
      expect(shown).not.toMatch(/[\u007f-\u009f\u202a-\u202e]/)
    }),
  )
})

test('JSON output of nothing is null', () => {
  expect(jsonText(undefined)).toBe('null\n')
})

test.each([
  ['abc', 3],
  ['漢字', 4],
  ['🦊', 2],
  ['e\u0301', 1],
])('%s takes %i columns', (text, width) => {
  expect(textWidth(text)).toBe(width)
})

test('text that nobody sees is shown, and stays the same document as JSON', () => {
  // Tags spell out ASCII, and a program that reads the terminal would read them.
  const hidden = 'a\u{e0041}\u{e0042}b\u00ad\u3164c'
  expect(safeText(hidden)).toBe('a\\u{e0041}\\u{e0042}b\\xad\\u3164c')
  expect(jsonLine({ hidden })).toBe('{"hidden":"a\\udb40\\udc41\\udb40\\udc42b\\u00ad\\u3164c"}\n')
  expect(JSON.parse(jsonText({ hidden }))).toEqual({ hidden })
})
