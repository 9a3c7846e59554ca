import { expect, test } from 'vitest'
import { NOTHING_KNOWN } from '../analyse.ts'
import { findingsOf } from '../findings.ts'
import { subjectOf } from '../subject.ts'
import { toolOf } from '../test-tool.ts'
import { invisibleCharacters } from './si-006-invisible-characters.ts'

function severities(description: string): string[] {
  const subject = subjectOf(toolOf({ name: 'x', description }))
  return findingsOf(subject, NOTHING_KNOWN, [invisibleCharacters]).map(({ severity }) => severity)
}

test.each([
  ['critical', [0xe0001, 0xe0041, 0xe007f, 0x202a, 0x202e, 0x2066, 0x2069]],
  [
    'high',
    [
      0x200b, 0x200c, 0x200d, 0x200e, 0x200f, 0x2060, 0x2064, 0x206a, 0xfeff, 0x00ad, 0x180e,
      0x115f, 0x1160, 0x3164, 0xffa0, 0x0000, 0x0008, 0x000b, 0x000c, 0x000d, 0x001b, 0x007f,
      0x0085, 0x009f, 0xfe00, 0xfe0f, 0xe0100, 0xe01ef,
    ],
  ],
])('runtime §20.10: between letters these are %s', (severity, codes) => {
  for (const code of codes) {
    expect([code, ...severities(`ab${String.fromCodePoint(code)}cd`)]).toEqual([code, severity])
  }
})

test('runtime §20.10: five marks on one letter are medium', () => {
  expect(severities(`e${'\u0301'.repeat(5)}`)).toEqual(['medium'])
})

test.each([
  'tabs\tand\nlines\r\nof two systems',
  'é e\u0301 ñ Å',
  '👨‍👩‍👧 👩🏽‍🔬 🏳️‍🌈 ❤️ ☎︎ 1️⃣ 🇩🇪',
  '🏴\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f}',
  'می‌خواهم नमस्ते ক্‍ষ',
  '日本語 Ελληνικά Русский',
])('runtime §20.10: writing and pictures need %s', (text) => {
  expect(severities(text)).toEqual([])
})

test('runtime §20.10: a flag that does not exist hides letters', () => {
  expect(severities('🏴\u{e0069}\u{e0067}\u{e006e}\u{e006f}\u{e007f}')).toEqual(['critical'])
})

test('runtime §20.10: different kinds in one text are told apart', () => {
  expect(severities('a\u200bb\u202ec\u0000')).toEqual(['critical', 'high', 'high'])
})
