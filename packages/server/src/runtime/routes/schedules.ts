/** `schedules/…` and `health/scheduler` (runtime contract §15.3). */
import { VestryError } from '@vestry/contract/errors'
import type { Schedules } from '../schedules/schedules.ts'
import { verbRoutes } from '../wire/by-verb.ts'
import type { RuntimeRequest, RuntimeRoute } from '../wire/route.ts'
import type { VerbDoor } from '../wire/verb-door.ts'

export function scheduleRoutes({
  schedules,
  verbs,
}: {
  schedules: Schedules
  verbs: VerbDoor
}): RuntimeRoute[] {
  const { call, one } = verbRoutes(verbs, 'schedules', 'schedule')
  const read = (path: string, handle: RuntimeRoute['handle']): RuntimeRoute => ({
    method: 'GET',
    path,
    access: 'key',
    handle,
  })
  return [
    read('schedules', async ({ scope }) => ({ body: await schedules.list(scope?.agentId) })),
    {
      method: 'POST',
      path: 'schedules',
      access: 'admin',
      handle: (request) => call(request, 'schedule.add', { schedule: request.json() }, 201),
    },
    read('schedules/:id', async (request) => ({
      body: await schedules.show(idOf(request), request.scope?.agentId),
    })),
    {
      method: 'PUT',
      path: 'schedules/:id',
      access: 'admin',
      handle: (request) =>
        call(request, 'schedule.update', { schedule: idOf(request), changes: request.json() }),
    },
    one('DELETE', '', 'schedule.rm'),
    one('POST', '/pause', 'schedule.pause'),
    one('POST', '/resume', 'schedule.resume'),
    one('POST', '/trigger', 'schedule.trigger'),
    read('schedules/:id/history', async (request) => ({
      body: await schedules.history(
        idOf(request),
        numberOf(request, 'limit', 50),
        request.scope?.agentId,
      ),
    })),
    read('schedules/:id/next-runs', async (request) => ({
      body: await schedules.nextRuns(
        idOf(request),
        numberOf(request, 'count', 10),
        request.scope?.agentId,
      ),
    })),
    {
      method: 'GET',
      path: 'health/scheduler',
      access: 'admin',
      handle: async () => ({ body: await schedules.health() }),
    },
  ]
}

function idOf({ params }: RuntimeRequest): string {
  return params['id'] ?? ''
}

/** @throws VestryError VALIDATION_ERROR */
export function numberOf({ query }: RuntimeRequest, name: string, otherwise: number): number {
  const text = query[name]
  if (text === undefined || text === '') return otherwise
  if (/^[1-9]\d{0,5}$/.test(text)) return Number(text)
  const problem = 'must be a whole number from 1'
  throw new VestryError('VALIDATION_ERROR', `${name}: ${problem}`, {
    context: { details: { fields: [{ path: name, problem }] } },
  })
}
