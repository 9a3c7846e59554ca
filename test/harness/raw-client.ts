/** A client written from the wire description alone: frames in, frames out, nothing hidden. */
import { createConnection, type NetConnectOpts, type Socket } from 'node:net'
import { signHex } from './keys.ts'

export interface Frame {
  id: number | string | null
  // biome-ignore lint/suspicious/noExplicitAny: tests assert on whatever came
  result?: any
  // biome-ignore lint/suspicious/noExplicitAny: tests assert on whatever came
  error?: any
}

export class RpcFailure extends Error {
  readonly code: string
  // biome-ignore lint/suspicious/noExplicitAny: tests assert on whatever came
  readonly error: any

  // biome-ignore lint/suspicious/noExplicitAny: tests assert on whatever came
  constructor(error: any) {
    super(`${error.code}: ${error.detail}`)
    this.code = error.code
    this.error = error
  }
}

export function encode(message: unknown): Buffer {
  return frameOf(Buffer.from(JSON.stringify(message), 'utf8'))
}

export function frameOf(body: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(4 + body.length)
  frame.writeUInt32BE(body.length, 0)
  frame.set(body, 4)
  return frame
}

export class RawClient {
  readonly socket: Socket
  readonly #frames: Frame[] = []
  readonly #waiting: ((frame: Frame | undefined) => void)[] = []
  #buffer = Buffer.alloc(0)
  #ended = false
  #nextId = 1
  /** Every frame that ever arrived. */
  received = 0
  lastSessionId: string | undefined

  private constructor(socket: Socket) {
    this.socket = socket
    socket.on('data', (chunk: Buffer) => this.#onData(chunk))
    socket.on('error', () => undefined)
    const end = () => {
      this.#ended = true
      for (const waiter of this.#waiting.splice(0)) waiter(undefined)
    }
    socket.on('end', end)
    socket.on('close', end)
  }

  static connect(where: NetConnectOpts): Promise<RawClient> {
    return new Promise((resolve, reject) => {
      const socket = createConnection(where)
      socket.once('error', reject)
      socket.once('connect', () => {
        socket.removeListener('error', reject)
        resolve(new RawClient(socket))
      })
    })
  }

  get ended(): boolean {
    return this.#ended
  }

  write(bytes: Uint8Array): void {
    this.socket.write(bytes)
  }

  send(message: unknown): void {
    this.write(encode(message))
  }

  /** The next frame in arrival order; undefined when the daemon closed. */
  next(timeoutMs = 10_000): Promise<Frame | undefined> {
    const ready = this.#frames.shift()
    if (ready !== undefined) return Promise.resolve(ready)
    if (this.#ended) return Promise.resolve(undefined)
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new Error(`no frame within ${timeoutMs} ms`)),
        timeoutMs,
      )
      this.#waiting.push((frame) => {
        clearTimeout(timer)
        resolve(frame)
      })
    })
  }

  /** One call in lock-step. @throws RpcFailure */
  // biome-ignore lint/suspicious/noExplicitAny: tests assert on whatever came
  async call(method: string, params: unknown = {}, timeoutMs?: number): Promise<any> {
    const id = this.#nextId++
    this.send({ id, method, params })
    for (;;) {
      const frame = await this.next(timeoutMs)
      if (frame === undefined) throw new Error(`closed while waiting for ${method}`)
      if (frame.id !== id) throw new Error(`got id ${frame.id} instead of ${id}`)
      if (frame.error) throw new RpcFailure(frame.error)
      return frame.result
    }
  }

  async login(
    keys: { name: string; seed: Uint8Array },
    member = 'agent_name',
    more: Record<string, unknown> = {},
    // biome-ignore lint/suspicious/noExplicitAny: tests assert on whatever came
  ): Promise<any> {
    const asked = { [member]: keys.name, ...more }
    const { session_id, challenge } = await this.call('authenticate', asked)
    this.lastSessionId = session_id
    const signature = signHex(keys.seed, Buffer.from(challenge, 'hex'))
    return this.call('challenge_response', { session_id, signature })
  }

  end(): void {
    this.socket.end()
  }

  destroy(): void {
    this.socket.destroy()
  }

  #onData(chunk: Buffer): void {
    this.#buffer = Buffer.concat([this.#buffer, chunk])
    while (this.#buffer.length >= 4) {
      const size = this.#buffer.readUInt32BE(0)
      if (this.#buffer.length < 4 + size) return
      const frame = JSON.parse(this.#buffer.toString('utf8', 4, 4 + size)) as Frame
      this.#buffer = this.#buffer.subarray(4 + size)
      this.received += 1
      const waiter = this.#waiting.shift()
      if (waiter === undefined) this.#frames.push(frame)
      else waiter(frame)
    }
  }
}
