import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { compileSource } from './compile.ts'
import { ERROR_CODES, WARNING_CODES } from './diagnostic.ts'

const PAGE = readFileSync(new URL('../../../../docs/dsl.md', import.meta.url), 'utf8')
const README = readFileSync(new URL('../../../../README.md', import.meta.url), 'utf8')
const BLOCKS = [...`${PAGE}\n${README}`.matchAll(/^```vestry(?: wrong (\w+))?\n(.*?)^```$/gms)].map(
  ([, code, source = '']) => [source.split('\n')[0], source, code] as const,
)

test('the page of the language has examples', () => {
  expect(BLOCKS.length).toBeGreaterThan(10)
  expect(README).toContain('\n```vestry\n')
})

test.each(BLOCKS)(
  'docs/dsl.md, README.md: the example that begins with "%s" is what the page says',
  (_, source, code) => {
    const { diagnostics } = compileSource(source)
    const errors = diagnostics.filter(({ severity }) => severity === 'error')
    expect([...new Set(errors.map((one) => one.code))]).toEqual(code === undefined ? [] : [code])
  },
)

test('runtime §11.7: the page has a line for each code, and for no other', () => {
  const named = [...PAGE.matchAll(/^\| `([EW]_[A-Z_]+)` \|/gm)].map(([, code]) => code)
  expect(named).toEqual([...ERROR_CODES, ...WARNING_CODES])
})
