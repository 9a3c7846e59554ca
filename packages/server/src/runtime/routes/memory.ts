/** `memory/…` (runtime contract §14.3). */
import { VestryError } from '@vestry/contract/errors'
import type { Memory } from '../../knowledge/memory/memory.ts'
import type { RuntimeRequest, RuntimeRoute } from '../wire/route.ts'
import { numberOf } from './schedules.ts'

export function memoryRoutes(memory: Memory): RuntimeRoute[] {
  const route = (
    method: RuntimeRoute['method'],
    path: string,
    handle: RuntimeRoute['handle'],
  ): RuntimeRoute => ({ method, path, access: 'key', handle })
  return [
    route('POST', 'memory', async (request) => ({
      status: 201,
      body: await memory.add(request, request.json()),
    })),
    route('GET', 'memory', async (request) => ({
      body: await memory.get(request, filled(request.query)),
    })),
    route('POST', 'memory/search', async (request) => ({
      body: await memory.search(request, request.json()),
    })),
    route('POST', 'memory/consolidate/:agent_id', async (request) => ({
      body: await memory.consolidate(request, request.params['agent_id'] ?? ''),
    })),
    route('GET', 'memory/conversation', async (request) => ({
      body: await memory.conversation(
        request,
        needed(request, 'agent_id'),
        needed(request, 'conversation_id'),
      ),
    })),
    route('GET', 'memory/agent', async (request) => ({
      body: await memory.list(
        request,
        needed(request, 'agent_id'),
        numberOf(request, 'limit', 100),
      ),
    })),
    route('DELETE', 'memory/:id', async (request) => ({
      body: await memory.remove(request, request.params['id'] ?? ''),
    })),
  ]
}

/** An empty parameter counts as absent. */
function filled(query: RuntimeRequest['query']): Record<string, string> {
  return Object.fromEntries(Object.entries(query).filter(([, value]) => value !== ''))
}

/** @throws VestryError VALIDATION_ERROR */
function needed({ query }: RuntimeRequest, name: string): string {
  const value = query[name]
  if (value !== undefined && value !== '') return value
  throw new VestryError('VALIDATION_ERROR', `${name}: is required`, {
    context: { details: { fields: [{ path: name, problem: 'required' }] } },
  })
}
