/** A server for tests of the client, over real HTTP on a free port: remembers what came, answers as it is told. */
import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Seen {
  readonly method: string
  /** Below `/api/v1/`, as it came. */
  readonly path: string
  readonly headers: IncomingMessage['headers']
  readonly text: string
}

export interface Scripted {
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  /** Sent as JSON unless it is text or bytes. */
  readonly body?: unknown
  /** Cut the connection: before anything is said, or in the middle of the body. */
  readonly drop?: 'before' | 'within'
  /** Say nothing until the client has gone. */
  readonly silent?: boolean
}

export class FakeRuntime implements AsyncDisposable {
  readonly seen: Seen[] = []
  readonly #script: Scripted[] = []
  readonly #server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    this.seen.push({
      method: request.method ?? '',
      path: (request.url ?? '').replace('/api/v1/', ''),
      headers: request.headers,
      text: Buffer.concat(chunks).toString('utf8'),
    })
    const { status = 200, headers = {}, body = {}, drop, silent } = this.#script.shift() ?? {}
    if (silent === true) return
    if (drop === 'before') return void request.socket.destroy()
    const isRaw = typeof body === 'string' || Buffer.isBuffer(body)
    const sent = Buffer.from(isRaw ? body : JSON.stringify(body))
    const length = drop === 'within' ? sent.length + 10 : sent.length
    response.writeHead(status, { 'content-length': length, connection: 'close', ...headers })
    response.write(sent, () => {
      if (drop === 'within') request.socket.destroy()
      else response.end()
    })
  })

  async start(): Promise<this> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
    return this
  }

  get baseUrl(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/api/v1`
  }

  get last(): Seen {
    const seen = this.seen.at(-1)
    if (seen === undefined) throw new Error('nothing came')
    return seen
  }

  /** The next answers; after them `{}`. */
  answer(...answers: Scripted[]): this {
    this.#script.push(...answers)
    return this
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }
}
