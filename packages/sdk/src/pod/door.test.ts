import { execFile } from 'node:child_process'
import { existsSync, realpathSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { delimiter, join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { CLAIM_ERRORS } from '../../../contract/src/claim.ts'
import * as door from './index.ts'

const ROOT = resolve(import.meta.dirname, '../../../..')
const SOURCE = pathToFileURL(join(import.meta.dirname, 'index.ts')).href
const run = promisify(execFile)

test('the door loads node: modules and its own files, and nothing else', async () => {
  const script = `
    import { registerHooks } from 'node:module'
    const loaded = new Set()
    registerHooks({ resolve(specifier, context, next) {
      const resolved = next(specifier, context)
      loaded.add(resolved.url)
      return resolved
    } })
    await import(${JSON.stringify(SOURCE)})
    console.log(JSON.stringify([...loaded]))`
  const { stdout } = await run(process.execPath, [
    '--conditions=source',
    '--input-type=module',
    '-e',
    script,
  ])
  const loaded = JSON.parse(stdout) as string[]
  expect(loaded.length).toBeGreaterThan(4)
  expect(
    loaded.filter(
      (url) => !/^node:|\/sdk\/src\/(?:pod\/[\w-]+|vault\/async-dispose)\.ts$/.test(url),
    ),
  ).toEqual([])
})

test('every name the door exports, types included, is in the manual, and so is every code', async () => {
  const manual = await readFile(join(ROOT, 'docs/api/pod.md'), 'utf8')
  const index = await readFile(join(import.meta.dirname, 'index.ts'), 'utf8')
  const names = [...index.matchAll(/export (?:type )?\{([^}]*)\}/g)]
    .flatMap(([, list]) => (list ?? '').split(','))
    .map((name) => name.replace('type ', '').trim())
    .filter((name) => name !== '')
  expect(names).toEqual(expect.arrayContaining(Object.keys(door)))
  const members = Object.getOwnPropertyNames(door.InPodClient.prototype)
  const wanted = [...names, ...members, ...Object.keys(CLAIM_ERRORS)].filter(
    (name) => name !== 'constructor',
  )
  expect(wanted.filter((name) => !new RegExp(`\\b${name}\\b`).test(manual))).toEqual([])
})

test('examples in the manual are in the files that they name', async () => {
  const manual = await readFile(join(ROOT, 'docs/api/pod.md'), 'utf8')
  const example = plain(await readFile(join(ROOT, 'examples/telemetry/claim.ts'), 'utf8'))
  const blocks = [
    ...manual.matchAll(/From `examples\/telemetry\/claim\.ts`:\n\n```ts\n([\s\S]*?)```/g),
  ]
  expect(blocks.length).toBeGreaterThan(0)
  for (const [, block = ''] of blocks) expect(example).toContain(plain(block))
})

function plain(text: string): string {
  return text.replace(/\s+/g, ' ').trim()
}

/** Another Node on this machine, if there is one: the door promises to run on 20 and later. */
const built = join(import.meta.dirname, '../../dist/pod/index.js')
const other = (process.env['PATH'] ?? '')
  .split(delimiter)
  .map((directory) => join(directory, 'node'))
  .find((file) => existsSync(file) && realpathSync(file) !== realpathSync(process.execPath))

test.skipIf(other === undefined || !existsSync(built))(
  'the door works on the other Node of this machine',
  async () => {
    const script = `
      const { InPodClient } = await import(${JSON.stringify(pathToFileURL(built).href)})
      const client = new InPodClient({ socketPath: '/nowhere' })
      const code = await client.whoami().catch((error) => error.code)
      await client.close()
      console.log(code)`
    const { stdout } = await run(other ?? '', ['--input-type=module', '-e', script])
    expect(stdout.trim()).toBe('unreachable')
  },
)
