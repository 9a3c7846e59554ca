/** A gateway that answers whatever a test tells it to: what the stand-in clients are tried against. */
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface GatewayRequest {
  readonly method: string
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly rawHeaders: readonly string[]
  readonly body: string
  readonly atMs: number
}

export interface Answer {
  readonly status?: number
  readonly headers?: Record<string, string>
  /** Sent as JSON, unless it is text. */
  readonly body?: unknown
  readonly afterMs?: number
}

/** `hang` never answers, `drop` resets the connection. */
export type Plan = (
  request: GatewayRequest,
  /** How often this path was asked before. */
  before: number,
) => Answer | 'hang' | 'drop'

export interface FakeGateway extends AsyncDisposable {
  readonly url: string
  readonly requests: readonly GatewayRequest[]
}

/** Tokens for every agent, and `plan` for everything else. */
export async function startFakeGateway(plan: Plan): Promise<FakeGateway> {
  const requests: GatewayRequest[] = []
  const server = createServer((incoming, response) => {
    const chunks: Buffer[] = []
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
    incoming.on('end', () => {
      const { method = '', url: path = '', headers, rawHeaders } = incoming
      const body = Buffer.concat(chunks).toString('utf8')
      const request = { method, path, headers, rawHeaders, body, atMs: performance.now() }
      const before = requests.filter((earlier) => earlier.path === path).length
      requests.push(request)
      const answer = plan(request, before)
      if (answer === 'hang') return
      if (answer === 'drop') incoming.socket.resetAndDestroy()
      else setTimeout(() => send(response, answer), answer.afterMs ?? 0)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

function send(response: ServerResponse, { status = 200, headers = {}, body = {} }: Answer): void {
  response.writeHead(status, { 'content-type': 'application/json; charset=utf-8', ...headers })
  response.end(typeof body === 'string' ? body : JSON.stringify(body))
}

/** What a gateway answers to a proxied call. */
export const envelope = (data: unknown): Answer => ({
  body: { success: true, data, metadata: { tool: 'serpapi', response_time_ms: 1 } },
})
