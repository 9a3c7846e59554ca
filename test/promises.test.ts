import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { expect, test } from 'vitest'

/** Promises that have no test yet, and why. A reason that no longer holds is removed with its line. */
const DEFERRED: Readonly<Record<string, string>> = {
  'vault §28.49':
    'dynamic back ends arrive with the secrets part; no lease can end upstream before',
  'vault §28.55': 'the KV v2 back end arrives with the secrets part',
  'vault §28.56': 'keychain and file back ends arrive with the secrets part',
  'vault §28.57':
    'a timing is never a unit test: bench/ measures, bench/results/ holds what was measured',
  'vault §28.58': 'an hour of load does not fit CI; bench/soak.ts runs it on demand',
}

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
  const ours = [...proven].filter((id) => id.startsWith('vault §28.'))
  expect(ours.filter((id) => !listed.includes(id))).toEqual([])
})

test('all 58 lines of the vault are listed, each once', () => {
  const wanted = Array.from({ length: 58 }, (_, index) => `vault §28.${index + 1}`)
  expect(listed.filter((id) => id.startsWith('vault '))).toEqual(wanted)
})

function testFiles(): string[] {
  const inside = (directory: string) =>
    readdirSync(join(ROOT, directory), { recursive: true, encoding: 'utf8' }).map((name) =>
      join(ROOT, directory, name),
    )
  return ['packages/contract/src', 'packages/sdk/src', 'packages/server/src', 'test']
    .flatMap(inside)
    .filter((file) => file.endsWith('.test.ts') && !file.endsWith('promises.test.ts'))
}

/** Ids at the start of a title of `test`, `it`, `describe` and their variants, several joined by commas or "and". */
function titlesOf(file: string): string[] {
  const text = readFileSync(file, 'utf8')
  const titles = text.matchAll(
    /\b(?:test|it|describe|eachStore)(?:\.\w+(?:\([^)]*\))?)*\(\s*[`'"]([^`'"]*§[^`'"]*)/g,
  )
  return [...titles].flatMap(([, title]) =>
    [...(title as string).matchAll(/vault §([\d.]*\d)((?:\s*(?:,|and)\s*§?[\d.]*\d)*)/g)].flatMap(
      ([, first, more]) => [
        `vault §${first}`,
        ...[...(more as string).matchAll(/§?([\d.]*\d)/g)].map(([, id]) => `vault §${id}`),
      ],
    ),
  )
}
