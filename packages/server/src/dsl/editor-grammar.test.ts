import { readdirSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'

const ROOT = new URL('../../../../', import.meta.url)
const { patterns } = JSON.parse(
  readFileSync(new URL('editors/vestry-dsl.tmLanguage.json', ROOT), 'utf8'),
) as { patterns: { name: string; match?: string; begin?: string; end?: string }[] }
const RULES = patterns.map(
  ({ name, match, begin = '', end = '' }) =>
    [name, new RegExp(match ?? `${begin}(?:\\\\.|[^"\\\\])*?${end}`, 'my')] as const,
)
const KEYWORDS =
  /^(metadata|agent|policy|struct|function|schedule|behavior|trigger|action|with|capabilities|resources|security|policies|input|output|steps|let|return|if|else|allow|deny|audit)$/

test.each(readdirSync(new URL('examples/dsl/', ROOT)))(
  'the editor grammar scopes every keyword of %s',
  (name) => {
    const source = readFileSync(new URL(`examples/dsl/${name}`, ROOT), 'utf8')
    const bare: string[] = []
    for (let at = 0; at < source.length; ) {
      const found = RULES.map(([, rule]) => {
        rule.lastIndex = at
        return rule.exec(source)?.[0] ?? ''
      }).find((text) => text !== '')
      const word = /^\w+/.exec(source.slice(at))?.[0]
      if (found === undefined && word !== undefined) bare.push(word)
      at += found?.length ?? word?.length ?? 1
    }
    expect(bare.filter((word) => KEYWORDS.test(word))).toEqual([])
  },
)
