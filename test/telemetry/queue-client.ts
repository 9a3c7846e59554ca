/** A raw client of the queue socket: writes lines as they are given, and waits for answers. */
import { createConnection, type Socket } from 'node:net'
import type { AuditRecord } from '../../packages/server/src/audit/record.ts'
import type { TestDaemon } from '../harness/daemon.ts'

type Message = Record<string, unknown>

export class QueueClient {
  readonly socket: Socket
  readonly answers: Message[] = []
  #text = ''
  #wake: (() => void)[] = []
  closed = false

  constructor(socket: Socket) {
    this.socket = socket
    socket.setEncoding('utf8')
    socket.on('data', (text: string) => {
      this.#text += text
      const lines = this.#text.split('\n')
      this.#text = lines.pop() ?? ''
      for (const line of lines) this.answers.push(JSON.parse(line) as Message)
      this.#tell()
    })
    socket.on('error', () => undefined)
    socket.on('close', () => {
      this.closed = true
      this.#tell()
    })
  }

  static connect(path: string): Promise<QueueClient> {
    return new Promise((resolve, reject) => {
      const socket = createConnection(path)
      socket.once('error', reject)
      socket.once('connect', () => resolve(new QueueClient(socket)))
    })
  }

  send(...lines: (Message | string)[]): void {
    const text = lines.map((line) => (typeof line === 'string' ? line : JSON.stringify(line)))
    this.socket.write(`${text.join('\n')}\n`)
  }

  /** The next answer for which `wanted` holds, earlier ones included. */
  async answer(wanted: (message: Message) => boolean): Promise<Message> {
    const endsAt = performance.now() + 20_000
    while (performance.now() < endsAt) {
      const found = this.answers.find(wanted)
      if (found !== undefined) {
        this.answers.splice(this.answers.indexOf(found), 1)
        return found
      }
      if (this.closed) throw new Error('the connection was closed before the answer')
      await new Promise<void>((resolve) => {
        this.#wake.push(resolve)
        setTimeout(resolve, 500)
      })
    }
    throw new Error(`no such answer among ${JSON.stringify(this.answers)}`)
  }

  ofType(type: string): Promise<Message> {
    return this.answer((message) => message['type'] === type)
  }

  /** One request of the action lane. */
  ask(line: Message): Promise<Message> {
    this.send(line)
    return this.answer(({ status }) => status !== undefined)
  }

  async ended(): Promise<void> {
    while (!this.closed) await new Promise<void>((resolve) => this.#wake.push(resolve))
  }

  end(): void {
    this.socket.end()
  }

  #tell(): void {
    for (const wake of this.#wake.splice(0)) wake()
  }
}

/** An envelope that is as it should be, with `changes` on top. */
export function envelope(changes: Message = {}): Message {
  return {
    spec: 'aotp/0.1',
    kind: 'agent.step.start',
    ts: new Date().toISOString(),
    ids: {
      session_id: 'sess_9f2c41d07be8a610',
      run_id: 'run_51b0c77e2d9a4f38',
      step_id: '',
      trace_id: 'tr_6e1f0a9c5b7d43e28f10c2b4d6e8a0f1',
      span_id: 'sp_2b9d4c7e01f3a586',
      parent_span_id: '',
    },
    subject: { agent_id: '', agent_role: '', framework: 'envpod-coat', framework_version: '0.1.0' },
    capture: { mode: 'redacted' },
    payload: { fn: 'work', op: 'step', preview: { args: [1], kwargs: {} } },
    ...changes,
  }
}

export function numbered(seq: number, id = 'p_77aa10e4c2d98b35', changes: Message = {}): Message {
  return envelope({ producer: { id, seq, pid: 1, tid: 0, lang: 'ts' }, ...changes })
}

export function records(daemon: TestDaemon, action: string): AuditRecord[] {
  return daemon
    .auditLines()
    .map((line) => JSON.parse(line) as AuditRecord)
    .filter((record) => record.action === action)
}

/** Once there are `count` of them. */
export async function recordsOnce(
  daemon: TestDaemon,
  action: string,
  count: number,
): Promise<AuditRecord[]> {
  const endsAt = performance.now() + 20_000
  for (;;) {
    const found = records(daemon, action)
    if (found.length >= count) return found
    if (performance.now() > endsAt)
      throw new Error(`${found.length} of ${count} records of ${action}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
