/** `workflows…`: definitions, runs, and what is told to runs (runtime contract §5). */
import { VestryError } from '@vestry/contract/errors'
import * as z from 'zod'
import type { Agent } from '../../identity/agent.ts'
import type { EventSink, RuntimeReply, RuntimeRequest, RuntimeRoute } from '../wire/route.ts'
import type { VerbDoor } from '../wire/verb-door.ts'
import { RUN_STATUSES, runBody, type WorkflowRun } from '../workflows/run.ts'
import { runEvents } from '../workflows/run-events.ts'
import { noSuchRun, type Workflows } from '../workflows/workflows.ts'

export interface WorkflowRouteDeps {
  readonly workflows: Workflows
  readonly verbs: VerbDoor
  /** @throws VestryError AGENT_NOT_FOUND */
  readonly agentNamed: (name: string) => Promise<Agent>
}

const Asked = z.looseObject({
  workflow_id: z.string().min(1).max(262_144),
  parameters: z.record(z.string(), z.unknown()).nullish(),
  agent_id: z.string().min(1).max(128).nullish(),
})
const SignalName = z.string().min(1).max(128)
const Status = z.enum(RUN_STATUSES)
const LIMIT = 100

export function workflowRoutes({
  workflows,
  verbs,
  agentNamed,
}: WorkflowRouteDeps): RuntimeRoute[] {
  const byVerb = async (
    request: RuntimeRequest,
    name: string,
    given: Record<string, unknown>,
    status = 200,
  ): Promise<RuntimeReply> => {
    const { result } = await verbs(request, name, given)
    return { status, body: result as Record<string, unknown> } // these verbs answer with objects
  }
  const told = async (
    { caller }: RuntimeRequest,
    run: WorkflowRun,
  ): Promise<Record<string, unknown>> => {
    await workflows.told(run.id, caller.txn)
    const content = await workflows.content(run.id)
    return runBody(run, content, await workflows.steps(run.id, content))
  }
  /** Runs of another agent are absent to a key of one. */
  const visible = async ({ params, scope }: RuntimeRequest): Promise<WorkflowRun> => {
    const id = params['execution'] ?? ''
    const run = await workflows.get(id)
    if (run === undefined || (scope !== undefined && run.agentId !== scope.agentId))
      throw noSuchRun(id)
    return run
  }
  /** The agent in whose name it runs, if that is another one than who asks. */
  const asWhom = async (
    { caller: { principal }, scope }: RuntimeRequest,
    name: string | null | undefined,
  ): Promise<Agent | undefined> => {
    if (name === null || name === undefined) return undefined
    if (scope !== undefined) {
      if (scope.agentName !== name) throw new VestryError('AGENT_NOT_FOUND')
      return undefined
    }
    if (principal.kind !== 'operator' || !['owner', 'admin'].includes(principal.operator.role))
      throw new VestryError('ADMIN_REQUIRED', 'Only administrators run workflows as an agent')
    return agentNamed(name)
  }
  const execute = async (request: RuntimeRequest): Promise<RuntimeReply> => {
    const read = Asked.safeParse(request.json())
    if (!read.success) {
      const details = read.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`)
      throw new VestryError('VALIDATION_ERROR', details[0], { context: { details } })
    }
    const { workflow_id: workflowId, parameters, agent_id: agentId } = read.data
    const { caller, requestId } = request
    const as = await asWhom(request, agentId)
    const asked = {
      workflowId,
      params: parameters ?? {},
      caller,
      ...(as !== undefined && { as }),
      requestId,
      trigger: 'api',
    }
    const { executionId } = await workflows.start(asked)
    // The time for an answer may be over before the run is: then it says how far it is.
    await workflows.ended(executionId, request.signal).catch(() => undefined)
    const run = await workflows.get(executionId)
    if (run === undefined) throw noSuchRun(executionId)
    const isOver = run.finishedAt !== undefined
    const body = await told(request, isOver ? run : { ...run, status: 'running' })
    return { status: isOver ? 200 : 202, body }
  }
  return [
    { method: 'POST', path: 'workflows', access: 'key', handle: execute },
    { method: 'POST', path: 'workflows/execute', access: 'key', handle: execute },
    {
      method: 'GET',
      path: 'workflows/definitions',
      access: 'admin',
      handle: (request) => byVerb(request, 'workflow.list', {}),
    },
    {
      method: 'POST',
      path: 'workflows/definitions',
      access: 'admin',
      handle: (request) => byVerb(request, 'workflow.add', { definition: request.json() }, 201),
    },
    {
      method: 'GET',
      path: 'workflows/definitions/:id',
      access: 'admin',
      handle: (request) => byVerb(request, 'workflow.show', { id: request.params['id'] }),
    },
    {
      method: 'PUT',
      path: 'workflows/definitions/:id',
      access: 'admin',
      handle: (request) =>
        byVerb(request, 'workflow.update', {
          definition: { ...request.json(), id: request.params['id'] },
        }),
    },
    {
      method: 'DELETE',
      path: 'workflows/definitions/:id',
      access: 'admin',
      handle: (request) => byVerb(request, 'workflow.rm', { id: request.params['id'] }),
    },
    {
      method: 'GET',
      path: 'workflows/executions',
      access: 'key',
      handle: async ({ query, scope }) => {
        const given = query['status']
        const status = given === undefined ? undefined : Status.safeParse(given)
        if (status?.success === false)
          throw new VestryError('VALIDATION_ERROR', `status: one of ${RUN_STATUSES.join(', ')}`)
        const runs = await workflows.list({
          workflowId: query['workflow_id'],
          status: status?.data,
          agentId: scope?.agentId,
          limit: LIMIT,
        })
        return { body: { executions: runs.map((run) => runBody(run, undefined, [])) } }
      },
    },
    {
      method: 'GET',
      path: 'workflows/executions/:execution',
      access: 'key',
      handle: async (request) => ({ body: await told(request, await visible(request)) }),
    },
    {
      method: 'GET',
      path: 'workflows/executions/:execution/events',
      access: 'key',
      handle: async (request) => {
        const { id } = await visible(request)
        const { txn } = request.caller
        const lastEventId = request.header('last-event-id')
        const stream = (events: EventSink) => runEvents(workflows, { id, txn, lastEventId }, events)
        return { body: {}, stream }
      },
    },
    {
      method: 'DELETE',
      path: 'workflows/executions/:execution',
      access: 'key',
      handle: async (request) => {
        const run = await visible(request)
        if (!(await workflows.cancel(run)))
          throw new VestryError('INVALID_STATE_TRANSITION', 'The execution has ended', {
            context: { status: run.status },
          })
        return { body: await told(request, await visible(request)) }
      },
    },
    {
      method: 'POST',
      path: 'workflows/executions/:execution/signals/:name',
      access: 'key',
      handle: async (request) => {
        const run = await visible(request)
        const name = SignalName.safeParse(request.params['name'])
        if (!name.success) throw new VestryError('VALIDATION_ERROR', 'name: 1 to 128 characters')
        await workflows.signal(run, name.data, request.raw.length === 0 ? null : request.json())
        return { body: { execution_id: run.id, name: name.data, status: 'signalled' } }
      },
    },
  ]
}
