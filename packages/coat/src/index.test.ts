import { execFile } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, realpathSync } from 'node:fs'
import { delimiter, join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { beforeAll, expect, expectTypeOf, test } from 'vitest'
import * as door from './index.ts'

const run = promisify(execFile)
const ROOT = resolve(import.meta.dirname, '../../..')
const PACKAGE = join(ROOT, 'packages/coat')
const built = pathToFileURL(join(PACKAGE, 'dist/index.js')).href
const manifest = JSON.parse(readFileSync(join(PACKAGE, 'package.json'), 'utf8')) as Record<
  string,
  unknown
> & { exports: Record<string, unknown> }

beforeAll(async () => {
  const tsc = join(ROOT, 'node_modules/typescript/bin/tsc')
  await run(process.execPath, [tsc, '-b', 'packages/coat'], { cwd: ROOT })
}, 120_000)

test('telemetry §16.8: the exports are the promised ones, and none of them claims an identity', async () => {
  expect(Object.keys(door).sort()).toEqual([
    'Op',
    'coat',
    'configure',
    'current',
    'emit',
    'extract',
    'flush',
    'inject',
    'shutdown',
    'stats',
    'tie',
    'withContext',
  ])
  for (const subpath of Object.keys(manifest.exports)) {
    const names = Object.keys(await import(`@vestry/coat${subpath.slice(1)}`))
    expect(names.filter((name) => /claim/i.test(name))).toEqual([])
  }
  expect(Object.keys(door.coat)).toEqual(['unwrap'])
  expect(Object.keys(door.tie)).toEqual(['scope'])
  expectTypeOf<door.CoatOptions>().toHaveProperty('autoCapture')
})

test('telemetry §16.8: there is no dependency, and every import is of Node or of our own', () => {
  for (const kind of ['dependencies', 'optionalDependencies', 'bundleDependencies'])
    expect(manifest).not.toHaveProperty(kind)
  const files = readdirSync(join(PACKAGE, 'src'), { recursive: true, encoding: 'utf8' }).filter(
    (file) => file.endsWith('.ts') && !/\.test(-kit)?\.ts$/.test(file),
  )
  const foreign = files.flatMap((file) =>
    [
      ...readFileSync(join(PACKAGE, 'src', file), 'utf8').matchAll(
        /^\s*(?:import|export)\b(?:[^'"();]*?\bfrom)?\s*['"]([^'"]+)['"]/gm,
      ),
    ]
      .map(([, specifier]) => specifier ?? '')
      .filter((specifier) => !/^(?:node:|\.{1,2}\/)/.test(specifier))
      .map((specifier) => `${file}: ${specifier}`),
  )
  expect(files.length).toBeGreaterThan(40)
  expect(foreign).toEqual([])
})

/** Another Node on this machine, if there is one: the package promises to run on 20 and later. */
const other = (process.env['PATH'] ?? '')
  .split(delimiter)
  .map((directory) => join(directory, 'node'))
  .find((file) => existsSync(file) && realpathSync(file) !== realpathSync(process.execPath))

const ANYWHERE = `
  const { coat, tie, current, flush } = await import(${JSON.stringify(built)})
  const inner = coat('tool', async (n) => (await new Promise(setImmediate), tie('at', { n }), n * 2))
  const outer = coat('run', async function* () { yield await inner(1); yield await inner(2) })
  const all = []
  for await (const n of outer()) all.push(n)
  await flush()
  console.log(all.join())`

test.skipIf(other === undefined)('the built package works on the other Node here', async () => {
  for (const node of [process.execPath, other ?? '']) {
    const { stdout, stderr } = await run(node, ['--input-type=module', '-e', ANYWHERE], {
      env: {},
    })
    expect(stdout).toBe('2,4\n')
    const lines = stderr.trimEnd().split('\n')
    const events = lines.map((line) => JSON.parse(line.replace('[coat] ', '')))
    expect(events.map(({ kind }) => kind)).toEqual([
      'agent.run.start',
      'agent.tool.call',
      'x.coat.tie',
      'agent.tool.result',
      'agent.tool.call',
      'x.coat.tie',
      'agent.tool.result',
      'agent.run.end',
    ])
    const [root] = events
    const parents = events
      .filter(({ kind }) => kind === 'agent.tool.call')
      .map(({ ids }) => ids.parent_span_id)
    expect(parents).toEqual([root.ids.span_id, root.ids.span_id])
  }
})

test('every name of the door, types included, and every option is in the manual', () => {
  const manual = readFileSync(join(ROOT, 'docs/api/coat.md'), 'utf8')
  const source = (file: string) => readFileSync(join(PACKAGE, 'src', file), 'utf8')
  const names = [...source('index.ts').matchAll(/export (?:type )?\{([^}]*)\}/g)]
    .flatMap(([, list]) => (list ?? '').split(','))
    .map((name) =>
      name
        .replace('type ', '')
        .replace(/.* as /, '')
        .trim(),
    )
    .filter((name) => name !== '')
  expect(names).toEqual(expect.arrayContaining(Object.keys(door)))
  const options = [source('settings.ts'), source('wrap/options.ts')].flatMap((text) => {
    const [, body = ''] =
      /export interface (?:Configuration|CoatOptions) \{\n([\s\S]*?)\n\}/.exec(text) ?? []
    return [...body.matchAll(/^ {2}(\w+)\??:/gm)].map(([, name]) => name ?? '')
  })
  expect(options.length).toBeGreaterThan(20)
  const variables = [...source('settings.ts').matchAll(/'(ENVPOD_\w+|TRACEPARENT)'/g)].map(
    ([, name]) => name ?? '',
  )
  const wanted = new Set([...names, ...options, ...variables])
  expect([...wanted].filter((name) => !new RegExp(`\\b${name}\\b`).test(manual))).toEqual([])
})
