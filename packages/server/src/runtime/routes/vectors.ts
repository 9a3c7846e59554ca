/** `vectors/…` (runtime contract §14.4). */
import type { Collections } from '../../knowledge/collections/collections.ts'
import { verbRoutes } from '../wire/by-verb.ts'
import type { RuntimeRequest, RuntimeRoute } from '../wire/route.ts'
import type { VerbDoor } from '../wire/verb-door.ts'

export interface VectorRoutesDeps {
  readonly collections: Collections
  readonly verbs: VerbDoor
  /** The same as `knowledge/search`. */
  readonly searchKnowledge: RuntimeRoute['handle']
}

export function vectorRoutes({
  collections,
  verbs,
  searchKnowledge,
}: VectorRoutesDeps): RuntimeRoute[] {
  const { call } = verbRoutes(verbs, 'vectors/collections', 'collection')
  const nameOf = ({ params }: RuntimeRequest) => params['name'] ?? ''
  const write = (
    method: RuntimeRoute['method'],
    path: string,
    name: string,
    status = 200,
  ): RuntimeRoute => ({
    method,
    path,
    access: 'admin',
    handle: (request) => call(request, name, { body: request.json() }, status),
  })
  const read = (path: string, handle: RuntimeRoute['handle']): RuntimeRoute => ({
    method: 'GET',
    path,
    access: 'key',
    handle,
  })
  return [
    write('POST', 'vectors/collections', 'vectors.create', 201),
    write('POST', 'vectors/upsert', 'vectors.upsert'),
    write('DELETE', 'vectors/delete', 'vectors.delete'),
    {
      method: 'DELETE',
      path: 'vectors/collections/:name',
      access: 'admin',
      handle: (request) => call(request, 'vectors.rm', { collection: nameOf(request) }),
    },
    read('vectors/collections', async () => ({ body: await collections.list() })),
    read('vectors/collections/:name', async (request) => ({
      body: await collections.info(nameOf(request)),
    })),
    read('vectors/collections/:name/count', async (request) => ({
      body: await collections.count(nameOf(request)),
    })),
    read('vectors/retrieve', async ({ query, queryAll }) => ({
      body: await collections.retrieve(query['collection_name'] ?? '', queryAll('ids')),
    })),
    {
      method: 'POST',
      path: 'vectors/search',
      access: 'key',
      handle: async (request) => {
        const body = request.json()
        if (typeof body['collection_name'] !== 'string') return searchKnowledge(request)
        return { body: await collections.search(body, request.signal) }
      },
    },
  ]
}
