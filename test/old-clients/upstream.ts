/** A local HTTP service that the vault calls with a credential injected. */
import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface UpstreamRequest {
  readonly method: string
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

export interface Upstream extends AsyncDisposable {
  /** `127.0.0.1:<port>`, as policies list it. */
  readonly host: string
  readonly url: string
  readonly requests: UpstreamRequest[]
}

/**
 * Answers `{path, body}`; a path `/slow/<ms>/…` waits that long first, `/big/<n>` is n control
 * characters.
 */
export async function startUpstream(): Promise<Upstream> {
  const requests: UpstreamRequest[] = []
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const { method = '', url: path = '', headers } = request
      const body = Buffer.concat(chunks).toString('utf8')
      requests.push({ method, path, headers, body })
      const [, size] = /^\/big\/(\d+)/.exec(path) ?? []
      if (size !== undefined) {
        response.end(Buffer.alloc(Number(size), 0x01))
        return
      }
      const [, delay] = /^\/slow\/(\d+)/.exec(path) ?? []
      setTimeout(
        () => {
          response.writeHead(200, { 'content-type': 'application/json' })
          response.end(JSON.stringify({ path, body }))
        },
        Number(delay ?? 0),
      )
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    host,
    url: `http://${host}`,
    requests,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
