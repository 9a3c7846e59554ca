import { execFile } from 'node:child_process'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { VERSION } from '@vestry/contract/version'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  doorsOf,
  emptyFolder,
  findNode,
  importDoors,
  type Manifest,
  PUBLISHED,
  type Published,
  pack,
  type Tarball,
  unpack,
} from './harness/packed.ts'

const run = promisify(execFile)
const names = Object.keys(PUBLISHED) as Published[]
const node20 = await findNode(20)
const client = (name: string): boolean => name !== 'vestry'

let folder: string
const tarballs = new Map<Published, Tarball>()
const manifests = new Map<Published, Manifest>()

beforeAll(async () => {
  folder = emptyFolder()
  writeFileSync(join(folder, 'package.json'), '{"private":true}')
  for (const name of names) {
    const tarball = await pack(name, folder)
    tarballs.set(name, tarball)
    manifests.set(name, await unpack(name, tarball, folder))
  }
})
afterAll(() => {
  rmSync(folder, { recursive: true, force: true })
})

test.each(names)('the package %s holds every file its doors name, and no tests', (name) => {
  const { entries } = tarballs.get(name) as Tarball
  const { exports, bin = {}, version } = manifests.get(name) as Manifest
  const targets = Object.values(exports).flatMap((door) =>
    typeof door === 'string' ? [door] : Object.values(door),
  )
  for (const target of [...targets, ...Object.values(bin)]) {
    expect(entries).toContain(target.replace(/^\.\//, ''))
  }
  const door = './testing' in exports // what users test with is no test of ours
  const tests = door ? /\.test\.|test-kit|\/test-/ : /\.test\.|test-kit|\/testing\/|\/test-/
  expect(entries.filter((path) => tests.test(path))).toEqual([])
  expect(version).toBe(VERSION)
})

test('every door imports from an empty folder', async () => {
  const doors = names.flatMap((name) => doorsOf(manifests.get(name) as Manifest))
  const exported = await importDoors(process.execPath, folder, doors)
  expect(doors).toEqual(
    expect.arrayContaining([
      '@vestry/contract/errors',
      '@vestry/sdk/vault',
      '@vestry/sdk/vault/errors',
      '@vestry/sdk/runtime',
      '@vestry/contract/runtime',
    ]),
  )
  for (const door of doors) expect(exported[door], door).not.toEqual([])
  expect(exported['@vestry/sdk/vault']).toContain('SanctumClient')
})

test.skipIf(node20 === undefined)(
  `the doors of the clients import on Node 20${node20 === undefined ? ' (no Node 20 here)' : ''}`,
  async () => {
    const doors = names.filter(client).flatMap((name) => doorsOf(manifests.get(name) as Manifest))
    const exported = await importDoors(node20 as string, folder, doors)
    expect(exported).toEqual(await importDoors(process.execPath, folder, doors))
  },
)

test('the doors of the clients load on macOS, as far as a Linux machine can tell', async () => {
  const doors = names.filter(client).flatMap((name) => doorsOf(manifests.get(name) as Manifest))
  const platform = 'darwin'
  const exported = await importDoors(process.execPath, folder, doors, { platform })
  for (const door of doors) expect(exported[door], door).not.toEqual([])
})

test('the vault door needs no package but our own', async () => {
  const bare = emptyFolder()
  try {
    for (const name of names.filter(client)) {
      await unpack(name, tarballs.get(name) as Tarball, bare, { links: false })
    }
    const doors = ['@vestry/sdk/vault', '@vestry/sdk/vault/errors', '@vestry/contract/errors']
    const exported = await importDoors(process.execPath, bare, doors)
    expect(exported['@vestry/sdk/vault']).toContain('SanctumClient')
  } finally {
    rmSync(bare, { recursive: true, force: true })
  }
})

test('the command of the packed server starts', async () => {
  const bin = join(folder, 'node_modules', 'vestry', 'bin', 'vestry.js')
  const { stdout } = await run(process.execPath, [bin, '--version'], { cwd: folder })
  expect(stdout.trim()).toBe(VERSION)
})

test.skipIf(node20 === undefined)(
  `started by Node 20, the command goes on under the Node that comes with it${node20 === undefined ? ' (no Node 20 here)' : ''}`,
  async () => {
    const bin = join(folder, 'node_modules', 'vestry', 'bin', 'vestry.js')
    const { stdout } = await run(node20 as string, [bin, '--version'], { cwd: folder })
    expect(stdout.trim()).toBe(VERSION)
  },
)
