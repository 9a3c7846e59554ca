/** `endpoints/…` and what they serve, `ep/…` (runtime contract §14.5). */
import { SERVED_METHODS } from '../endpoints/endpoint.ts'
import type { Endpoints } from '../endpoints/endpoints.ts'
import { verbRoutes } from '../wire/by-verb.ts'
import { corsHeaders } from '../wire/cors.ts'
import type { RuntimeRequest, RuntimeRoute } from '../wire/route.ts'
import type { VerbDoor } from '../wire/verb-door.ts'

const PREFIX = 'ep/'

export function endpointRoutes({
  endpoints,
  verbs,
  corsOrigins,
}: {
  endpoints: Endpoints
  verbs: VerbDoor
  corsOrigins: readonly string[]
}): RuntimeRoute[] {
  const { call: byVerb, one: onOne } = verbRoutes(verbs, 'endpoints', 'endpoint_id')
  return [
    {
      method: 'POST',
      path: 'endpoints',
      access: 'admin',
      handle: (request) => byVerb(request, 'endpoint.add', { config: request.json() }, 201),
    },
    {
      method: 'GET',
      path: 'endpoints',
      access: 'key',
      handle: ({ scope }) => ({ body: endpoints.list(scope?.agentName) }),
    },
    {
      method: 'GET',
      path: 'endpoints/:id',
      access: 'key',
      handle: (request) => ({ body: endpoints.info(idOf(request), request.scope?.agentName) }),
    },
    {
      method: 'GET',
      path: 'endpoints/:id/metrics',
      access: 'key',
      handle: (request) => ({ body: endpoints.metrics(idOf(request), request.scope?.agentName) }),
    },
    {
      method: 'PUT',
      path: 'endpoints/:id',
      access: 'admin',
      handle: (request) =>
        byVerb(request, 'endpoint.update', { endpoint_id: idOf(request), config: request.json() }),
    },
    onOne('POST', '/enable', 'endpoint.enable'),
    onOne('POST', '/disable', 'endpoint.disable'),
    onOne('DELETE', '', 'endpoint.rm'),
    ...SERVED_METHODS.map(
      (method): RuntimeRoute => ({
        method,
        path: `${PREFIX}*`,
        access: 'key',
        isPublic: (rest) => !endpoints.needsKey(method, rest),
        handle: (request) => {
          const path = request.params['*'] ?? ''
          const asked = {
            query: request.query,
            body: request.raw.length === 0 ? null : request.json(),
            requestId: request.requestId,
            traceparent: request.header('traceparent'),
            remoteAddress: request.remoteAddress,
            isForeignPage: isForeign(request.header('origin'), corsOrigins),
          }
          return endpoints.serve(method, path, asked, request.scope?.agentName)
        },
      }),
    ),
  ]
}

function isForeign(origin: string | undefined, listed: readonly string[]): boolean {
  return origin !== undefined && corsHeaders(origin, listed) === undefined
}

function idOf({ params }: RuntimeRequest): string {
  return params['id'] ?? ''
}
