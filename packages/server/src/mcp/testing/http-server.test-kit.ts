/** A remote MCP server for tests, over both HTTP transports, which can be told to lose sessions, streams and manners. */
import type { ServerResponse } from 'node:http'
import { type Seen, startUpstream, type Upstream } from '../../egress/testing/upstream.ts'

export interface RemoteScript {
  /** How requests are answered. */
  readonly reply?: 'json' | 'sse'
  /** The transport of 2024-11-05 only. */
  readonly older?: boolean
  /** Where it says that messages go; its own by default. */
  readonly endpoint?: string
  readonly withStream?: boolean
  /** Status for every POST. */
  readonly status?: number
  /** Each reply stream breaks off after its first event, which is empty and has an id. */
  readonly breaks?: boolean
  /** Reply streams stay open after their answer. */
  readonly lingers?: boolean
}

export interface Remote extends Upstream {
  readonly url: string
  /** Sessions are no longer known. */
  forget(): void
  /** Sends a message of the server's own. */
  say(message: Record<string, unknown>): void
  rename(description: string): void
  /** Sessions that were begun, and ended by request. */
  readonly begun: () => number
  readonly ended: () => number
  readonly streams: () => number
  /** Reply streams that were answered and are open still. */
  readonly lingering: () => number
  readonly methods: () => string[]
}

type Json = Record<string, unknown>

export async function startRemote(script: RemoteScript = {}): Promise<Remote> {
  let session: string | undefined
  let begun = 0
  let ended = 0
  let description = 'Says it again'
  const streams = new Set<ServerResponse>()
  const lingering = new Set<ServerResponse>()
  const kept = new Map<string, string>()

  const event = (data: unknown, id?: string) =>
    `${id === undefined ? '' : `id: ${id}\n`}event: message\ndata: ${JSON.stringify(data)}\n\n`
  const answer = ({ id, method, params }: Json): Json => {
    const result = resultOf(String(method), (params ?? {}) as Json, description)
    return { jsonrpc: '2.0', id, ...(result === undefined ? UNKNOWN : { result }) }
  }

  const open = (reply: ServerResponse, first = ''): void => {
    reply.writeHead(200, { 'content-type': 'text/event-stream' })
    reply.write(`: hello\n\n${first}`)
    streams.add(reply)
    reply.on('close', () => streams.delete(reply))
  }

  const older = (request: Seen, reply: ServerResponse): void => {
    if (request.method === 'GET') {
      open(reply, `event: endpoint\ndata: ${script.endpoint ?? '/messages?session=1'}\n\n`)
    } else if (request.url.startsWith('/messages')) {
      reply.writeHead(202).end('Accepted')
      const message = JSON.parse(request.body) as Json
      if (message['id'] !== undefined)
        for (const stream of streams) stream.write(event(answer(message)))
    } else reply.writeHead(405).end()
  }

  const stream = (request: Seen, reply: ServerResponse): void => {
    const last = request.headers['last-event-id']
    if (typeof last === 'string' && kept.has(last)) {
      reply.writeHead(200, { 'content-type': 'text/event-stream' })
      reply.end(kept.get(last))
    } else if (script.withStream === true) open(reply)
    else reply.writeHead(405).end()
  }

  const post = (request: Seen, reply: ServerResponse): void => {
    if (script.status !== undefined) {
      reply.writeHead(script.status, { location: 'http://127.0.0.1:1/' }).end()
      return
    }
    const message = JSON.parse(request.body) as Json
    if (message['method'] === 'initialize') {
      begun += 1
      session = `session-${begun}`
    } else if (request.headers['mcp-session-id'] !== session || session === undefined) {
      reply.writeHead(404).end('{"error":"no such session"}')
      return
    }
    if (message['id'] === undefined) {
      reply.writeHead(202).end()
      return
    }
    const head = { 'mcp-session-id': session }
    const text = JSON.stringify(answer(message))
    if (script.reply !== 'sse') {
      reply.writeHead(200, { ...head, 'content-type': 'application/json; charset=utf-8' }).end(text)
      return
    }
    reply.writeHead(200, { ...head, 'content-type': 'text/event-stream' })
    if (script.breaks === true && message['method'] === 'tools/call') {
      kept.set(`e-${String(message['id'])}`, event(JSON.parse(text)))
      reply.end(`id: e-${String(message['id'])}\nretry: 100\ndata:\n\n`)
      return
    }
    reply.write(
      event({ jsonrpc: '2.0', method: 'notifications/message', params: {} }) +
        event(JSON.parse(text)),
    )
    if (script.lingers !== true) {
      reply.end()
      return
    }
    lingering.add(reply)
    reply.on('close', () => lingering.delete(reply))
  }

  const upstream = await startUpstream((request, reply) => {
    if (script.older === true) older(request, reply)
    else if (request.method === 'GET') stream(request, reply)
    else if (request.method === 'DELETE') {
      ended += 1
      session = undefined
      reply.writeHead(200).end()
    } else post(request, reply)
  })
  return {
    ...upstream,
    url: `http://127.0.0.1:${upstream.port}/mcp`,
    forget: () => {
      session = 'another'
    },
    say: (message) => {
      for (const reply of streams) reply.write(event({ jsonrpc: '2.0', ...message }))
    },
    rename: (text) => {
      description = text
    },
    begun: () => begun,
    ended: () => ended,
    streams: () => streams.size,
    lingering: () => lingering.size,
    methods: () =>
      upstream.seen
        .filter(({ body }) => body !== '')
        .map(({ body }) => String((JSON.parse(body) as Json)['method'])),
  }
}

const UNKNOWN = { error: { code: -32601, message: 'Method not found' } }

function resultOf(method: string, params: Json, description: string): Json | undefined {
  switch (method) {
    case 'initialize':
      return {
        protocolVersion: params['protocolVersion'],
        capabilities: { tools: { listChanged: true } },
        serverInfo: { name: 'remote', version: '1' },
      }
    case 'tools/list':
      return { tools: [{ name: 'echo', description, inputSchema: { type: 'object' } }] }
    case 'tools/call':
      return {
        content: [{ type: 'text', text: JSON.stringify(params['arguments']) }],
        structuredContent: { echoed: params['arguments'] },
      }
    default:
      return undefined
  }
}
