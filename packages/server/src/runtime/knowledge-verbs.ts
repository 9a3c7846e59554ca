/** Knowledge for operators, behind the command line. */
import * as z from 'zod'
import { type AdminCall, type AdminVerb, verb } from '../admin/verb.ts'
import type { Knowledge } from '../knowledge/knowledge.ts'
import { knowledgeRoutes } from './routes/knowledge.ts'
import type { RuntimeReply, RuntimeRequest, RuntimeRoute } from './wire/route.ts'

const Body = z.strictObject({ body: z.record(z.string(), z.unknown()) })
const One = z.strictObject({ id: z.string().min(1).max(256) })
const Page = z.strictObject({
  agent_id: z.string().min(1).max(128).optional(),
  source_type: z.string().min(1).max(64).optional(),
  page: z.int().min(1).optional(),
  limit: z.int().min(1).max(100).optional(),
})

type Asked = Partial<Pick<RuntimeRequest, 'params' | 'query' | 'json'>>

/** The same functions that answer over HTTP, so that both doors check and show the same. */
export function knowledgeVerbs(knowledge: Knowledge): AdminVerb[] {
  const routes = knowledgeRoutes(knowledge)
  const through = async (
    { caller, requestId, signal }: AdminCall<unknown>,
    [method, path]: readonly [RuntimeRoute['method'], string],
    asked: Asked,
  ): Promise<Record<string, unknown>> => {
    const route = routes.find((one) => one.method === method && one.path === path)
    if (route === undefined) throw new Error(`no route ${method} ${path}`)
    const { body }: RuntimeReply = await route.handle({
      caller,
      requestId,
      signal,
      scope: undefined,
      nowMs: 0,
      params: {},
      query: {},
      queryAll: () => [],
      header: () => undefined,
      raw: Buffer.alloc(0),
      remoteAddress: '',
      json: () => ({}),
      ...asked,
    })
    return body as Record<string, unknown> // every answer of these routes is an object
  }
  const posts = (name: string, action: AdminVerb['action'], path: string): AdminVerb =>
    verb({
      name: `knowledge.${name}`,
      action,
      event: `knowledge.${name}`,
      params: Body,
      run: (call) => through(call, ['POST', path], { json: () => call.params.body }),
    })
  return [
    posts('add', 'admin:write', 'knowledge/documents'),
    posts('search', 'admin:read', 'knowledge/search'),
    posts('context', 'admin:read', 'rag/context'),
    verb({
      name: 'knowledge.list',
      action: 'admin:read',
      event: 'knowledge.list',
      params: Page,
      run: (call) => {
        const given = Object.entries(call.params).filter(([, value]) => value !== undefined)
        const query = Object.fromEntries(given.map(([key, value]) => [key, String(value)]))
        return through(call, ['GET', 'knowledge'], { query })
      },
    }),
    verb({
      name: 'knowledge.show',
      action: 'admin:read',
      event: 'knowledge.show',
      params: One,
      run: (call) => through(call, ['GET', 'knowledge/:id'], { params: { id: call.params.id } }),
    }),
    verb({
      name: 'knowledge.rm',
      action: 'admin:write',
      event: 'knowledge.rm',
      params: One,
      data: ({ id }) => ({ item: id }),
      run: (call) => through(call, ['DELETE', 'knowledge/:id'], { params: { id: call.params.id } }),
    }),
  ]
}
