/** The published Python producer and the original action client, as stand-ins, on the daemon's queue socket. */
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { AuditRecord } from '../../../packages/server/src/audit/record.ts'
import { startTestDaemon, type TestDaemon } from '../../harness/daemon.ts'
import { noPython } from '../client-process.ts'

const here = import.meta.dirname

/** What the documentation shows, with functions that do nothing. */
const QUICK_START = `
class Response:
    content = "done"

@coat("llm")
def ask_claude(messages):
    return Response()

@coat(Op.TOOL)
def write_file(path, content):
    tie("batch", {"i": 1, "size": 2})
    if path == "": raise ValueError("no path")

@coat("run")
async def refactor():
    response = ask_claude([{"role": "user", "content": "refactor main.py"}])
    write_file("main.py", response.content)
    try:
        write_file("", "")
    except ValueError:
        pass

for _ in range(COUNT):
    asyncio.run(refactor())
`
/** Of one round: two each for the run, the call of the model and both calls of the tool, and two ties. */
const PER_ROUND = 10

async function produce(rounds: number, env: Record<string, string>) {
  const child = spawn(
    'python3',
    [join(here, 'py-coat.py'), QUICK_START.replace('COUNT', String(rounds))],
    { env: { PATH: process.env['PATH'] ?? '', ...env }, stdio: ['ignore', 'ignore', 'pipe'] },
  )
  onTestFinished(() => void child.kill('SIGKILL'))
  const ended = new Promise((resolve) => child.once('exit', resolve))
  const stderr = await text(child.stderr)
  return { pid: child.pid ?? -1, code: await ended, stderr }
}

type Answer = Readonly<Record<string, unknown>>

function actionClient(path: string) {
  const child = spawn('python3', [join(here, 'py-actions.py'), path], {
    env: { PATH: process.env['PATH'] ?? '' },
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  return async (request: Answer): Promise<Answer> => {
    child.stdin.write(`${JSON.stringify(request)}\n`)
    const { value, done } = await answers.next()
    if (done === true) throw new Error('the client ended')
    return JSON.parse(value) as Answer
  }
}

const events = (vestry: TestDaemon): AuditRecord[] =>
  vestry
    .auditLines()
    .map((line) => JSON.parse(line) as AuditRecord)
    .filter(({ action }) => action === 'agent_event')

async function eventsOnce(vestry: TestDaemon, count: number): Promise<AuditRecord[]> {
  const endsAt = performance.now() + 20_000
  while (events(vestry).length < count && performance.now() < endsAt)
    await new Promise((resolve) => setTimeout(resolve, 50))
  return events(vestry)
}

const pod = (vestry: TestDaemon) => ({
  ENVPOD_POD_ID: 'pod_demo',
  ENVPOD_SOCKET: vestry.daemon.ready.queue_socket ?? '',
  ENVPOD_AGENT_ID: 'somebody else',
  ENVPOD_AGENT_ROLE: 'admin',
})

describe.skipIf(noPython !== undefined)(`older clients${noPython ? `: ${noPython}` : ''}`, () => {
  test('telemetry §16.23: a Python producer and an action client work side by side; neither uses up the other’s limits', async () => {
    await using vestry = await startTestDaemon()
    const ask = actionClient(vestry.daemon.ready.queue_socket ?? '')
    const producing = produce(30, pod(vestry))
    expect(await ask({ type: 'list_actions' })).toEqual({ ok: true, status: 'ok', actions: [] })
    const queued = await ask({ type: 'submit', description: 'delete the old ledger' })
    expect(queued).toMatchObject({
      id: expect.any(String),
      status: 'queued',
      message: expect.any(String),
    })
    expect(await ask({ type: 'poll', id: queued['id'] })).toMatchObject({ status: 'queued' })
    expect(await ask({ type: 'call', action: 'git_commit', params: {} })).toMatchObject({
      status: 'blocked',
    })
    expect(await ask({ type: 'dance' })).toMatchObject({
      status: 'error',
      message: expect.stringMatching(/^invalid request: /),
    })
    // Twenty submissions a minute, however much telemetry there is.
    const statuses: unknown[] = []
    for (let i = 2; i <= 21; i += 1)
      statuses.push((await ask({ type: 'submit', description: `thing ${i}` }))['status'])
    expect(statuses).toEqual([...Array.from({ length: 19 }, () => 'queued'), 'rate_limited'])
    const produced = await producing
    expect(produced).toMatchObject({ code: 0, stderr: '' })
    // Hundreds of lines in a moment, which is beyond what actions may be.
    const stored = await eventsOnce(vestry, 30 * PER_ROUND)
    expect(stored).toHaveLength(30 * PER_ROUND)
    expect(await ask({ type: 'poll', id: queued['id'] })).toMatchObject({ status: 'queued' })
    expect(new Set(stored.map(({ pid }) => pid))).toEqual(new Set([produced.pid]))
    expect(vestry.auditLines().join('\n')).not.toContain('coat_gap')
  })

  test('a Python producer’s events are stored under its process, whoever it says it is, with its spans as it tells them', async () => {
    await using vestry = await startTestDaemon()
    const { pid } = await produce(1, pod(vestry))
    const stored = await eventsOnce(vestry, PER_ROUND)
    expect(stored.map(({ event }) => (event as { kind: string }).kind)).toEqual([
      'agent.run.start',
      'agent.llm.request',
      'agent.llm.response',
      'agent.tool.call',
      'x.coat.tie',
      'agent.tool.result',
      'agent.tool.call',
      'x.coat.tie',
      'agent.tool.result',
      'agent.run.end',
    ])
    const [run, llm] = stored
    expect(run).toMatchObject({
      actor: 'anonymous',
      pid,
      event: {
        subject: { agent_id: '', agent_role: '', framework_version: '0.1.16' },
        envpod: { claim_kind: 'anonymous', pid, overwrote: expect.any(Array) },
      },
    })
    expect(llm?.span?.parent_span_id).toBe(run?.span?.span_id)
    expect(run?.span?.span_id).toMatch(/^sp_[0-9a-f]{8}$/)
    const failed = stored.filter(({ success }) => !success)
    expect(failed).toHaveLength(1)
    expect(failed[0]?.event).toMatchObject({
      payload: { status: 'error', error: { type: 'ValueError' } },
    })
  })

  test('without the socket it falls back to stderr, as it always did', async () => {
    const { code, stderr } = await produce(1, {
      ENVPOD_POD_ID: 'pod_demo',
      ENVPOD_SOCKET: '/nonexistent/queue.sock',
    })
    expect(code).toBe(0)
    expect(stderr.split('\n').filter((line) => line.startsWith('[coat] '))).toHaveLength(PER_ROUND)
  })
})
