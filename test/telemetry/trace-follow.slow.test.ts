/** `vestry trace --follow` on a terminal: what was drawn is drawn over, and silence after the end is the end. */
import { expect, test } from 'vitest'
import { fakeTerminal } from '../../packages/server/src/cli/fake-terminal.test-kit.ts'
import { runProgram } from '../../packages/server/src/cli/program.ts'
import { startTestDaemon } from '../harness/daemon.ts'
import { envelope, QueueClient, recordsOnce } from './queue-client.ts'

const TRACE = `tr_${'5'.repeat(32)}`
const ROWS = 8

const ids = (n: number, parent = '') => ({
  ...{ session_id: '', run_id: '', step_id: '', trace_id: TRACE },
  ...{ span_id: `sp_${String(n).padStart(16, 'a')}`, parent_span_id: parent },
})

test('a trace is drawn in its place, never more than fits, until all of it has ended and nothing comes', async () => {
  await using vestry = await startTestDaemon()
  const queue = await QueueClient.connect(String(vestry.daemon.ready.queue_socket))
  const root = ids(1)
  queue.send(envelope({ kind: 'agent.run.start', ids: root, payload: { fn: 'slow', op: 'run' } }))
  await recordsOnce(vestry, 'agent_event', 1)

  const terminal = fakeTerminal({ input: '', isTTY: true, env: { TERM: 'xterm' } })
  Object.assign(terminal.stdout, { columns: 80, rows: ROWS })
  const argv = ['--home', vestry.home.dir, 'trace', TRACE, '--follow']
  const ended = runProgram(argv, terminal, new AbortController().signal)
  await expect.poll(terminal.out, { timeout: 15_000 }).toContain('slow')
  for (let n = 2; n < 12; n += 1) {
    const step = { ids: ids(n, root.span_id), payload: { fn: `step${n}`, op: 'step' } }
    queue.send(envelope({ kind: 'agent.step.start', ...step }))
    queue.send(
      envelope({ kind: 'agent.step.end', ...step, payload: { ...step.payload, status: 'ok' } }),
    )
  }
  queue.send(envelope({ kind: 'agent.run.end', ids: root, payload: { fn: 'slow', status: 'ok' } }))
  expect(await ended).toBe(0)
  queue.end()

  const drawings = terminal.out().split('\u001b[0J').slice(1)
  expect(drawings.length).toBeGreaterThan(1)
  for (const drawing of drawings)
    expect(drawing.replace(/\n[^\n]*$/, '').split('\n').length).toBeLessThanOrEqual(ROWS - 2)
  expect(drawings.at(-1)).toMatch(/… \d+ more/)
  expect(drawings.at(-1)).toMatch(/total.* {2}11 spans/)
  // Each one begins where the one before it began.
  expect(terminal.out()).toContain('A\r\u001b[0J')
})

test('an id under which nothing is ever recorded is given up after a while', async () => {
  await using vestry = await startTestDaemon()
  const terminal = fakeTerminal({ input: '' })
  const argv = ['--home', vestry.home.dir, 'trace', `tr_${'6'.repeat(32)}`, '--follow']
  expect(await runProgram(argv, terminal, new AbortController().signal)).toBe(1)
  expect(terminal.err()).toContain('NOT_FOUND')
}, 60_000)
