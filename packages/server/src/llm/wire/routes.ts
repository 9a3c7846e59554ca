/** The routes of this wire. Matching is exact: a trailing slash is another path. */

export interface Route {
  readonly path: string
  readonly method: 'GET' | 'POST'
  readonly kind: 'health' | 'models' | 'chat' | 'embeddings' | 'messages' | 'count_tokens'
  /** Of its records. */
  readonly event: string
  readonly envelope: 'openai' | 'anthropic'
}

export const ROUTES: readonly Route[] = [
  { path: '/health', method: 'GET', kind: 'health', event: 'llm.health', envelope: 'openai' },
  { path: '/v1/models', method: 'GET', kind: 'models', event: 'llm.models', envelope: 'openai' },
  {
    path: '/v1/chat/completions',
    method: 'POST',
    kind: 'chat',
    event: 'llm.chat',
    envelope: 'openai',
  },
  {
    path: '/v1/embeddings',
    method: 'POST',
    kind: 'embeddings',
    event: 'llm.embed',
    envelope: 'openai',
  },
  {
    path: '/v1/messages',
    method: 'POST',
    kind: 'messages',
    event: 'llm.message',
    envelope: 'anthropic',
  },
  {
    path: '/v1/messages/count_tokens',
    method: 'POST',
    kind: 'count_tokens',
    event: 'llm.count_tokens',
    envelope: 'anthropic',
  },
]

const BY_PATH = new Map(ROUTES.map((route) => [route.path, route]))

/** @param target As in the request line; the query does not count. */
export function routeOf(target: string): Route | undefined {
  const query = target.indexOf('?')
  return BY_PATH.get(query < 0 ? target : target.slice(0, query))
}
