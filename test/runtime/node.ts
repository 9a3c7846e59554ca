/** A daemon as clients of the runtime API see it: raw requests, whatever their path looks like. */
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { type ClientRequest, type IncomingMessage, request } from 'node:http'
import type { Ready } from '../../packages/server/src/app/ready.ts'

export interface Answer {
  readonly status: number
  readonly headers: IncomingMessage['headers']
  readonly text: string
  // biome-ignore lint/suspicious/noExplicitAny: tests assert on whatever came back
  readonly json: any
}

export interface AskOptions {
  /** Undefined: the first admin key; `null`: none. */
  readonly key?: string | null
  /** Sent as JSON unless it is text or bytes. */
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
}

export class RuntimeNode {
  readonly url: string
  readonly adminKey: string

  constructor({ http, admin_key_file }: Ready) {
    this.url = http
    this.adminKey = readFileSync(admin_key_file, 'utf8').trim()
  }

  /** @param path Below `/api/v1/`, sent as it is; with a leading slash, from the root. */
  async ask(method: string, path: string, { body, ...options }: AskOptions = {}): Promise<Answer> {
    const outgoing = this.begin(method, path, options)
    const isRaw = typeof body === 'string' || Buffer.isBuffer(body)
    outgoing.end(body === undefined || isRaw ? body : JSON.stringify(body))
    return answerOf(outgoing)
  }

  /** The caller ends it. */
  begin(method: string, path: string, { key, headers = {} }: AskOptions = {}): ClientRequest {
    const { hostname, port } = new URL(this.url)
    const token = key === undefined ? this.adminKey : key
    return request({
      host: hostname,
      port,
      method,
      path: path.startsWith('/') ? path : `/api/v1/${path}`,
      headers: { ...(token !== null && { authorization: `Bearer ${token}` }), ...headers },
      agent: false,
    })
  }
}

export async function answerOf(outgoing: ClientRequest): Promise<Answer> {
  const [reply] = (await once(outgoing, 'response')) as [IncomingMessage]
  const chunks: Buffer[] = []
  for await (const chunk of reply) chunks.push(chunk as Buffer)
  const text = Buffer.concat(chunks).toString('utf8')
  return { status: reply.statusCode ?? 0, headers: reply.headers, text, json: jsonOf(text) }
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
