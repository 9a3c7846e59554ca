/** A search and a mail service on loopback, as the gateway's tools expect them, that count what reaches them. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** A search that takes for ever when it is asked for the first time. */
export const SLOW_QUERY = 'every bakery in Quebec'

export interface Seen {
  searches: string[]
  /** As they arrived: base64url of a whole message. */
  mails: string[]
  searchKey?: string | undefined
  mailKey?: string | undefined
}

export async function startProviders() {
  const seen: Seen = { searches: [], mails: [] }
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://provider')
    if (url.pathname === '/search') search(url, response, seen)
    else void mail(request, response, seen)
  })
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready))
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    seen,
    [Symbol.dispose]: () => {
      server.close()
      server.closeAllConnections()
    },
  }
}

function search({ searchParams }: URL, response: ServerResponse, seen: Seen): void {
  const q = searchParams.get('q') ?? ''
  seen.searchKey = searchParams.get('api_key') ?? undefined
  seen.searches.push(q)
  if (q === SLOW_QUERY && seen.searches.filter((one) => one === q).length === 1) return
  const found = { title: 'Boulangerie du Parc', phone: '+1 514 555 0199', owner: 'ann@example.com' }
  answer(response, { organic_results: [found] })
}

async function mail(request: IncomingMessage, response: ServerResponse, seen: Seen): Promise<void> {
  const { raw } = (await new Response(request).json()) as { raw: string }
  seen.mailKey = request.headers.authorization
  seen.mails.push(raw)
  answer(response, { id: `msg_${seen.mails.length}`, threadId: 'thread_1' })
}

function answer(response: ServerResponse, body: object): void {
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}
