import { expect, test } from 'vitest'
import { cellText, rowOf, rowsOf } from './cell.ts'
import { fakeTerminal } from './fake-terminal.test-kit.ts'
import { noPaint, paintFor } from './style.ts'
import { facts, table } from './table.ts'

const COLUMNS = [
  { title: 'NAME', value: 'name' },
  { title: 'N', value: 'n', align: 'right' as const },
  { title: 'TAGS', value: 'tags' },
]

test('columns are as wide as their widest cell', () => {
  const rows = [
    { name: 'scout', n: 7, tags: ['a', 'b'] },
    { name: '漢字', n: 1234, tags: [] },
  ]
  expect(table(COLUMNS, rows, { paint: noPaint, empty: '' })).toBe(
    ['NAME      N  TAGS', 'scout     7  a, b', '漢字   1234  –', ''].join('\n'),
  )
})

test('a table without rows says so', () => {
  expect(table(COLUMNS, [], { paint: noPaint, empty: 'no agents' })).toBe('no agents\n')
})

test('a cell cannot break out of its line', () => {
  const shown = table(COLUMNS, [{ name: 'x\n\u001b[2Jy' }], { paint: noPaint, empty: '' })
  expect(shown).toContain('x\\n\\x1b[2Jy')
  expect(shown.split('\n')).toHaveLength(3)
})

test.each([
  [null, '–'],
  ['', '–'],
  [true, 'yes'],
  [0, '0'],
  [[], '–'],
  [{ team: 'a', n: 1 }, 'team=a n=1'],
  ['2026-05-02T09:14:07.480Z', '2026-05-02 09:14:07Z'],
  ['2026-05-02T09:14:07.480Z!', '2026-05-02T09:14:07.480Z!'],
])('the cell %j reads %s', (value, text) => {
  expect(cellText(value)).toBe(text)
})

test('facts leave out what is not known', () => {
  const pairs = [
    ['name', 'scout'],
    ['spiffe id', 'spiffe://x/agent/1'],
    ['secret', undefined],
  ] as const
  expect(facts(pairs, noPaint)).toBe('name       scout\nspiffe id  spiffe://x/agent/1\n')
})

test('a reply of another shape gives no rows instead of a crash', () => {
  expect(rowsOf({ agents: 'none' }, 'agents')).toEqual([])
  expect(rowsOf({ agents: [1, null, { a: 1 }] }, 'agents')).toEqual([{ a: 1 }])
  expect(rowOf({ agent: [] }, 'agent')).toEqual({})
})

test('colour is for terminals that want it', () => {
  const paint = (isTTY: boolean, env: NodeJS.ProcessEnv) =>
    paintFor(fakeTerminal({ isTTY }).stdout, env)('red', 'x')
  expect(paint(true, {})).toBe('\u001b[31mx\u001b[39m')
  expect(paint(false, {})).toBe('x')
  expect(paint(true, { NO_COLOR: '1' })).toBe('x')
  expect(paint(true, { TERM: 'dumb' })).toBe('x')
})
