/**
 * A gateway in front of an upstream that answers as the test says, for tests that attack it: every tool is live,
 * what the daemon prints is kept, and requests can be sent byte by byte.
 */
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { Home } from '../../packages/server/src/app/home.ts'
import {
  type Handler,
  startUpstream,
  type Upstream,
} from '../../packages/server/src/egress/testing/upstream.ts'
import { boot, operator, putCredential, temporaryHome } from '../harness/boot.ts'
import { GatewayNode } from './world.ts'

export const CREDENTIALS: Readonly<Record<string, string>> = {
  serpapi: 'serp-key-7Hq2/x+Zm9==',
  openai: 'sk-live-Wq8Lr5Tz0Kd3',
  gmail_send: 'ya29.mail-Bf6Nc1Yp4Ej7',
  crm: 'crm-secret-Ux3Ga9Sv2Mi5',
}

export interface SecurityWorld extends AsyncDisposable {
  readonly node: GatewayNode
  /** Of the daemon. */
  readonly home: Home
  readonly upstream: Upstream
  readonly warnings: readonly string[]
  readonly operatorHeaders: Readonly<Record<string, string>>
  /** Takes a table away under the daemon's feet. */
  breakStore(table: string): void
  /** Answers from now on. */
  upstreamDoes(handler: Handler): void
  /** `127.0.0.1:<port>`, as policies list the upstream. */
  readonly host: string
  /** As `http_fetch` may reach it. */
  at(path: string): string
}

export async function startSecurityWorld(gateway: object = {}): Promise<SecurityWorld> {
  await using undo = new AsyncDisposableStack()
  const home = undo.use(temporaryHome())
  let handler: Handler = (_request, reply) => void reply.end('{}')
  const upstream = await startUpstream((request, reply) => handler(request, reply))
  undo.defer(() => upstream[Symbol.asyncDispose]())
  const warnings: string[] = []
  const base = `http://127.0.0.1:${upstream.port}`
  const { tools, ...settings } = gateway as { tools?: object }
  const daemon = await boot(home, {
    config: {
      gateway: {
        mode: 'live',
        http_fetch_allowed_domains: [`127.0.0.1:${upstream.port}`],
        tools: {
          serpapi: { base_url: `${base}/serpapi` },
          openai: { base_url: `${base}/openai` },
          gmail_send: { base_url: `${base}/gmail` },
          crm: CRM(base),
          ...tools,
        },
        ...settings,
      },
      egress: { allow_cidrs: ['127.0.0.1/32'] },
    },
    warn: (line) => void warnings.push(line),
  })
  const node = undo.use(new GatewayNode(daemon.ready, () => daemon.stop()))
  const admin = await operator(home)
  for (const [tool, value] of Object.entries(CREDENTIALS))
    await putCredential(admin, `tools/${tool}`, value)
  admin.destroy()
  // Disposed twice, and the first time before the daemon, which would wait for calls that hang.
  undo.defer(async () => upstream[Symbol.asyncDispose]())
  const all = undo.move()
  return {
    node,
    home,
    upstream,
    warnings,
    operatorHeaders: {
      authorization: `Bearer ${readFileSync(daemon.ready.admin_key_file, 'utf8').trim()}`,
    },
    breakStore: (table) => {
      using store = new DatabaseSync(join(home.dir, 'data', 'vestry.db'))
      store.exec(`alter table ${table} rename to ${table}_gone`)
    },
    upstreamDoes: (next) => {
      handler = next
    },
    host: `127.0.0.1:${upstream.port}`,
    at: (path) => base + path,
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  }
}

const CRM = (base: string) => ({
  description: 'A tool of the house',
  base_url: `${base}/crm`,
  credential: { header_type: 'bearer' },
  actions: {
    find: {
      method: 'GET',
      path: '/find',
      params: { properties: { q: { type: 'string' } } },
      cache_seconds: 0,
    },
    add: {
      method: 'POST',
      path: '/add',
      params: { properties: { note: { type: 'string' } } },
    },
  },
})

/** What a server says to these bytes until it, or patience, ends the connection. */
export function sendRaw(url: string, bytes: string | Uint8Array, patienceMs = 2_000) {
  const { hostname, port } = new URL(url)
  return new Promise<string>((resolve) => {
    const socket = connect({ host: hostname, port: Number(port) }, () => socket.write(bytes))
    let heard = ''
    const timer = setTimeout(() => socket.destroy(), patienceMs)
    socket.on('data', (chunk: Buffer) => {
      heard += chunk.toString('latin1')
    })
    socket.on('error', () => undefined)
    socket.on('close', () => {
      clearTimeout(timer)
      resolve(heard)
    })
  })
}

export interface RawAnswer {
  readonly status: number
  readonly headers: ReadonlyMap<string, string>
  readonly body: string
}

/** The first answer in what {@link sendRaw} heard. */
export function parseRaw(heard: string): RawAnswer {
  const [head = '', ...rest] = heard.split('\r\n\r\n')
  const [first = '', ...lines] = head.split('\r\n')
  const headers = lines.map((line): [string, string] => {
    const colon = line.indexOf(':')
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()]
  })
  return {
    status: Number(/^HTTP\/1\.1 (\d{3})/.exec(first)?.[1] ?? 0),
    headers: new Map(headers),
    body: rest.join('\r\n\r\n'),
  }
}
