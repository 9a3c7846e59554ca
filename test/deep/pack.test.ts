import { execFile } from 'node:child_process'
import { existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { VERSION } from '@vestry/contract/version'
import { expect, test } from 'vitest'
import {
  doorsOf,
  emptyFolder,
  findNode,
  importDoors,
  manifestAt,
  PUBLISHED,
  type Published,
  pack,
} from '../harness/packed.ts'

const run = promisify(execFile)

test('npm installs the three packages into an empty folder, and they work there', async () => {
  const folder = emptyFolder()
  try {
    writeFileSync(join(folder, 'package.json'), '{"private":true,"type":"module"}')
    const names = Object.keys(PUBLISHED) as Published[]
    const files: string[] = []
    for (const name of names) files.push((await pack(name, folder)).file)
    const flags = ['--no-audit', '--no-fund', '--ignore-scripts', '--prefer-offline']
    await run('npm', ['install', ...flags, ...files], { cwd: folder })

    const modules = join(folder, 'node_modules')
    // One door is for those who have its peer, which is theirs to install.
    const doors = names
      .flatMap((name) => doorsOf(manifestAt(join(modules, name))))
      .filter((door) => door !== '@vestry/sdk/langchain')
    const exported = await importDoors(process.execPath, folder, doors)
    for (const door of doors) expect(exported[door], door).not.toEqual([])
    const node20 = await findNode(20)
    if (node20 !== undefined) await importDoors(node20, folder, doors)

    // The bundled Node is one of the optional packages: whatever started it, the command runs on that.
    const bin = join(modules, '.bin', 'vestry')
    const { stdout } = await run(bin, ['--version'], { cwd: folder })
    expect(stdout.trim()).toBe(VERSION)

    const home = join(folder, 'home')
    const passphrase = join(folder, 'passphrase')
    writeFileSync(passphrase, 'correct horse battery staple', { mode: 0o600 })
    await run(bin, ['init', '--passphrase-file', passphrase, '--home', home], { cwd: folder })
    expect(existsSync(join(home, 'data', 'vestry.db'))).toBe(true)
    expect(readdirSync(join(home, 'keys'))).toContain('operator.key')
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}, 180_000)
