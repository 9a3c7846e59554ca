import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { expect, test } from 'vitest'

/** Promises that have no test yet, and why. A reason that no longer holds is removed with its line. */
const DEFERRED: Readonly<Record<string, string>> = {
  'vault §28.49': 'back ends keep secrets that do not end: there is no lease upstream to revoke',
  'vault §28.57':
    'a timing is never a unit test: bench/ measures, bench/results/ holds what was measured',
  'telemetry §16.35':
    'a timing is never a unit test: bench/audit.ts measures it, bench/results/audit.md holds it',
  'runtime §20.2':
    'the published client is not on the registry that tests install from; a stand-in written from the contract is what is run',
  'vault §28.58': 'an hour of load does not fit CI; bench/soak.ts runs it on demand',
}

/** The wires that promise something, and how many lines each of them has. */
const LISTS = [
  { prefix: 'vault §28.', count: 58 },
  { prefix: 'gateway §19.', count: 35 },
  { prefix: 'sage §21.', count: 43 },
  { prefix: 'telemetry §16.', count: 46 },
  { prefix: 'runtime §20.', count: 30 },
] as const

const ROOT = resolve(import.meta.dirname, '..')

const listed = [
  ...readFileSync(join(ROOT, 'docs/promises.md'), 'utf8').matchAll(/^- ([a-z]+ §[\d.]+): /gm),
].map((match) => match[1] as string)
const proven = new Set(testFiles().flatMap(titlesOf))

test('every promise has a test that cites it, or a reason why not', () => {
  const missing = listed.filter((id) => !proven.has(id) && DEFERRED[id] === undefined)
  expect(missing).toEqual([])
})

test('nothing is deferred that has a test, and nothing is cited that is not listed', () => {
  expect(Object.keys(DEFERRED).filter((id) => proven.has(id) || !listed.includes(id))).toEqual([])
  const ours = [...proven].filter((id) => LISTS.some(({ prefix }) => id.startsWith(prefix)))
  expect(ours.filter((id) => !listed.includes(id))).toEqual([])
})

test.each(LISTS)('all $count lines of $prefix are listed, each once', ({ prefix, count }) => {
  const wanted = Array.from({ length: count }, (_, index) => `${prefix}${index + 1}`)
  const [wire = ''] = prefix.split(' ')
  expect(listed.filter((id) => id.startsWith(`${wire} `))).toEqual(wanted)
})

test('ids are read out of titles however many stand together', () => {
  expect(idsOf('gateway §19.22: once')).toEqual(['gateway §19.22'])
  expect(idsOf('vault §28.3, §28.5 and §28.7: x')).toEqual(
    ['3', '5', '7'].map((line) => `vault §28.${line}`),
  )
  expect(idsOf('gateway §19.1 and vault §28.2: x')).toEqual(['vault §28.2', 'gateway §19.1'])
  expect(idsOf('gateway §19.11, gateway §19.12: x')).toEqual(['gateway §19.11', 'gateway §19.12'])
  expect(idsOf('a lease is dead')).toEqual([])
})

function testFiles(): string[] {
  const inside = (directory: string) =>
    readdirSync(join(ROOT, directory), { recursive: true, encoding: 'utf8' }).map((name) =>
      join(ROOT, directory, name),
    )
  return [
    'packages/contract/src',
    'packages/coat/src',
    'packages/sdk/src',
    'packages/server/src',
    'test',
  ]
    .flatMap(inside)
    .filter((file) => file.endsWith('.test.ts') && !file.endsWith('promises.test.ts'))
}

/** Ids at the start of a title of `test`, `it`, `describe` and their variants, several joined by commas or "and". */
function titlesOf(file: string): string[] {
  const text = readFileSync(file, 'utf8')
  const titles = text.matchAll(
    /\b(?:test|it|describe|eachStore)(?:\.\w+(?:\([^)]*\))?)*\(\s*[`'"]([^`'"]*§[^`'"]*)/g,
  )
  return [...titles].flatMap(([, title = '']) => idsOf(title))
}

/** `vault §28.3, §28.5` → both; the name of the wire may be repeated. */
function idsOf(title: string): string[] {
  return LISTS.flatMap(({ prefix }) => {
    const [wire = ''] = prefix.split(' ')
    const cited = new RegExp(`${wire} §([\\d.]*\\d)((?:\\s*(?:,|and)\\s*§?[\\d.]*\\d)*)`, 'g')
    return [...title.matchAll(cited)].flatMap(([, first = '', more = '']) => [
      `${wire} §${first}`,
      ...[...more.matchAll(/§?([\d.]*\d)/g)].map(([, id]) => `${wire} §${id}`),
    ])
  })
}
