import fc from 'fast-check'
import { expect, test } from 'vitest'
import { brokenLine, markedLines, markedText } from './marked-text.ts'
import { noPaint, type Paint } from './style.ts'
import { textWidth } from './terminal-text.ts'

const tags: Paint = (style, text) => `<${style}>${text}</${style}>`

test.each([
  ['plain text, as it is', 'plain text, as it is'],
  ['zero\u200bwidth', 'zero⟨U+200B⟩width'],
  ['right\u202eto left', 'right⟨U+202E⟩to left'],
  ['tag\u{e0041}', 'tag⟨U+E0041⟩'],
  ['soft\u00adhyphen', 'soft⟨U+00AD⟩hyphen'],
  ['\u001b[31mred', '⟨U+001B⟩[31mred'],
  ['over\rwritten', 'over⟨U+000D⟩written'],
  ['p\u0430yment', 'pа⟨U+0430⟩yment'],
  ['"\u0440\u0430\u0443"', '"р⟨U+0440⟩а⟨U+0430⟩у⟨U+0443⟩"'],
  ['ｆull', 'ｆ⟨U+FF46⟩ull'],
  ['𝐛old', '𝐛⟨U+1D41B⟩old'],
  // People write in their own scripts.
  ['Погода в городе', 'Погода в городе'],
  ['Größe und naïve café', 'Größe und naïve café'],
  ['天気 ☀ 🔧', '天気 ☀ 🔧'],
])('%j is shown as %j', (text, shown) => {
  expect(markedText(text, noPaint)).toBe(shown)
})

test('names have no second line', () => {
  expect(brokenLine('add\nstate  approved', 80, noPaint)).toEqual(['add⟨U+000A⟩state  approved'])
})

test('what is marked has a colour, and the colour ends with it', () => {
  expect(markedText('a\u200b\u200bb p\u0430y', tags)).toBe(
    'a<red>⟨U+200B⟩⟨U+200B⟩</red>b p<yellow>а⟨U+0430⟩</yellow>y',
  )
})

test('long lines are broken between words, and words that are too long within', () => {
  expect(markedLines('one two three four five', 16, noPaint)).toEqual([
    'one two three ',
    'four five',
  ])
  expect(markedLines('x'.repeat(40), 16, noPaint)).toEqual([
    'x'.repeat(16),
    'x'.repeat(16),
    'x'.repeat(8),
  ])
  expect(markedLines('one\ntwo\n', 16, noPaint)).toEqual(['one', 'two', ''])
  expect(markedLines(' \u0000!\u0000', 16, noPaint)).toEqual([' ', '⟨U+0000⟩!', '⟨U+0000⟩'])
})

test('nothing that is shown moves the cursor, fits no line, or is lost', () => {
  const code = fc.oneof(fc.nat(0x7f), fc.nat(0x24ff), fc.nat(0x10ffff))
  const anything = fc.array(code, { maxLength: 120 }).map((codes) => String.fromCodePoint(...codes))
  fc.assert(
    fc.property(anything, fc.integer({ min: 16, max: 120 }), (text, width) => {
      const lines = markedLines(text, width, noPaint)
      for (const line of lines) {
        expect(line).not.toMatch(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u)
        expect(textWidth(line)).toBeLessThanOrEqual(width)
      }
      expect(lines.join('').replace(/⟨U\+[0-9A-F]+⟩/g, '').length).toBeLessThanOrEqual(text.length)
      const drawn = text.replace(/[^\x21-\x7e]/g, '')
      expect(
        lines
          .join('')
          .replace(/⟨U\+[0-9A-F]+⟩/g, '')
          .replace(/[^\x21-\x7e]/g, ''),
      ).toBe(drawn)
    }),
    { numRuns: 100 },
  )
})
