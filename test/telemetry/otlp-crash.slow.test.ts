/** A daemon that is killed while its receiver is away: what was stored arrives, however often it dies. */
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { expect, test } from 'vitest'
import { stringify } from 'yaml'
import { temporaryHome } from '../harness/boot.ts'
import { DaemonProcess } from '../harness/daemon-process.ts'
import { attributesOf } from './otlp-decode.ts'
import { startReceiver } from './otlp-receiver.ts'

const ROUNDS = 4
const EVENTS = 400

function lines(round: number): string {
  const TRACE = `tr_${String(round + 1).padStart(32, '0')}`
  return Array.from({ length: EVENTS }, (_, at) => {
    const start = at % 2 === 0
    const envelope = {
      spec: 'aotp/0.1',
      kind: start ? 'agent.step.start' : 'agent.step.end',
      ts: new Date().toISOString(),
      ids: {
        session_id: 'sess_1',
        run_id: '',
        step_id: '',
        trace_id: TRACE,
        span_id: `sp_${((at >> 1) + 1).toString(16).padStart(16, '0')}`,
        parent_span_id: '',
      },
      subject: { agent_id: '', agent_role: '', framework: 'envpod-coat', framework_version: '0' },
      capture: { mode: 'none' },
      payload: start
        ? { fn: `${round}-${at}`, op: 'step' }
        : { fn: `${round}-${at}`, op: 'step', status: 'ok', duration_ms: 1 },
      producer: { id: `p_${round}`, seq: at + 1 },
    }
    return `${JSON.stringify(envelope)}\n`
  }).join('')
}

/** Written, and on disk. */
async function store(path: string, text: string): Promise<void> {
  const socket = connect(path)
  await once(socket, 'connect')
  socket.write(text)
  socket.write(`${JSON.stringify({ type: 'aot_flush', id: 1 })}\n`)
  let answered = ''
  for await (const chunk of socket) {
    answered += String(chunk)
    if (answered.includes('aot_flushed')) break
  }
  socket.destroy()
}

test('telemetry §16.43: killed again and again during an outage, every stored event arrives', async () => {
  using home = temporaryHome()
  const away = await startReceiver()
  const { port, endpoint } = away
  await away.close()
  writeFileSync(home.config, stringify({ telemetry: { otel: { endpoint } } }), { mode: 0o600 })
  for (let round = 0; round < ROUNDS; round += 1) {
    await using daemon = await DaemonProcess.start(home.dir)
    await store(daemon.ready.queue_socket as string, lines(round))
    await new Promise((resolve) => setTimeout(resolve, 200 * round))
    await daemon.kill()
  }
  await using receiver = await startReceiver(port)
  await using daemon = await DaemonProcess.start(home.dir)
  const wanted = new Set(
    Array.from({ length: ROUNDS * EVENTS }, (_, at) => `${Math.floor(at / EVENTS)}-${at % EVENTS}`),
  )
  const got = () => new Set(receiver.logs.map((record) => attributesOf(record)['envpod.fn']))
  await receiver.until(() => got().size >= wanted.size, 'all events')
  expect(got()).toEqual(wanted)
  const spans = () =>
    new Set(receiver.spans.map(({ traceId, spanId }) => `${traceId} ${spanId}`)).size
  await receiver.until(() => spans() >= (ROUNDS * EVENTS) / 2, 'all spans')
  expect(receiver.spans.every((span) => !('envpod.incomplete' in attributesOf(span)))).toBe(true)
  await daemon.stop()
})
