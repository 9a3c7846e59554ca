import { execFile } from 'node:child_process'
import { existsSync, realpathSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { beforeAll, expect, test } from 'vitest'
import * as door from './index.ts'

const run = promisify(execFile)
const source = dirname(fileURLToPath(import.meta.url))
const root = join(source, '../../../..')
const built = pathToFileURL(join(root, 'packages/sdk/dist/gateway/index.js')).href

beforeAll(async () => {
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  await run(process.execPath, [tsc, '-b', 'packages/sdk'], { cwd: root })
}, 60_000)

test('the door loads node: modules, the version, the active trace and three small files of the vault’s, nothing else', async () => {
  const script = `
    import { registerHooks } from 'node:module'
    const loaded = new Set()
    registerHooks({ resolve(specifier, context, next) {
      const resolved = next(specifier, context)
      loaded.add(resolved.url)
      return resolved
    } })
    await import(${JSON.stringify(built)})
    console.log(JSON.stringify([...loaded]))`
  const { stdout } = await run(process.execPath, ['--input-type=module', '-e', script])
  const loaded = (JSON.parse(stdout) as string[]).filter((url) => !url.startsWith('node:'))
  const outside = loaded.filter((url) => !url.includes('/packages/sdk/dist/gateway/'))
  expect(outside.map((url) => url.slice(pathToFileURL(root).href.length)).sort()).toEqual([
    '/packages/coat/dist/active.js',
    '/packages/coat/dist/ids.js',
    '/packages/coat/dist/traceparent.js',
    '/packages/contract/dist/version.js',
    '/packages/sdk/dist/trace.js',
    '/packages/sdk/dist/vault/async-dispose.js',
    '/packages/sdk/dist/vault/txn-token.js',
    '/packages/sdk/dist/vault/wait.js',
  ])
  expect(loaded.length).toBeGreaterThan(15)
  expect(loaded.filter((url) => url.includes('test'))).toEqual([])
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
  const { GatewayClient } = await import(${JSON.stringify(built)})
  const client = new GatewayClient({ baseUrl: 'mock://x', agentId: 'a', agentPrivateKeyPem: 'k' })
  await client[Whole.for('Symbol.asyncDispose')]()
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
    import { createServer } from 'node:http'
    const { GatewayClient } = await import(${JSON.stringify(built)})
    const server = createServer((request, response) => {
      const minting = request.url === '/api/generate-token'
      response.end(JSON.stringify(minting ? { agent_token: 'a.b' } : { data: 'found' }))
    }).listen(0, '127.0.0.1', async () => {
      const baseUrl = 'http://127.0.0.1:' + server.address().port
      const client = new GatewayClient({ baseUrl, agentId: 'a', agentPrivateKeyPem: 'none' })
      console.log(await client.proxy('serpapi', 'search', { q: 'x' }))
      await client.close()
      server.close()
      server.closeAllConnections()
    })`
  const { stdout } = await run(other ?? '', ['--no-warnings', '--input-type=module', '-e', script])
  expect(stdout.trim()).toBe('found')
})

test('every name the door exports, types included, is in the manual', async () => {
  const manual = await readFile(join(root, 'docs/api/gateway.md'), 'utf8')
  const index = await readFile(join(source, 'index.ts'), 'utf8')
  const names = [...index.matchAll(/export (?:type )?\{([^}]*)\}/g)]
    .flatMap(([, list]) => (list ?? '').split(','))
    .map((name) => name.replace('type ', '').trim())
    .filter((name) => name !== '')
  expect(names).toEqual(expect.arrayContaining(Object.keys(door)))
  expect(names.filter((name) => !new RegExp(`\\b${name}\\b`).test(manual))).toEqual([])
})

test('every method of the client is in the manual', async () => {
  const manual = await readFile(join(root, 'docs/api/gateway.md'), 'utf8')
  const { prototype } = door.GatewayClient
  const members = Object.getOwnPropertyNames(prototype).filter((name) => name !== 'constructor')
  expect([...members, 'fromEnvironment'].filter((name) => !manual.includes(name))).toEqual([])
})
