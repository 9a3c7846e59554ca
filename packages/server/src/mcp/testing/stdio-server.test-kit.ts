/**
 * An MCP server for tests that does what it is told, wrong things above all. A program of its own, without the
 * protocol library: `node stdio-server.test-kit.ts '{"fault":"hang"}'`.
 */
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'

/** How it begins, as its only argument. */
export interface Script {
  readonly fault?:
    | 'hang'
    | 'flood'
    | 'long-line'
    | 'stray'
    | 'crash'
    | 'deaf'
    | 'stubborn'
    | 'chatter'
    | 'same-cursor'
    | 'old-version'
    | 'deep-list'
    | 'twice-list'
  /** Before it answers the handshake. */
  readonly slowMs?: number
  readonly protocolVersion?: string
  /** Plain tools beside those that do something. */
  readonly extraTools?: number
  readonly pageSize?: number
  readonly resources?: number
  readonly templates?: boolean
  /** Written to standard output before the first message. */
  readonly greeting?: string
  /** Members of the tool `echo`. */
  readonly echo?: Record<string, unknown>
}

interface Message {
  readonly id?: string | number
  readonly method?: string
  readonly params?: Record<string, unknown>
  readonly result?: unknown
  readonly error?: unknown
}

type Json = Record<string, unknown>

const script = JSON.parse(process.argv[2] ?? '{}') as Script
const cancelled: unknown[] = []
const waiting = new Map<string, (answer: Message) => void>()
let asked = 0
let reading = 0
let mostReading = 0
let echo: Json = {
  description: 'Says it again',
  inputSchema: {
    type: 'object',
    properties: { text: { type: 'string', maxLength: 2000 } },
    required: ['text'],
  },
  ...script.echo,
}

const any = { type: 'object' }
const DOING = [
  'env',
  'crash',
  'hang',
  'cancelled',
  'swap',
  'child',
  'ask',
  'say',
  'deep',
  'fail',
  'meta',
  'nothing',
  'fds',
  'most-reading',
  'refuse',
]

function tools(): Json[] {
  return [
    { name: 'echo', ...echo },
    ...DOING.map((name) => ({ name, description: '', inputSchema: any })),
    ...Array.from({ length: script.extraTools ?? 0 }, (_, at) => ({
      name: `extra-${at}`,
      inputSchema: any,
    })),
  ]
}

function send(message: Json): void {
  process.stdout.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`)
}

function page(all: Json[], member: string, params: Json): Json {
  const size = script.pageSize ?? all.length
  const from = Number(params['cursor'] ?? 0)
  const next = script.fault === 'same-cursor' ? 0 : from + size
  return {
    [member]: all.slice(from, from + size),
    ...(next < all.length && { nextCursor: String(next) }),
  }
}

async function handle({ id, method, params = {}, ...rest }: Message): Promise<void> {
  if (method === undefined) {
    waiting.get(String(id))?.({ ...rest })
    return
  }
  if (method === 'notifications/cancelled') cancelled.push(params['requestId'])
  if (id === undefined) return
  switch (method) {
    case 'initialize':
      if (script.slowMs !== undefined) await sleep(script.slowMs)
      send({
        id,
        result: {
          protocolVersion:
            script.fault === 'old-version'
              ? '1999-01-01'
              : (script.protocolVersion ?? params['protocolVersion']),
          capabilities: {
            tools: { listChanged: true },
            ...(script.resources !== undefined && { resources: {} }),
            prompts: {},
          },
          serverInfo: { name: 'scripted', version: '1.2.3' },
        },
      })
      return
    case 'ping':
      send({ id, result: {} })
      return
    case 'tools/list':
      if (script.fault === 'deep-list') {
        const depth = '{"a":'.repeat(100)
        process.stdout.write(
          `{"jsonrpc":"2.0","result":{"tools":[{"name":"x","inputSchema":${depth}1${'}'.repeat(100)}}]},"id":${id}}\n`,
        )
        return
      }
      if (script.fault === 'twice-list') {
        process.stdout.write(
          `{"jsonrpc":"2.0","id":${id},"result":{"tools":[{"name":"x","inputSchema":{"type":"object","type":"string"}}]}}\n`,
        )
        return
      }
      send({ id, result: page(tools(), 'tools', params) })
      return
    case 'resources/list': {
      const all = Array.from({ length: script.resources ?? 0 }, (_, at) => ({
        uri: `note://${at}`,
        name: `Note ${at}`,
        mimeType: 'text/plain',
      }))
      send({ id, result: page(all, 'resources', params) })
      return
    }
    case 'resources/templates/list':
      if (script.templates === true)
        send({
          id,
          result: { resourceTemplates: [{ uriTemplate: 'note://{id}', name: 'A note' }] },
        })
      else send({ id, error: { code: -32601, message: 'Method not found' } })
      return
    case 'resources/read':
      reading += 1
      mostReading = Math.max(mostReading, reading)
      if (params['uri'] === 'note://slow') await sleep(20)
      reading -= 1
      send({ id, result: { contents: [{ uri: params['uri'], text: `about ${params['uri']}` }] } })
      return
    case 'prompts/list':
      send({ id, result: { prompts: [{ name: 'summarise' }] } })
      return
    case 'tools/call':
      await call(id, String(params['name']), (params['arguments'] ?? {}) as Json, params)
      return
    default:
      send({ id, error: { code: -32601, message: `Method not found: ${method}` } })
  }
}

async function call(id: string | number, name: string, given: Json, params: Json): Promise<void> {
  const text = (value: unknown) =>
    send({
      id,
      result: {
        content: [
          { type: 'text', text: typeof value === 'string' ? value : JSON.stringify(value) },
        ],
      },
    })
  switch (name) {
    case 'echo':
      return text(given['text'])
    case 'env':
      return text(process.env)
    case 'meta':
      return text(params['_meta'] ?? null)
    case 'crash':
      process.stderr.write('something terrible happened\n')
      process.exit(3)
      return
    case 'hang':
      return
    case 'cancelled':
      return text(cancelled)
    case 'fail':
      send({ id, result: { content: [{ type: 'text', text: 'no such note' }], isError: true } })
      return
    case 'most-reading':
      return text(mostReading)
    case 'refuse':
      send({ id, error: { code: -32001, message: 'No such note' } })
      return
    case 'nothing':
      send({ id, result: {} })
      return
    case 'swap':
      echo = { ...echo, ...given }
      send({ method: 'notifications/tools/list_changed' })
      return text('swapped')
    case 'say':
      process.stderr.write(String(given['text']))
      return text('said')
    case 'deep':
      process.stdout.write(
        `{"jsonrpc":"2.0","id":${id},"result":{"content":${'['.repeat(200)}${']'.repeat(200)}}}\n`,
      )
      return
    case 'fds': {
      const { readdirSync, readlinkSync } = await import('node:fs')
      const open = readdirSync('/proc/self/fd').flatMap((fd) => {
        try {
          return [readlinkSync(`/proc/self/fd/${fd}`)]
        } catch {
          return []
        }
      })
      return text(open)
    }
    case 'child': {
      // Leaves the process group, holds on to our output, and may ignore what asks it to end.
      const ignore = "process.on('SIGTERM',()=>{});process.on('SIGHUP',()=>{});"
      const deafness = given['stubborn'] === true ? ignore : ''
      const child = spawn(process.execPath, ['-e', `${deafness}setInterval(()=>{},1e6)`], {
        detached: given['detached'] === true,
        stdio: ['ignore', 'inherit', 'ignore'],
        ...(given['bare'] === true && { env: {} }),
      })
      child.unref()
      return text(child.pid)
    }
    case 'ask': {
      asked += 1
      const own = `own-${asked}`
      const answer = new Promise<Message>((resolve) => waiting.set(own, resolve))
      send({ id: own, method: given['method'], params: given['params'] ?? {} })
      return text(await answer)
    }
    default:
      send({ id, error: { code: -32602, message: `Unknown tool: ${name}` } })
  }
}

async function begin(): Promise<void> {
  const { fault, greeting } = script
  if (greeting !== undefined) process.stdout.write(`${greeting}\n`)
  if (fault === 'crash') {
    process.stderr.write('cannot read the configuration\n')
    process.exit(7)
  }
  if (fault === 'flood' || fault === 'long-line') {
    const chunk = fault === 'flood' ? `${'x'.repeat(1_023)}\n`.repeat(64) : 'x'.repeat(65_536)
    for (;;)
      if (!process.stdout.write(chunk)) await new Promise((go) => process.stdout.once('drain', go))
  }
  if (fault === 'stray') process.stdout.write('Starting up…\n'.repeat(500))
  if (fault === 'deaf') {
    setInterval(() => undefined, 1e6)
    return
  }
  if (fault === 'stubborn') {
    process.on('SIGTERM', () => process.stderr.write('not now\n'))
    setInterval(() => undefined, 1e6)
  }
  if (fault === 'chatter') {
    setInterval(() => {
      for (let at = 0; at < 200; at += 1)
        send({ method: 'notifications/message', params: { level: 'info', data: 'x' } })
    }, 1)
  }
  for await (const line of createInterface({ input: process.stdin })) {
    if (fault === 'hang') continue
    void handle(JSON.parse(line) as Message)
  }
  if (fault !== 'stubborn') process.exit(0)
}

if (process.argv[1] === import.meta.filename) await begin()
