/** The search, chat and mail services behind the gateway's tools, in one local server that misbehaves on demand. */
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export type ProviderName = 'serpapi' | 'openai' | 'gmail_send' | 'page'

export interface ProviderRequest {
  readonly provider: ProviderName
  readonly method: string
  readonly path: string
  readonly query: URLSearchParams
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

/** What a provider does from now on. */
export type Mood =
  | 'fine'
  | 'hang'
  | 'drop'
  /** 200, and no JSON. */
  | 'garbage'
  | { readonly slowMs: number }
  | { readonly status: number; readonly headers?: Record<string, string> }

export interface Providers extends AsyncDisposable {
  /** `127.0.0.1:<port>` */
  readonly host: string
  readonly url: string
  /** Where the gateway's configuration points a tool. */
  baseUrl(provider: ProviderName): string
  become(provider: ProviderName, mood: Mood | ((request: ProviderRequest) => Mood)): void
  /** Requests to one provider, from the first. */
  requests(provider: ProviderName): ProviderRequest[]
}

/** What every provider says in an error, and no client may ever read. */
export const PROVIDER_SECRET = 'provider-internal-detail'

export async function startProviders(): Promise<Providers> {
  const requests: ProviderRequest[] = []
  const moods = new Map<ProviderName, Mood | ((request: ProviderRequest) => Mood)>()
  const timers = new Set<NodeJS.Timeout>()
  const server = createServer((incoming, response) => {
    const chunks: Buffer[] = []
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
    incoming.on('end', () => {
      const { pathname, searchParams: query } = new URL(incoming.url ?? '/', 'http://provider')
      const [, first = '', ...rest] = pathname.split('/')
      const provider = first as ProviderName
      const path = `/${rest.join('/')}`
      const body = Buffer.concat(chunks).toString('utf8')
      const { method = '', headers } = incoming
      const request = { provider, method, path, query, headers, body }
      requests.push(request)
      const set = moods.get(provider) ?? 'fine'
      const mood = typeof set === 'function' ? set(request) : set
      if (mood === 'hang') return
      if (mood === 'drop') {
        incoming.socket.resetAndDestroy()
        return
      }
      const slow = typeof mood === 'object' && 'slowMs' in mood ? mood.slowMs : 0
      const timer = setTimeout(() => {
        timers.delete(timer)
        answer(response, request, mood, requests.length)
      }, slow)
      timers.add(timer)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    host,
    url: `http://${host}`,
    baseUrl: (provider) => `http://${host}/${provider}`,
    become: (provider, mood) => void moods.set(provider, mood),
    requests: (provider) => requests.filter((request) => request.provider === provider),
    async [Symbol.asyncDispose]() {
      for (const timer of timers) clearTimeout(timer)
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

function answer(
  response: ServerResponse,
  request: ProviderRequest,
  mood: Mood,
  serial: number,
): void {
  if (mood === 'garbage') {
    response.writeHead(200, { 'content-type': 'text/html' })
    response.end(`<p>${PROVIDER_SECRET}`)
    return
  }
  if (typeof mood === 'object' && 'status' in mood) {
    response.writeHead(mood.status, { 'content-type': 'application/json', ...mood.headers })
    response.end(JSON.stringify({ error: { message: PROVIDER_SECRET } }))
    return
  }
  if (request.provider === 'page') {
    response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' })
    response.end(request.method === 'HEAD' ? undefined : '<h1>a page</h1>')
    return
  }
  response.writeHead(200, { 'content-type': 'application/json' })
  response.end(JSON.stringify(result(request, serial)))
}

function result({ provider, path, query, body }: ProviderRequest, serial: number): unknown {
  if (provider === 'serpapi') {
    const organic_results = Array.from({ length: Number(query.get('num')) }, (_, n) => ({
      position: n + 1,
      title: `about ${query.get('q')}`,
      link: `https://example.com/${serial}/${n}`,
    }))
    return { search_metadata: { status: 'Success' }, organic_results }
  }
  if (provider === 'openai') {
    const { model, messages, prompt } = JSON.parse(body) as {
      model: string
      messages?: { content: string }[]
      prompt?: string
    }
    const content = `heard ${messages?.at(-1)?.content ?? prompt}`
    const message = { role: 'assistant', content }
    return { model, choices: [{ index: 0, message, text: content }], usage: { total_tokens: 3 } }
  }
  if (path.endsWith('/profile')) return { emailAddress: 'owner@example.org', messagesTotal: 7 }
  return { id: `msg_${serial}`, threadId: `thread_${serial}`, labelIds: ['SENT'] }
}
