import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { compileSource } from './compile.ts'

const PAGE = readFileSync(new URL('../../../../docs/dsl.md', import.meta.url), 'utf8')
const BLOCKS = [...PAGE.matchAll(/^```vestry(?: wrong (\w+))?\n(.*?)^```$/gms)].map(
  ([, code, source = '']) => [source.split('\n')[0], source, code] as const,
)

test('the page of the language has examples', () => {
  expect(BLOCKS.length).toBeGreaterThan(5)
})

test.each(BLOCKS)(
  'docs/dsl.md: the example that begins with "%s" is what the page says',
  (_, source, code) => {
    const { diagnostics } = compileSource(source)
    const errors = diagnostics.filter(({ severity }) => severity === 'error')
    expect([...new Set(errors.map((one) => one.code))]).toEqual(code === undefined ? [] : [code])
  },
)
