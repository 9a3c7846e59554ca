import { expect, test } from 'vitest'
import { fitLine } from './fit-line.ts'
import { textWidth } from './terminal-text.ts'

const RED = '\u001b[31m'
const PLAIN = '\u001b[0m'

test('a line that fits stays as it is, and one that does not is cut where the terminal ends', () => {
  expect(fitLine('abcdef', 6, '…')).toBe('abcdef')
  expect(fitLine('abcdefg', 6, '…')).toBe('abcde…')
  expect(fitLine('abcdefg', 6, '...')).toBe('abc...')
})

test('wide characters take two columns, combining ones none, colours none and never run on', () => {
  const wide = fitLine('表表表表', 5, '…')
  expect(wide).toBe('表表…')
  expect(textWidth(wide)).toBeLessThanOrEqual(5)
  expect(fitLine('e\u0301e\u0301e\u0301', 3, '…')).toBe('e\u0301e\u0301e\u0301')
  expect(fitLine(`${RED}abc${PLAIN}`, 3, '…')).toBe(`${RED}abc${PLAIN}`)
  expect(fitLine(`${RED}abcd${PLAIN}`, 3, '…')).toBe(`${RED}ab…${PLAIN}`)
})
