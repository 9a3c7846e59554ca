import { execFile } from 'node:child_process'
import { existsSync, realpathSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { delimiter, dirname, join, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { beforeAll, expect, test } from 'vitest'
import * as door from './index.ts'

const run = promisify(execFile)
const source = dirname(fileURLToPath(import.meta.url))
const root = join(source, '../../../..')
const built = join(root, 'packages/sdk/dist/vault/index.js')
const contractErrors = join(root, 'packages/contract/dist/errors.js')
const trace = ['traceparent', 'active', 'ids'].map((name) =>
  join(root, `packages/coat/dist/${name}.js`),
)

beforeAll(async () => {
  await run(
    process.execPath,
    [join(root, 'node_modules/typescript/bin/tsc'), '-b', 'packages/sdk'],
    {
      cwd: root,
    },
  )
}, 60_000)

const STATIC = /^\s*(?:import|export)\b(?:[^'"();]*?\bfrom)?\s*['"]([^'"]+)['"]/gm
const DYNAMIC = /\bimport\(\s*['"]([^'"]+)['"]\s*\)/g

const specifiers = (code: string, form: RegExp): string[] =>
  [...code.matchAll(form)].map(([, specifier]) => specifier ?? '')

/** What loading a built file pulls in: our own files, packages by name, and what is loaded later. */
async function importGraph(entry: string) {
  const files = new Set<string>()
  const packages = new Set<string>()
  const later = new Set<string>()
  const visit = async (file: string): Promise<void> => {
    if (files.has(file)) return
    files.add(file)
    const code = await readFile(file, 'utf8')
    for (const specifier of specifiers(code, DYNAMIC)) later.add(specifier)
    for (const specifier of specifiers(code, STATIC)) {
      if (specifier.startsWith('.')) await visit(resolve(dirname(file), specifier))
      else packages.add(specifier)
    }
  }
  await visit(entry)
  return { files: [...files], packages: [...packages], later: [...later] }
}

test('the door loads node: modules, the active trace and the error table, and nothing else', async () => {
  const graph = await importGraph(built)
  const foreign = graph.packages.filter((name) => !name.startsWith('node:'))
  expect(foreign).toEqual(['@vestry/coat/traceparent', '@vestry/contract/errors'])
  expect(graph.later).toEqual(['@noble/ciphers/salsa.js'])
  expect(graph.files.filter((file) => file.includes('test'))).toEqual([])
  expect(graph.files.length).toBeGreaterThan(10)

  const contract = await importGraph(contractErrors)
  expect(contract).toEqual({ files: [contractErrors], packages: [], later: [] })
})

test('what is really loaded agrees', async () => {
  const script = `
    import { registerHooks } from 'node:module'
    const loaded = new Set()
    registerHooks({ resolve(specifier, context, next) {
      const resolved = next(specifier, context)
      loaded.add(resolved.url)
      return resolved
    } })
    await import(${JSON.stringify(pathToFileURL(built).href)})
    console.log(JSON.stringify([...loaded]))`
  const { stdout } = await run(process.execPath, ['--input-type=module', '-e', script])
  const loaded: unknown = JSON.parse(stdout)
  const outside = (Array.isArray(loaded) ? loaded : []).filter(
    (url) => !String(url).startsWith('node:') && !String(url).includes('/packages/sdk/dist/vault/'),
  )
  expect(outside).toEqual([...trace, contractErrors].map((file) => pathToFileURL(file).href))
})

/** Loads the built door where the disposal symbols are missing, as on the first releases of Node 20. */
const WITHOUT_SYMBOL = `
  const Whole = globalThis.Symbol
  const Part = function (text) { return Whole(text) }
  for (const key of Reflect.ownKeys(Whole)) {
    if (key === 'asyncDispose' || key === 'dispose' || key === 'prototype') continue
    if (key === 'length' || key === 'name') continue
    Object.defineProperty(Part, key, Object.getOwnPropertyDescriptor(Whole, key))
  }
  Part.prototype = Whole.prototype
  globalThis.Symbol = Part
  const { SanctumClient } = await import(${JSON.stringify(pathToFileURL(built).href)})
  const client = new SanctumClient('scout', { seed: new Uint8Array(32) })
  await client[Whole.for('Symbol.asyncDispose')]()
  if ('undefined' in client) throw new Error('a member was named after a missing symbol')
  console.log(String(Symbol.asyncDispose))`

test('the door loads and closes where Symbol.asyncDispose does not exist', async () => {
  const { stdout } = await run(process.execPath, ['--input-type=module', '-e', WITHOUT_SYMBOL])
  expect(stdout.trim()).toBe('undefined')
})

/** Another Node on this machine, if there is one: the door promises to run on 20 and later. */
const other = (process.env['PATH'] ?? '')
  .split(delimiter)
  .map((directory) => join(directory, 'node'))
  .find((file) => existsSync(file) && realpathSync(file) !== realpathSync(process.execPath))

test.skipIf(other === undefined)('the door works on the other Node of this machine', async () => {
  const script = `
    const { SanctumClient, encodeFrame } = await import(${JSON.stringify(pathToFileURL(built).href)})
    const client = new SanctumClient('scout', { socketPath: '/nowhere', seed: new Uint8Array(32) })
    const code = await client.connect().catch((error) => error.code)
    await client.close()
    console.log(code, encodeFrame({ id: 1 }).length)`
  const { stdout } = await run(other ?? '', ['--input-type=module', '-e', script])
  expect(stdout.trim()).toBe('DAEMON_UNREACHABLE 12')
})

test('every name the door exports, types included, is in the manual', async () => {
  const manual = await readFile(join(root, 'docs/api/vault.md'), 'utf8')
  const index = await readFile(join(source, 'index.ts'), 'utf8')
  const names = [...index.matchAll(/export (?:type )?\{([^}]*)\}/g)]
    .flatMap(([, list]) => (list ?? '').split(','))
    .map((name) => name.replace('type ', '').trim())
    .filter((name) => name !== '')
  expect(names).toEqual(expect.arrayContaining(Object.keys(door)))
  expect(names.filter((name) => !new RegExp(`\\b${name}\\b`).test(manual))).toEqual([])
})

test('the errors door is part of the vault door', async () => {
  const errors: Record<string, unknown> = await import('./errors.ts')
  expect(door).toMatchObject(errors)
})

test('every method of the client is in the manual', async () => {
  const manual = await readFile(join(root, 'docs/api/vault.md'), 'utf8')
  for (const type of [door.SanctumClient, door.RpcConnection, door.FrameReader]) {
    const members = Object.getOwnPropertyNames(type.prototype).filter((n) => n !== 'constructor')
    expect(members.filter((name) => !new RegExp(`\\b${name}\\b`).test(manual))).toEqual([])
  }
})
