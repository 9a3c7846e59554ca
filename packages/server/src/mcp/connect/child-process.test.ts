import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { expect, test } from 'vitest'
import { ServerProcess } from './child-process.ts'
import { MARK } from './process-table.ts'

test('what has ended is not ended again: its number may be another’s by now', async () => {
  const mark = `test-${process.pid}-${Date.now()}`
  const base = { PATH: process.env['PATH'] }
  const server = await ServerProcess.start({
    command: ['cat'],
    cwd: undefined,
    env: {},
    mark,
    base,
  })
  await server.close()
  expect(server.running).toBe(false)
  const other = spawn('sleep', ['20'], { env: { ...base, [MARK]: mark }, stdio: 'ignore' })
  try {
    await once(other, 'spawn')
    await server.kill()
    expect([other.exitCode, other.signalCode]).toEqual([null, null])
    process.kill(other.pid ?? 0, 0)
  } finally {
    other.kill('SIGKILL')
  }
})
