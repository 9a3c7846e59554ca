/** A server that answers as the messages API does, from a script: whole messages, streams, and failures. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export type Reply = (response: ServerResponse) => void | Promise<void>

export interface MessagesServer {
  readonly url: string
  /** Bodies of the requests so far. */
  readonly requests: Record<string, unknown>[]
  readonly headers: IncomingMessage['headers'][]
  [Symbol.asyncDispose](): Promise<void>
}

export async function messagesServer(...replies: Reply[]): Promise<MessagesServer> {
  const requests: Record<string, unknown>[] = []
  const headers: IncomingMessage['headers'][] = []
  const server = createServer(async (request, response) => {
    let body = ''
    for await (const piece of request) body += piece
    requests.push(JSON.parse(body) as Record<string, unknown>)
    headers.push(request.headers)
    const reply = replies.shift()
    if (reply === undefined) response.writeHead(500).end('{"error":{"message":"no more replies"}}')
    else await reply(response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    requests,
    headers,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

export interface Scripted {
  readonly content: readonly Block[]
  readonly stop?: string
  readonly usage: Record<string, unknown>
}

type Block =
  | { readonly type: 'text'; readonly text: string }
  | {
      readonly type: 'tool_use'
      readonly id: string
      readonly name: string
      readonly input: object
    }

const ID = 'msg_01AbCdEf'
const MODEL = 'claude-sonnet-4-6-20260217'

/** The whole message at once. */
export function message({ content, stop = 'end_turn', usage }: Scripted): Reply {
  return (response) => {
    const body = { id: ID, type: 'message', role: 'assistant', model: MODEL, content }
    response
      .writeHead(200, { 'content-type': 'application/json', 'request-id': 'req_1' })
      .end(JSON.stringify({ ...body, stop_reason: stop, stop_sequence: null, usage }))
  }
}

/**
 * The same message as events.
 *
 * @param pause Called before each event but the first; what it waits for keeps the reader waiting.
 */
export function stream(scripted: Scripted, pause: () => void | Promise<void> = () => {}): Reply {
  return async (response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    let isFirst = true
    for (const event of eventsOf(scripted)) {
      if (!isFirst) await pause()
      isFirst = false
      if (response.destroyed) return
      response.write(`event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`)
    }
    response.end()
  }
}

export function failure(status: number, type: string, headers: Record<string, string> = {}): Reply {
  return (response) => {
    response
      .writeHead(status, { 'content-type': 'application/json', ...headers })
      .end(JSON.stringify({ type: 'error', error: { type, message: 'canary: not now' } }))
  }
}

/** The connection breaks after the first event. */
export function brokenStream(scripted: Scripted): Reply {
  return async (response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    const [first] = eventsOf(scripted)
    response.write(`event: message_start\ndata: ${JSON.stringify(first)}\n\n`)
    response.write('event: error\ndata: {"type":"error","error":{"type":"overloaded_error"}}\n\n')
    response.end()
  }
}

function eventsOf({ content, stop = 'end_turn', usage }: Scripted): { type: string }[] {
  const { output_tokens, ...input } = usage
  const begun = { id: ID, type: 'message', role: 'assistant', model: MODEL, content: [] }
  return [
    {
      type: 'message_start',
      message: { ...begun, stop_reason: null, usage: { ...input, output_tokens: 1 } },
    },
    ...content.flatMap((block, index) => [
      { type: 'content_block_start', index, content_block: empty(block) },
      ...deltas(block).map((delta) => ({ type: 'content_block_delta', index, delta })),
      { type: 'content_block_stop', index },
    ]),
    {
      type: 'message_delta',
      delta: { stop_reason: stop, stop_sequence: null },
      usage: { output_tokens },
    },
    { type: 'message_stop' },
  ] as { type: string }[]
}

function empty(block: Block): object {
  return block.type === 'text' ? { ...block, text: '' } : { ...block, input: {} }
}

function deltas(block: Block): object[] {
  if (block.type === 'text')
    return block.text.split(/(?<= )/).map((text) => ({ type: 'text_delta', text }))
  const json = JSON.stringify(block.input)
  return [
    { type: 'input_json_delta', partial_json: json.slice(0, 5) },
    { type: 'input_json_delta', partial_json: json.slice(5) },
  ]
}

export async function collect<T>(events: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const event of events) all.push(event)
  return all
}
