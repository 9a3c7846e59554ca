import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { expect, test } from 'vitest'

/** Folders of the server from the bottom up; an import may only go to its own row or a lower one. */
const ORDER = [
  ['store', 'metrics', 'json'],
  ['seal'],
  ['audit'],
  ['identity', 'policy', 'limits', 'journal'],
  ['call', 'http'],
  ['egress'],
  ['vault'],
  ['admin'],
  ['gateway', 'llm', 'review', 'secrets'],
  ['telemetry'],
  ['mcp', 'knowledge', 'dsl'],
  ['runtime'],
  ['app'],
  ['forward'],
  ['exec'],
  ['cli'],
]

const ROOT = resolve(import.meta.dirname, '..')
const SERVER = join(ROOT, 'packages/server/src')

test('imports between the server’s folders point one way', () => {
  const rank = new Map(ORDER.flatMap((row, index) => row.map((name) => [name, index] as const)))
  const wrong: string[] = []
  for (const file of sources(SERVER)) {
    const from = folder(file)
    for (const target of localImports(file)) {
      const to = folder(target)
      if (to === from) continue
      const up = rank.get(from)
      const down = rank.get(to)
      if (up === undefined || down === undefined)
        wrong.push(`${from} or ${to} has no place in the order`)
      else if (down >= up) wrong.push(`${relative(SERVER, file)} → ${relative(SERVER, target)}`)
    }
  }
  expect(wrong).toEqual([])
})

test('every folder of the server has a place in the order', () => {
  const known = new Set(ORDER.flat())
  const folders = readdirSync(SERVER, { withFileTypes: true }).filter((entry) =>
    entry.isDirectory(),
  )
  expect(folders.map(({ name }) => name).filter((name) => !known.has(name))).toEqual([])
})

/** Types and what listens open nothing. */
const OPENS_CONNECTIONS =
  /import (?!type)(?!\{ createServer(?:, type Server)? \})[^;\n]*from '(?:undici|node:https?|node:tls)'|(?<![#\w])fetch\(/

test('outbound connections are opened by egress alone', () => {
  const offenders = sources(SERVER).filter((file) => {
    const text = readFileSync(file, 'utf8')
    return folder(file) !== 'egress' && OPENS_CONNECTIONS.test(text)
  })
  expect(offenders.map((file) => relative(SERVER, file))).toEqual([])
})

test('the contract imports nothing but zod and itself, the SDK nothing but Node, the contract and one crypto library', () => {
  const allowed = {
    contract: /^(?:zod|\.\/)/,
    coat: /^(?:node:|\.{1,2}\/)/,
    sdk: /^(?:node:|\.{1,2}\/|@vestry\/coat(?:\/traceparent)?$|@vestry\/contract\/(?:claim|errors|ids|runtime|version)$|@noble\/ciphers\/|@langchain\/core\/)/,
  }
  const wrong: string[] = []
  for (const [name, pattern] of Object.entries(allowed)) {
    for (const file of sources(join(ROOT, 'packages', name, 'src'))) {
      for (const specifier of specifiers(file)) {
        if (!pattern.test(specifier)) wrong.push(`${relative(ROOT, file)} → ${specifier}`)
      }
    }
  }
  expect(wrong).toEqual([])
})

interface Manifest {
  version: string
  dependencies?: Record<string, string>
}

test('one version everywhere', () => {
  const read = (path: string) => JSON.parse(readFileSync(join(ROOT, path), 'utf8')) as Manifest
  const { version } = read('package.json')
  for (const name of ['contract', 'coat', 'sdk', 'server']) {
    const manifest = read(`packages/${name}/package.json`)
    expect(manifest.version).toBe(version)
    for (const [dependency, wanted] of Object.entries(manifest.dependencies ?? {})) {
      if (dependency.startsWith('@vestry/'))
        expect(`${dependency}@${wanted}`).toBe(`${dependency}@${version}`)
      else expect(wanted, `${dependency} is pinned exactly`).toMatch(/^\d/)
    }
  }
  expect(readFileSync(join(ROOT, 'packages/contract/src/version.ts'), 'utf8')).toContain(
    `'${version}'`,
  )
})

function sources(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .map((name) => join(directory, name))
    .filter(
      (name) =>
        name.endsWith('.ts') &&
        !/\.test\.ts$|\/test-[^/]*\.ts$|\/testing\/|\.test-kit\.ts$/.test(name),
    )
}

function folder(file: string): string {
  return relative(SERVER, file).split('/')[0] as string
}

function specifiers(file: string): string[] {
  const text = readFileSync(file, 'utf8')
  const found = text.matchAll(
    /^\s*(?:import|export)\b[^'"]*?from\s+'([^']+)'|\bimport\(\s*'([^']+)'\s*\)/gm,
  )
  return [...found].map((match) => (match[1] ?? match[2]) as string)
}

function localImports(file: string): string[] {
  return specifiers(file)
    .filter((specifier) => specifier.startsWith('.'))
    .map((specifier) => resolve(dirname(file), specifier))
    .filter((target) => target.startsWith(SERVER))
}
