/** One fake provider: a real HTTP server on a free port that records, follows its script, and misbehaves on demand. */
import { once } from 'node:events'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Dialect, isEvents, type Reply, type Scripted, type Seen } from './script.ts'

export class FakeProvider {
  readonly requests: Seen[] = []
  /** The key it accepts; change it to make the caller's wrong. */
  key: string
  readonly #dialect: Dialect
  readonly #script: Scripted[]
  /** Made when it starts, and with it Node's network modules are loaded. */
  #server: Server | undefined
  #port = 0
  #held = 0

  constructor(dialect: Dialect, key: string, script: readonly Scripted[] = []) {
    this.#dialect = dialect
    this.key = key
    this.#script = [...script]
  }

  async start(): Promise<this> {
    const { createServer } = await import('node:http')
    const server = createServer((request, response) => void this.#serve(request, response))
    this.#server = server
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    this.#port = (server.address() as AddressInfo).port
    return this
  }

  /** The base URL as a gateway is configured with it; OpenAI's ends in `/v1`. */
  get url(): string {
    return `${this.origin}${this.#dialect.basePath}`
  }

  get origin(): string {
    return `http://127.0.0.1:${this.#port}`
  }

  /** Connections that are open now, to see whether a caller has let go. */
  get inFlight(): number {
    return this.#held
  }

  /** Its next answers; after them it behaves again. */
  script(...answers: readonly Scripted[]): this {
    this.#script.push(...answers)
    return this
  }

  async close(): Promise<void> {
    const server = this.#server
    if (!server?.listening) return
    server.closeAllConnections()
    server.close()
    await once(server, 'close')
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.#held += 1
    const gone = new AbortController()
    const seen = await this.#record(request)
    response.on('close', () => {
      this.#held -= 1
      if (response.writableFinished) return
      seen.aborted = true
      seen.abortedAtMs = performance.now()
      gone.abort()
    })
    const scripted = this.#script.shift() ?? {}
    try {
      if (scripted.delayMs) await sleep(scripted.delayMs, undefined, { signal: gone.signal })
      if (scripted.drop === true) request.socket.destroy()
      else await this.#answer(seen, scripted, response, gone.signal)
    } catch (error) {
      if (!gone.signal.aborted) throw error
    }
  }

  async #record(request: IncomingMessage): Promise<Seen> {
    const parts: Buffer[] = []
    for await (const part of request) parts.push(part as Buffer)
    const text = Buffer.concat(parts).toString()
    const seen: Seen = {
      method: request.method ?? '',
      path: request.url ?? '',
      headers: request.headers,
      body: parsed(text),
      text,
      aborted: false,
      abortedAtMs: undefined,
    }
    this.requests.push(seen)
    return seen
  }

  async #answer(
    seen: Seen,
    scripted: Scripted,
    response: ServerResponse,
    signal: AbortSignal,
  ): Promise<void> {
    if (scripted.status !== undefined || scripted.body !== undefined) {
      const { status = 200, body = {}, headers = {} } = scripted
      return send(response, { status, body, headers }, scripted, signal)
    }
    const answer = this.#dialect.answer(seen, scripted, this.key)
    if (!isEvents(answer)) return send(response, answer, scripted, signal)
    response.writeHead(200, { 'content-type': 'text/event-stream', ...scripted.headers })
    response.flushHeaders()
    for (const [at, event] of answer.events.entries()) {
      if (scripted.cutAfter === at) return cut(response, event)
      if (scripted.stallAfter === at) return stall(signal)
      if (scripted.silence?.after === at) await sleep(scripted.silence.ms, undefined, { signal })
      if (scripted.endAfter === at) break
      if (scripted.errorAfter?.events === at) {
        await write(response, answer.error(scripted.errorAfter.type), scripted, signal)
        break
      }
      const text = scripted.malformedAfter === at ? 'data: {"broken": \n\n' : event
      await write(response, text, scripted, signal)
      if (scripted.pauseMs) await sleep(scripted.pauseMs, undefined, { signal })
    }
    response.end()
  }
}

async function send(
  response: ServerResponse,
  reply: Reply,
  scripted: Scripted,
  signal: AbortSignal,
): Promise<void> {
  const text = typeof reply.body === 'string' ? reply.body : JSON.stringify(reply.body)
  response.writeHead(reply.status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
    'x-request-id': 'req_upstream',
    ...reply.headers,
    ...scripted.headers,
  })
  await write(response, text, scripted, signal)
  response.end()
}

async function write(
  response: ServerResponse,
  text: string,
  { pieceBytes }: Scripted,
  signal: AbortSignal,
): Promise<void> {
  const bytes = Buffer.from(text)
  const size = pieceBytes ?? Math.max(bytes.length, 1)
  for (let at = 0; at < bytes.length; at += size) {
    signal.throwIfAborted()
    const flowing = response.write(bytes.subarray(at, at + size))
    if (!flowing) await once(response, 'drain', { signal })
    // A turn of the loop, so that the pieces leave one by one.
    else if (pieceBytes !== undefined) await new Promise((resolve) => setImmediate(resolve))
  }
}

async function cut(response: ServerResponse, event: string): Promise<void> {
  const half = event.slice(0, Math.floor(event.length / 2))
  await new Promise((resolve) => response.write(half, resolve))
  response.destroy()
}

function stall(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
}

function parsed(text: string): Record<string, unknown> {
  try {
    return JSON.parse(text) as Record<string, unknown>
  } catch {
    return {}
  }
}
