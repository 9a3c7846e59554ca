/** `http-input/…`: listeners whose requests start agents (runtime contract §13). */
import { VestryError } from '@vestry/contract/errors'
import type { HttpInputs } from '../http-input/inputs.ts'
import { verbRoutes } from '../wire/by-verb.ts'
import type { RuntimeRequest, RuntimeRoute } from '../wire/route.ts'
import type { VerbDoor } from '../wire/verb-door.ts'

export function httpInputRoutes({
  inputs,
  verbs,
}: {
  inputs: HttpInputs
  verbs: VerbDoor
}): RuntimeRoute[] {
  const { call: byVerb, one: onOne } = verbRoutes(verbs, 'http-input/servers', 'server_id')
  return [
    {
      method: 'POST',
      path: 'http-input/servers',
      access: 'admin',
      handle: (request) => byVerb(request, 'input.add', { config: configOf(request) }, 201),
    },
    {
      method: 'GET',
      path: 'http-input/servers',
      access: 'key',
      handle: ({ scope }) => ({ body: inputs.list(scope?.agentName) }),
    },
    {
      method: 'GET',
      path: 'http-input/servers/:id',
      access: 'key',
      handle: (request) => ({ body: inputs.info(idOf(request), request.scope?.agentName) }),
    },
    {
      method: 'GET',
      path: 'http-input/servers/:id/metrics',
      access: 'key',
      handle: (request) => ({ body: inputs.metrics(idOf(request), request.scope?.agentName) }),
    },
    {
      method: 'PUT',
      path: 'http-input/servers/:id',
      access: 'admin',
      handle: (request) => {
        assertSameId(request)
        return byVerb(request, 'input.update', {
          server_id: idOf(request),
          config: configOf(request),
        })
      },
    },
    onOne('POST', '/start', 'input.start'),
    onOne('POST', '/stop', 'input.stop'),
    onOne('DELETE', '', 'input.rm'),
    {
      method: 'POST',
      path: 'http-input/servers/:id/trigger',
      access: 'admin',
      handle: (request) => {
        assertSameId(request)
        const { payload, headers } = request.json()
        return byVerb(request, 'input.trigger', {
          server_id: idOf(request),
          payload,
          ...(headers !== undefined && { headers }),
        })
      },
    },
  ]
}

function idOf({ params }: RuntimeRequest): string {
  return params['id'] ?? ''
}

function configOf(request: RuntimeRequest): unknown {
  const { config } = request.json()
  if (config === undefined || config === null)
    throw new VestryError('INVALID_PARAMS', 'config: is required')
  return config
}

/** The body repeats the id of the path. */
function assertSameId(request: RuntimeRequest): void {
  const { server_id: named } = request.json()
  if (named !== undefined && named !== null && named !== idOf(request))
    throw new VestryError('INVALID_PARAMS', 'server_id: is not the one of the path')
}
