/** Lock-step callers on many connections: requests per second and latencies in microseconds. */
import { connect, type Socket } from 'node:net'
import { signHex } from '../test/harness/keys.ts'

export interface Load {
  readonly path: string
  readonly connections: number
  readonly seconds: number
  readonly warmupSeconds: number
  /** Logs each connection in first. */
  readonly agent?: { name: string; seed: Uint8Array }
  readonly method: string
  readonly params: (n: number) => Record<string, unknown>
  /** Sent after each answer on the same connection, not counted. */
  readonly after?: (
    result: Record<string, unknown>,
  ) => { method: string; params: Record<string, unknown> } | undefined
}

export interface Measured {
  readonly perSecond: number
  readonly p50: number
  readonly p99: number
}

export async function runLoad(load: Load): Promise<Measured> {
  const connections = await Promise.all(Array.from({ length: load.connections }, () => open(load)))
  const started = performance.now()
  const counting = started + load.warmupSeconds * 1000
  const end = counting + load.seconds * 1000
  const latencies: number[] = []
  let count = 0
  await Promise.all(
    connections.map(async (connection, index) => {
      for (let n = index; performance.now() < end; n += load.connections) {
        const before = performance.now()
        const result = await connection.call(load.method, load.params(n))
        const now = performance.now()
        if (now >= counting && now < end) {
          count += 1
          latencies.push((now - before) * 1000)
        }
        const next = load.after?.(result)
        if (next !== undefined) await connection.call(next.method, next.params)
      }
    }),
  )
  for (const connection of connections) connection.close()
  latencies.sort((a, b) => a - b)
  const at = (share: number) => Math.round(latencies[Math.floor(latencies.length * share)] ?? 0)
  return { perSecond: Math.round(count / load.seconds), p50: at(0.5), p99: at(0.99) }
}

async function open({ path, agent }: Load): Promise<Caller> {
  const caller = await Caller.connect(path)
  if (agent !== undefined) {
    const { session_id, challenge } = await caller.call('authenticate', { agent_name: agent.name })
    const signature = signHex(agent.seed, Buffer.from(String(challenge), 'hex'))
    await caller.call('challenge_response', { session_id, signature })
  }
  return caller
}

export class Caller {
  readonly #socket: Socket
  #waiting: ((result: Record<string, unknown>) => void) | undefined
  #failed: ((error: Error) => void) | undefined
  #buffer: Buffer | undefined
  #id = 0

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.on('data', (chunk: Buffer) => this.#onData(chunk))
    socket.on('error', (error) => this.#failed?.(error))
  }

  static connect(path: string): Promise<Caller> {
    return new Promise((resolve, reject) => {
      const socket = connect({ path })
      socket.once('error', reject)
      socket.once('connect', () => resolve(new Caller(socket)))
    })
  }

  call(method: string, params: Record<string, unknown>): Promise<Record<string, unknown>> {
    this.#id += 1
    const text = JSON.stringify({ id: this.#id, method, params })
    const size = Buffer.byteLength(text)
    const frame = Buffer.allocUnsafe(4 + size)
    frame.writeUInt32BE(size, 0)
    frame.write(text, 4)
    return new Promise((resolve, reject) => {
      this.#waiting = resolve
      this.#failed = reject
      this.#socket.write(frame)
    })
  }

  close(): void {
    this.#socket.end()
  }

  #onData(chunk: Buffer): void {
    const bytes = this.#buffer === undefined ? chunk : Buffer.concat([this.#buffer, chunk])
    if (bytes.length < 4 || bytes.length < 4 + bytes.readUInt32BE(0)) {
      this.#buffer = bytes
      return
    }
    this.#buffer = undefined
    const message = JSON.parse(bytes.toString('utf8', 4)) as {
      result?: Record<string, unknown>
      error?: { code: string; detail: string }
    }
    if (message.error !== undefined) {
      this.#failed?.(new Error(`${message.error.code}: ${message.error.detail}`))
    } else this.#waiting?.(message.result ?? {})
  }
}
