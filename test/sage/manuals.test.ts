import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { expect, test } from 'vitest'

const ROOT = resolve(import.meta.dirname, '../..')
/** Door → where its manual’s examples are. */
const DOORS = {
  agent: ['agent', 'repository-scanner'],
  llm: ['llm'],
  langchain: ['langchain'],
  testing: ['testing'],
} as const
const EXAMPLES = [...new Set(Object.values(DOORS).flat())]

test.each(Object.keys(DOORS))('every name that @vestry/sdk/%s exports is in its manual', (door) => {
  const manual = readFileSync(join(ROOT, `docs/api/${door}.md`), 'utf8')
  const index = readFileSync(join(ROOT, `packages/sdk/src/${door}/index.ts`), 'utf8')
  const names = [...index.matchAll(/export (?:type )?\{([^}]*)\}/g)]
    .flatMap(([, list = '']) => list.split(','))
    .map((name) => name.replace('type ', '').trim().split(' as ').at(-1) ?? '')
    .filter((name) => name !== '')
  expect(names.length).toBeGreaterThan(1)
  expect(names.filter((name) => !new RegExp(`\\b${name}\\b`).test(manual))).toEqual([])
})

test('every code block of the manuals and of agents.md is part of an example', () => {
  const sources = EXAMPLES.flatMap((folder) => {
    const names = readdirSync(join(ROOT, 'examples', folder)).filter((name) => name.endsWith('.ts'))
    return names.map((name) =>
      unindented(readFileSync(join(ROOT, 'examples', folder, name), 'utf8')),
    )
  })
  for (const page of [...Object.keys(DOORS).map((door) => `api/${door}`), 'agents']) {
    const text = readFileSync(join(ROOT, `docs/${page}.md`), 'utf8')
    const blocks = [...text.matchAll(/```ts\n([\s\S]*?)```/g)].map(([, code = '']) => code)
    expect(blocks.length, page).toBeGreaterThan(0)
    for (const block of blocks) {
      const excerpt = unindented(block)
      expect(sources.some((source) => source.includes(excerpt)) ? '' : block).toBe('')
    }
  }
})

test('the registration in runs.md is the one of the example', () => {
  const page = readFileSync(join(ROOT, 'docs/runs.md'), 'utf8')
  const [, block = ''] = /```json\n([\s\S]*?)```/.exec(page) ?? []
  expect(block).toBe(readFileSync(join(ROOT, 'examples/repository-scanner/run.json'), 'utf8'))
})

function unindented(code: string): string {
  const lines = code.split('\n').map((line) => line.trim())
  return lines.filter((line) => line !== '').join('\n')
}
