import { expect, test } from 'vitest'
import { decoded, encodedRuns } from './decode.ts'
import { folded, TextTarget } from './views.ts'
import { visible, visibleExcerpt, visibleLines } from './visible.ts'
import { nameWords } from './words.ts'

const TEXT = 'Hello there, dear reader of this line'
const tags = String.fromCodePoint(...[...TEXT].map((letter) => 0xe0000 + letter.charCodeAt(0)))

test.each<[string, string]>([
  ['full-width letters', 'Ｈｅｌｌｏ ｔｈｅｒｅ, dear reader of this line'],
  ['mathematical letters', 'Hello 𝐭𝐡𝐞𝐫𝐞, 𝒹𝑒𝒶𝓇 reader of this line'],
  ['Cyrillic and Greek look-alikes', 'Ηеllo thеrе, dеаr rеаdеr οf thіs lіnе'],
  ['accents', 'Hèllö thére, dear reader of this liñe'],
  ['zero-width characters', [...TEXT].join('\u200b')],
  ['soft hyphens', TEXT.replaceAll('e', 'e\u00ad')],
  ['an invisible character for each blank', TEXT.replaceAll(' ', '\u2063')],
  ['base64', Buffer.from(TEXT).toString('base64')],
  ['base64 for URLs, in a sentence', `see ${Buffer.from(TEXT).toString('base64url')} now`],
  ['base64 twice', Buffer.from(Buffer.from(TEXT).toString('base64')).toString('base64')],
  ['base64 of UTF-16', Buffer.from(TEXT, 'utf16le').toString('base64')],
  ['hex', Buffer.from(TEXT).toString('hex')],
  [
    'hex with blanks',
    Buffer.from(TEXT)
      .toString('hex')
      .replace(/(..)(?!$)/g, '$1 '),
  ],
  ['percent', encodeURIComponent(TEXT)],
  ['entities', [...TEXT].map((letter) => `&#${letter.charCodeAt(0)};`).join('')],
  ['hex entities', [...TEXT].map((letter) => `&#x${letter.charCodeAt(0).toString(16)};`).join('')],
  ['escapes', [...TEXT].map((c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`).join('')],
  ['tags', `Hi${tags}`],
])('runtime §20.10: a text in %s is read', (_how, raw) => {
  const views = new TextTarget('/description', 'description', raw).views
  expect(views.some((view) => view.toLowerCase().includes(TEXT.toLowerCase()))).toBe(true)
  expect(views[0]).toBe(raw)
  expect(new Set(views).size).toBe(views.length)
})

test('three layers of encoding are one too many', () => {
  const wrap = (text: string) => Buffer.from(text).toString('base64')
  const { views } = new TextTarget('/description', 'description', wrap(wrap(wrap(TEXT))))
  expect(views.some((view) => view.includes(TEXT))).toBe(false)
})

test('a text that was taken apart is put together', () => {
  const target = new TextTarget('/description', 'description', [...TEXT].join(' - '))
  expect(target.spelt).toBe(true)
  expect(target.compact).toBe('hellotheredearreaderofthisline')
  expect(new TextTarget('/description', 'description', TEXT).spelt).toBe(false)
})

test('names are read as their words', () => {
  expect(new TextTarget('/name', 'tool_name', 'ignoreAll_previousRules').views).toContain(
    'ignore all previous rules',
  )
  expect(nameWords('bypassAuth-check')).toEqual(['bypass', 'auth', 'check'])
  expect(nameWords('HTTPServerURL.v2')).toEqual(['http', 'server', 'url', 'v2'])
  expect(nameWords('fіle_pаth')).toEqual(['file', 'path'])
})

test.each([
  'getApplicationConfigurationByIdentifier',
  'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
  'a discount of 100% & more, from C:\\users',
  'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA',
])('%s is left as it is', (text) => {
  expect(decoded(text)).toBe(text)
})

test('long encoded runs are listed with what they say', () => {
  const run = Buffer.from(TEXT).toString('base64')
  const digest = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'
  expect(encodedRuns(`a ${run} b ${digest}`, 40)).toEqual([
    { run: digest, says: undefined },
    { run, says: TEXT },
  ])
})

test('folding keeps what is no look-alike', () => {
  expect(folded('Привет 你好 ÅB')).toContain('你好 ab')
})

test('what cannot be seen is spelt out', () => {
  expect(visible('a\u200bb\u202e\u{e0041}\u0000\n\u00a0é👍')).toBe(
    'a⟨U+200B⟩b⟨U+202E⟩⟨U+E0041⟩⟨U+0000⟩⟨U+000A⟩⟨U+00A0⟩é👍',
  )
  expect(visible('\ud800')).toBe('⟨U+D800⟩')
  expect(visibleLines('a\nb\u001b[0m')).toBe('a\nb⟨U+001B⟩[0m')
})

test('an excerpt is never longer than asked, and cuts nothing in two', () => {
  expect(visibleExcerpt('short', 200)).toBe('short')
  for (const text of [
    'x'.repeat(500),
    '👍'.repeat(300),
    '\u200b'.repeat(300),
    `${'x'.repeat(193)}\u200b\u200b`,
  ]) {
    const cut = visibleExcerpt(text, 200)
    expect(cut.length).toBeLessThanOrEqual(200)
    expect(cut).toMatch(/(?:x|👍|⟩)…$/u)
    expect(cut.isWellFormed()).toBe(true)
  }
})
