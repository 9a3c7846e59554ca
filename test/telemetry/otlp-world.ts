/** Envelopes of one model call, as an agent writes them to the queue socket. */
import { once } from 'node:events'
import { connect } from 'node:net'
import type { TestDaemon } from '../harness/daemon.ts'

export const CANARY = 'canary-of-the-journey'
export const TRACE = '6e1f0a9c5b7d43e28f10c2b4d6e8a0f1'

function line(kind: string, payload: object, ids: Record<string, string> = {}): string {
  const envelope = {
    spec: 'aotp/0.1',
    kind,
    ts: new Date().toISOString(),
    ids: {
      session_id: 'sess_9f2c41d07be8a610',
      run_id: 'run_51b0c77e2d9a4f38',
      step_id: '',
      trace_id: `tr_${TRACE}`,
      span_id: 'sp_2b9d4c7e01f3a586',
      parent_span_id: '',
      ...ids,
    },
    subject: { agent_id: '', agent_role: '', framework: 'envpod-coat', framework_version: '0.1.0' },
    capture: { mode: 'redacted' },
    payload,
  }
  return `${JSON.stringify(envelope)}\n`
}

export async function write(path: string, ...lines: string[]): Promise<void> {
  const socket = connect(path)
  await once(socket, 'connect')
  socket.end(lines.join(''))
  socket.resume()
  await once(socket, 'close')
}

export const START = line('agent.llm.request', {
  fn: 'askModel',
  op: 'llm',
  operation: 'chat',
  provider: 'anthropic',
  model: 'claude-sonnet-4-6',
  messages: { count: 1, roles: ['user'], chars: [14] },
  preview: { args: [[{ role: 'user', content: `check ${CANARY}` }]], kwargs: {} },
})
export const END = line('agent.llm.response', {
  fn: 'askModel',
  op: 'llm',
  status: 'ok',
  duration_ms: 1204,
  usage: { input: 812, output: 164 },
  preview: { result: `done ${CANARY}` },
})
export const TIE = line(
  'x.coat.tie',
  { name: 'half', data: { so: CANARY } },
  { span_id: 'sp_00f067aa0ba902b7', parent_span_id: 'sp_2b9d4c7e01f3a586' },
)

export function queueOf(test: Pick<TestDaemon, 'daemon'>): string {
  const { queue_socket: path } = test.daemon.ready
  if (path === undefined) throw new Error('there is no queue socket')
  return path
}
