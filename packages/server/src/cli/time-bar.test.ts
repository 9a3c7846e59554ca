import { expect, test } from 'vitest'
import { ASCII, UNICODE } from './glyphs.ts'
import { noPaint } from './style.ts'
import { terminalColumns } from './terminal-columns.ts'
import { barText, withBars } from './time-bar.ts'

const options = { totalMs: 100, columns: 40, glyphs: ASCII, paint: noPaint }
const line = (text: string, bar?: { fromMs: number; toMs: number | undefined }) => ({
  text,
  columns: text.length,
  bar,
})

test('a bar lies where its time does, is at least one column wide and never leaves its frame', () => {
  expect(barText({ fromMs: 0, toMs: 100 }, 100, 8, ASCII)).toBe('[========]')
  expect(barText({ fromMs: 50, toMs: 100 }, 100, 8, ASCII)).toBe('[    ====]')
  expect(barText({ fromMs: 99.9, toMs: 99.95 }, 100, 8, ASCII)).toBe('[       =]')
  expect(barText({ fromMs: -5, toMs: 900 }, 100, 8, ASCII)).toBe('[========]')
  expect(barText({ fromMs: 25, toMs: undefined }, 100, 8, ASCII)).toBe('[  =====>]')
  expect(barText({ fromMs: 0, toMs: 50 }, 100, 4, UNICODE)).toBe('▕██  ▏')
})

test('bars stand in one column behind the lines, within the width there is', () => {
  const lines = withBars(
    [
      line('run', { fromMs: 0, toMs: 100 }),
      line('a longer one', { fromMs: 50, toMs: 75 }),
      line('fact'),
    ],
    options,
  )
  expect(lines).toEqual([
    `run           [${'='.repeat(24)}]`,
    `a longer one  [${' '.repeat(12)}${'='.repeat(6)}${' '.repeat(6)}]`,
    'fact',
  ])
  for (const one of lines) expect(one.length).toBeLessThanOrEqual(40)
})

test('a line too long for a bar goes without, and so does everything that took no time', () => {
  const long = 'x'.repeat(39)
  const lines = withBars(
    [line('run', { fromMs: 0, toMs: 100 }), line(long, { fromMs: 0, toMs: 1 })],
    options,
  )
  expect(lines[0]).toMatch(/^run {27}\[={8}\]$/)
  expect(lines[1]).toBe(long)
  const none = withBars([line('run', { fromMs: 0, toMs: 0 })], { ...options, totalMs: 0 })
  expect(none).toEqual(['run'])
})

test('the width is that of the terminal, else of the environment, else a usual one', () => {
  const stream = (columns?: number) =>
    ({ columns }) as unknown as Parameters<typeof terminalColumns>[0]
  expect(terminalColumns(stream(132), { COLUMNS: '90' })).toBe(132)
  expect(terminalColumns(stream(), { COLUMNS: '90' })).toBe(90)
  expect(terminalColumns(stream(), { COLUMNS: 'wide' })).toBe(100)
  expect(terminalColumns(stream(3), {})).toBe(40)
})
