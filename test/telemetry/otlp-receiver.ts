/** A receiver of OTLP on a port of its own: reads both encodings as the official definitions say, and answers as told. */
import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { decodeProtobuf, type LogRecord, logsOf, type Span, spansOf } from './otlp-decode.ts'

export interface Answer {
  status?: number
  headers?: Record<string, string>
  body?: Uint8Array | string
  /** The connection is cut instead. */
  cut?: boolean
  /** The answer has a beginning and no end. */
  open?: boolean
}

export interface Receiver extends AsyncDisposable {
  readonly endpoint: string
  readonly port: number
  /** Of requests that were answered 2xx, in order. */
  readonly logs: LogRecord[]
  readonly spans: Span[]
  /** All of them. */
  readonly requests: { path: string; headers: IncomingMessage['headers']; status: number }[]
  /** How the next requests are answered; `undefined` is 200. */
  answer: (path: string, nth: number) => Answer | undefined
  /** Resolves when it holds, or fails after half a minute. */
  until(holds: () => boolean, what: string): Promise<void>
  /** Nobody answers on the port any more. */
  close(): Promise<void>
}

export async function startReceiver(port = 0): Promise<Receiver> {
  const logs: LogRecord[] = []
  const spans: Span[] = []
  const requests: Receiver['requests'] = []
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const path = request.url ?? ''
    const answer = receiver.answer(path, requests.length) ?? {}
    const { status = 200, headers = {}, body = '', cut = false, open = false } = answer
    requests.push({ path, headers: request.headers, status: cut ? 0 : status })
    if (cut) {
      request.socket.destroy()
      return
    }
    if (status < 300) {
      const bytes = Buffer.concat(chunks)
      const signal = path.endsWith('/v1/logs') ? 'logs' : 'traces'
      const decoded =
        request.headers['content-type'] === 'application/json'
          ? JSON.parse(bytes.toString())
          : decodeProtobuf(signal, bytes)
      if (signal === 'logs') logs.push(...logsOf(decoded))
      else spans.push(...spansOf(decoded))
    }
    response.writeHead(status, headers)
    if (open) response.write(body)
    else response.end(body)
  })
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  const bound = (server.address() as AddressInfo).port
  const receiver: Receiver = {
    endpoint: `http://127.0.0.1:${bound}`,
    port: bound,
    logs,
    spans,
    requests,
    answer: () => undefined,
    until: async (holds, what) => {
      const endsAt = performance.now() + 20_000
      while (!holds()) {
        if (performance.now() > endsAt) throw new Error(`${what} did not happen`)
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
    },
    close: async () => {
      server.closeAllConnections()
      await new Promise<void>((resolve) => server.close(() => resolve()))
    },
    [Symbol.asyncDispose]: async () => {
      if (server.listening) await receiver.close()
    },
  }
  return receiver
}
