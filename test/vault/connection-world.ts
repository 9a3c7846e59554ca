/** A daemon with one agent, one credential, and a local service to call with it. */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { startTestDaemon, type TestDaemon } from '../harness/daemon.ts'
import type { AgentKeys } from '../harness/keys.ts'
import { type Frame, RawClient } from '../harness/raw-client.ts'

export interface ConnectionWorld extends AsyncDisposable {
  readonly vestry: TestDaemon
  readonly keys: AgentKeys
  /** A logged-in client over TCP. */
  overTcp(): Promise<RawClient>
  /** A `use http_request` of `/fast/…`, `/slow/<ms>` or `/never`. */
  request(
    id: number | string,
    path: string,
  ): { id: number | string; method: string; params: object }
  /** Resolves once the service has that many calls waiting. */
  underWay(count: number): Promise<void>
}

export async function startConnectionWorld(vault: object = {}): Promise<ConnectionWorld> {
  let waiting = 0
  const upstream = createServer((request, response) => {
    const [, kind, ms] = String(request.url).split('/')
    waiting += 1
    response.on('close', () => {
      waiting -= 1
    })
    if (kind === 'never') return
    setTimeout(() => response.end(`answer to ${request.url}`), kind === 'slow' ? Number(ms) : 0)
  })
  await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve))
  const base = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`
  const vestry = await startTestDaemon({
    config: {
      vault: { listen_tcp: '127.0.0.1:0', http_requests_per_agent: 1024, ...vault },
      egress: { allow_cidrs: ['127.0.0.1/32'] },
    },
  })
  const keys = await vestry.addAgent('scout')
  await vestry.addCredential('web/token', 'tok-0123456789')
  await vestry.addPolicy({
    version: 1,
    policies: [
      {
        name: 'all',
        principals: ['agent:scout'],
        resources: ['web/*'],
        actions: ['list', 'retrieve', 'use'],
        hosts: [new URL(base).host],
        allow_http: true,
        max_ttl: 900,
      },
    ],
  })
  return {
    vestry,
    keys,
    async overTcp() {
      const [host = '', port] = String(vestry.daemon.ready.vault_tcp).split(':')
      const client = await RawClient.connect({ host, port: Number(port) })
      await client.login(keys)
      return client
    },
    request: (id, path) => ({
      id,
      method: 'use',
      params: { path: 'web/token', operation: 'http_request', params: { url: `${base}${path}` } },
    }),
    async underWay(count) {
      for (let n = 0; n < 1000 && waiting < count; n += 1)
        await new Promise((resolve) => setTimeout(resolve, 10))
      if (waiting < count) throw new Error(`never saw ${count} calls`)
    },
    async [Symbol.asyncDispose]() {
      await vestry.stop()
      await closeServer(upstream)
    },
  }
}

async function closeServer(server: Server): Promise<void> {
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
}

/** The next `count` frames by id; fails when the connection ends before, or an id comes twice. */
export async function collect(client: RawClient, count: number): Promise<Map<Frame['id'], Frame>> {
  const frames = new Map<Frame['id'], Frame>()
  for (let n = 0; n < count; n += 1) {
    const frame = await client.next(15_000)
    if (frame === undefined) throw new Error(`closed after ${n} of ${count}`)
    if (frames.has(frame.id)) throw new Error(`two answers to ${frame.id}`)
    frames.set(frame.id, frame)
  }
  return frames
}
