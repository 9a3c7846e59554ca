import { type ChildProcess, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { copyFileSync, mkdtempSync, readFileSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { Executables } from './executable.ts'
import { processTable } from './process-table.ts'

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
    const found = await executables.of(child.pid ?? 0)
    expect(found).toMatchObject({ path, sha256: sha256(sleep) })
    expect(found?.file).toBe(processTable.program(child.pid ?? 0))
    rmSync(path)
    copyFileSync('/bin/cat', path)
    expect(await executables.of(child.pid ?? 0)).toEqual({
      path: `${path} (deleted)`,
      sha256: sha256(sleep),
      file: found?.file,
    })
  })

  test('is another file once the process has become something else', async () => {
    const child = spawn('/bin/sh', ['-c', 'read go; exec /bin/sleep 20'], { stdio: 'pipe' })
    onTestFinished(() => void child.kill('SIGKILL'))
    await once(child, 'spawn')
    const pid = child.pid ?? 0
    const { file } = (await new Executables().of(pid)) ?? {}
    const { startTime } = processTable.read(pid) ?? {}
    expect(file).toBe(processTable.program(pid))
    child.stdin.write('\n')
    await expect.poll(() => processTable.program(pid)).not.toBe(file)
    expect(processTable.read(pid)?.startTime).toBe(startTime)
  })

  test('is not known of one that is gone', async () => {
    expect(await new Executables().of(4_194_400)).toBeUndefined()
  })
})
