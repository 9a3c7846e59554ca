import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, test } from 'vitest'
import { type Child, startChild } from './process.test-kit.ts'

const program = fileURLToPath(new URL('runner-agent.test-kit.ts', import.meta.url))
const directories: string[] = []
const children: Child[] = []

afterAll(async () => {
  for (const child of children) child.process.kill('SIGKILL')
  for (const directory of directories) await rm(directory, { recursive: true, force: true })
})

async function start(behaviour: string, graceMs = 10_000): Promise<Child & { out: string }> {
  const directory = await mkdtemp(join(tmpdir(), 'sage-'))
  directories.push(directory)
  const out = join(directory, 'out')
  const child = startChild(
    process.execPath,
    ['--conditions=source', '--no-warnings', program, 'ignored', '--flags'],
    {
      BEHAVIOUR: behaviour,
      GRACE_MS: String(graceMs),
      RUN_ID: 'run-1',
      ORG_ID: 'org-1',
      REPO_PATH: directory,
      OUTPUT_PATH: out,
      SAGE_LOG_FORMAT: 'json',
    },
  )
  children.push(child)
  return { ...child, out }
}

const events = (lines: readonly Record<string, unknown>[]) => lines.map(({ event }) => event)
const output = ({ out }: { out: string }) => readFile(join(out, 'out.txt'), 'utf8')

describe.concurrent('sage §21.33: a run ends', () => {
  test('with the result’s code and its output, on stderr alone', async () => {
    const child = await start('finish-at-once')
    const { code, stdout, stderr, lines } = await child.ended
    expect([code, stdout]).toEqual([3, ''])
    expect(stderr.split('\n').filter((line) => line !== '' && !line.startsWith('{'))).toEqual([
      'reached run',
    ])
    expect(events(lines)).toEqual([
      'initializing_context',
      'agent_starting',
      'output_written',
      'agent_completed',
    ])
    expect(await output(child)).toBe('done partial=false')
    expect(await readdir(child.out)).toEqual(['out.txt'])
  })

  test('within a second after the agent, whatever it left open', async () => {
    const { code, ms } = await (await start('lingering')).ended
    expect(code).toBe(4)
    expect(ms).toBeLessThan(8000)
  })

  test('with 1 when something nobody caught goes wrong', async () => {
    const { code, lines } = await (await start('crash')).ended
    expect(code).toBe(1)
    expect(lines.at(-1)).toMatchObject({
      event: 'unexpected_error',
      error: 'nobody catches this',
      exception: expect.stringContaining('at '),
    })
  })
})

describe.concurrent('sage §21.35: a signal', () => {
  test.each(['SIGTERM', 'SIGINT'] as const)(
    '%s lets the agent hand back what it has, as a part: 130',
    async (signal) => {
      const child = await start('polite')
      await child.sees('reached run')
      child.process.kill(signal)
      const { code, stdout, lines } = await child.ended
      expect([code, stdout]).toEqual([130, ''])
      expect(events(lines)).toEqual([
        'initializing_context',
        'agent_starting',
        'shutdown_signal_received',
        'agent_cancelled',
        'output_written',
        'agent_completed',
      ])
      expect(lines[2]).toMatchObject({ signal, run_id: 'run-1', org_id: 'org-1' })
      expect(lines.at(-1)).toMatchObject({ exit_code: 130 })
      expect(await output(child)).toBe('stopped true partial=true')
    },
  )

  test.each(['slow-context', 'slow-input'])('during %s ends the run: 130', async (behaviour) => {
    const child = await start(behaviour)
    await child.sees(`reached ${behaviour.slice(5)}`)
    child.process.kill('SIGTERM')
    const sent = performance.now()
    const { code, lines } = await child.ended
    expect(code).toBe(130)
    expect(performance.now() - sent).toBeLessThan(5000)
    expect(events(lines)).toContain('agent_cancelled')
  })

  test('a stubborn agent has its grace and no more: 130', async () => {
    const child = await start('stubborn', 300)
    await child.sees('reached run')
    child.process.kill('SIGTERM')
    const sent = performance.now()
    const { code, lines } = await child.ended
    expect(code).toBe(130)
    expect(performance.now() - sent).toBeGreaterThan(290)
    expect(performance.now() - sent).toBeLessThan(6000)
    expect(events(lines)).toEqual([
      'initializing_context',
      'agent_starting',
      'shutdown_signal_received',
      'agent_cancelled',
    ])
  })

  test('the second one does not wait: 130', async () => {
    const child = await start('stubborn', 60_000)
    await child.sees('reached run')
    child.process.kill('SIGTERM')
    await child.sees('shutdown_signal_received')
    child.process.kill('SIGINT')
    const sent = performance.now()
    const { code, lines } = await child.ended
    expect(code).toBe(130)
    expect(performance.now() - sent).toBeLessThan(5000)
    expect(events(lines)).toContain('agent_interrupted')
  })

  test('that comes when the agent is done changes nothing', async () => {
    const blocked = await start('block')
    await blocked.sees('reached run')
    blocked.process.kill('SIGTERM')
    expect((await blocked.ended).code).toBe(0)
    const writing = await start('slow-write')
    await writing.sees('reached write')
    writing.process.kill('SIGTERM')
    expect((await writing.ended).code).toBe(0)
    expect(await output(writing)).toBe('whole partial=false')
    const lingering = await start('lingering')
    await lingering.sees('agent_completed')
    await new Promise((resolve) => setTimeout(resolve, 30))
    lingering.process.kill('SIGTERM')
    expect((await lingering.ended).code).toBe(4)
  })
})
