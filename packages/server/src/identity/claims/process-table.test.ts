import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { expect, onTestFinished, test } from 'vitest'
import { parseStat, processTable } from './process-table.ts'

const onLinux = process.platform === 'linux'

test('the name of a process may hold what it likes', () => {
  const fields = ['S', '1', '7', '70', ...Array<string>(15).fill('0'), '4711', '0'].join(' ')
  for (const name of ['node', 'a b', ')', 'x) Z 9 (', '(('])
    expect(parseStat(7, `7 (${name}) ${fields}\n`), name).toEqual({
      pid: 7,
      parentPid: 1,
      sessionId: 70,
      startTime: '4711',
      ended: false,
    })
  expect(parseStat(7, '7 (node) S 1')).toBeUndefined()
})

test.runIf(onLinux)('this process is in it, with its own start, parent and user', () => {
  const facts = processTable.read(process.pid)
  expect(facts).toMatchObject({ pid: process.pid, parentPid: process.ppid, ended: false })
  expect(facts?.startTime).toBe(processTable.read(process.pid)?.startTime)
  expect(processTable.owner(process.pid)).toMatchObject({ uid: process.geteuid?.() })
  expect(processTable.bootId()).toMatch(/^[0-9a-f-]{36}$/)
})

test.runIf(onLinux)('what has ended is not, and what nobody has reaped yet is marked', async () => {
  expect(processTable.read(4_194_400)).toBeUndefined()
  // A shell that has become another program does not ask for its child's exit code.
  const shell = spawn('/bin/sh', ['-c', 'sleep 0.2 & echo $!; exec sleep 20'])
  onTestFinished(() => void shell.kill('SIGKILL'))
  const [line] = (await once(shell.stdout, 'data')) as [Buffer]
  const zombie = Number(line.toString())
  await expect
    .poll(() => readFileSync(`/proc/${zombie}/stat`, 'latin1').includes(') Z '))
    .toBe(true)
  expect(processTable.read(zombie)).toMatchObject({ parentPid: shell.pid, ended: true })
})
