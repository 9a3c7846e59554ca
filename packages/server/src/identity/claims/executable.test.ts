import { type ChildProcess, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { copyFileSync, mkdtempSync, readFileSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { Executables } from './executable.ts'

const sha256 = (path: string) => createHash('sha256').update(readFileSync(path)).digest('hex')

async function running(program: string): Promise<ChildProcess> {
  const child = spawn(program, ['20'])
  onTestFinished(() => void child.kill('SIGKILL'))
  await once(child, 'spawn')
  return child
}

describe.runIf(process.platform === 'linux')('the program of a process', () => {
  test('is the file that runs, whatever lies at its path by now', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'vestry-exe-'))
    onTestFinished(() => rmSync(dir, { recursive: true }))
    const path = join(realpathSync(dir), 'agent')
    const sleep = realpathSync('/bin/sleep')
    copyFileSync(sleep, path)
    const child = await running(path)
    const executables = new Executables()
    expect(await executables.of(child.pid ?? 0)).toEqual({ path, sha256: sha256(sleep) })
    rmSync(path)
    copyFileSync('/bin/cat', path)
    expect(await executables.of(child.pid ?? 0)).toEqual({
      path: `${path} (deleted)`,
      sha256: sha256(sleep),
    })
  })

  test('is not known of one that is gone', async () => {
    expect(await new Executables().of(4_194_400)).toBeUndefined()
  })
})
