/**
 * From agents to the chained record: how many envelopes a second does the collector take, validated, redacted,
 * stamped, chained and acknowledged; and are a hundred thousand at ten thousand a second all there?
 */
import { fork } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { readLog } from '../packages/server/src/audit/query.ts'
import { removeHome, startScript, stop, temporaryHome } from './processes.ts'
import { report } from './report.ts'

const EVENTS = Number(process.env['BENCH_EVENTS'] ?? 100_000)
const PER_SECOND = 10_000

const home = temporaryHome({ telemetry: { lines_per_second: 1_000_000, lines_burst: 1_000_000 } })
const daemon = await startScript('./daemon-process.ts', [home])
const ready = JSON.parse(readFileSync(`${home}/run/ready.json`, 'utf8')) as {
  queue_socket: string
  pod_id: string
}

function line(seq: number, producer: string): string {
  return `${JSON.stringify({
    spec: 'aotp/0.1',
    kind: 'agent.tool.call',
    ts: new Date().toISOString(),
    ids: {
      session_id: 'sess_9f2c41d07be8a610',
      run_id: 'run_51b0c77e2d9a4f38',
      step_id: '',
      trace_id: 'tr_6e1f0a9c5b7d43e28f10c2b4d6e8a0f1',
      span_id: `sp_${seq.toString(16).padStart(16, '0')}`,
      parent_span_id: '',
    },
    subject: { agent_id: '', agent_role: '', framework: 'bench', framework_version: '1' },
    capture: { mode: 'none' },
    payload: {
      fn: 'work',
      op: 'tool',
      tool: { name: 'work' },
      preview: { args: ['<string len=2048>'], kwargs: {} },
    },
    producer: { id: producer, seq, pid: process.pid, tid: 0, lang: 'ts' },
  })}\n`
}

/** Writes as fast as it is read. @returns Envelopes per second, to the flush that says all are on disk. */
async function flood(count: number): Promise<number> {
  const producer = `p_${Date.now().toString(16).padStart(16, '0')}`
  const socket = connect(ready.queue_socket)
  await new Promise((resolve) => socket.once('connect', resolve))
  const flushed = new Promise<void>((resolve) => {
    let text = ''
    socket.on('data', (part) => {
      text += part.toString()
      if (text.includes('"aot_flushed"')) resolve()
      text = text.slice(-4_096)
    })
  })
  socket.write(
    `${JSON.stringify({ type: 'aot_hello', spec: 'aotp/0.1', producer, ack: true, framework: 'bench', version: '1' })}\n`,
  )
  const startedMs = performance.now()
  for (let seq = 1; seq <= count; ) {
    let batch = ''
    for (let n = 0; n < 64 && seq <= count; n += 1, seq += 1) batch += line(seq, producer)
    if (!socket.write(batch)) await new Promise((resolve) => socket.once('drain', resolve))
  }
  socket.write(`${JSON.stringify({ type: 'aot_flush', id: 1 })}\n`)
  await flushed
  const seconds = (performance.now() - startedMs) / 1_000
  socket.destroy()
  return count / seconds
}

/** A real agent at a steady rate. @returns What it says it emitted. */
function agent(): Promise<{ stats: { emitted: number; dropped: unknown } }> {
  const child = fork(
    new URL('coat-agent.ts', import.meta.url),
    ['none', String(EVENTS / 2), String(PER_SECOND / 2)],
    {
      execArgv: ['--conditions=source'],
      stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
      env: {
        PATH: process.env['PATH'],
        ENVPOD_POD_ID: ready.pod_id,
        ENVPOD_SOCKET: ready.queue_socket,
      },
    },
  )
  let text = ''
  child.stdout?.on('data', (part: Buffer) => {
    text += part.toString()
  })
  return new Promise((resolve, reject) => {
    child.once('exit', (code) =>
      code === 0
        ? resolve(JSON.parse(text.trim().split('\n').at(-1) ?? '{}'))
        : reject(new Error(`the agent exited with ${code}`)),
    )
  })
}

try {
  const emitted = await agent()
  let stored = 0
  for await (const { record } of readLog(`${home}/audit`))
    if (record.action === 'agent_event') stored += 1
  await flood(20_000)
  const rounds: number[] = []
  for (let round = 0; round < 3; round += 1) rounds.push(await flood(EVENTS))
  report('telemetry', {
    at_10_000_a_second: {
      emitted: emitted.stats.emitted,
      stored,
      dropped: emitted.stats.dropped,
    },
    flood_per_second: rounds,
  })
} finally {
  await stop(daemon)
  removeHome(home)
}
