/** `agents/…`: define agents, look at them, run them, and what agents elsewhere tell of themselves (contract §4, §15.2). */
import { VestryError } from '@vestry/contract/errors'
import { newTimeOrderedId } from '@vestry/contract/ids'
import type { Agent } from '../../identity/agent.ts'
import { isAgentName } from '../../identity/agent-name.ts'
import { type Agents, agentNotFound } from '../agents/agents.ts'
import { invalidFields } from '../agents/definition.ts'
import { executionBody, hasEnded, historyEntry } from '../agents/execution.ts'
import { type Executions, noSuchExecution } from '../agents/executions.ts'
import { orNothing, readInput } from '../agents/input.ts'
import { MAX_HISTORY } from '../agents/verbs.ts'
import type { RuntimeReply, RuntimeRequest, RuntimeRoute } from '../wire/route.ts'
import type { VerbDoor } from '../wire/verb-door.ts'

export interface AgentRouteDeps {
  readonly agents: Agents
  readonly executions: Executions
  readonly verbs: VerbDoor
  /** Records what somebody did to an agent. */
  readonly record: (request: RuntimeRequest, agent: Agent, did: Did) => Promise<void>
}

export interface Did {
  /** Of the record, such as `agent.stop`. */
  readonly action: string
  readonly data: Readonly<Record<string, unknown>>
}

const DEFAULT_HISTORY = 100
/** Below what an answer may take. */
const MAX_WAIT_SECONDS = 20

export function agentRoutes(deps: AgentRouteDeps): RuntimeRoute[] {
  const { agents, executions, verbs } = deps
  const status = async (request: RuntimeRequest): Promise<RuntimeReply> => ({
    body: await agents.status(await visible(agents, request)),
  })
  const byVerb = async (
    request: RuntimeRequest,
    name: string,
    given: Record<string, unknown>,
  ): Promise<Record<string, unknown>> => {
    const { result } = await verbs(request, name, given)
    return result as Record<string, unknown> // these verbs answer with objects
  }
  const execute = async (
    request: RuntimeRequest,
    inputFor: (agent: Agent) => Promise<string>,
  ): Promise<RuntimeReply> => {
    const agent = await visible(agents, request)
    const { caller, requestId } = request
    const input = await inputFor(agent)
    const started = await executions.start({ agent, input, trigger: 'api', caller, requestId })
    return { body: { execution_id: started.id, status: 'execution_started' } }
  }
  return [
    {
      method: 'GET',
      path: 'agents',
      access: 'key',
      handle: async ({ scope }) => ({
        body: scope === undefined ? await agents.ids() : [scope.agentName],
      }),
    },
    {
      method: 'POST',
      path: 'agents',
      access: 'admin',
      handle: async (request) => {
        const definition = request.json()
        if (isAgentText(definition)) {
          const given = fromText(definition)
          return { status: 201, body: createdBody(await byVerb(request, 'dsl.register', given)) }
        }
        return { status: 201, body: await byVerb(request, 'agent.create', { definition }) }
      },
    },
    { method: 'GET', path: 'agents/:id', access: 'key', handle: status },
    { method: 'GET', path: 'agents/:id/status', access: 'key', handle: status },
    {
      method: 'PUT',
      path: 'agents/:id',
      access: 'admin',
      handle: async (request) => {
        const { name } = await visible(agents, request)
        const definition = request.json()
        return { body: await byVerb(request, 'agent.update', { name, definition }) }
      },
    },
    {
      method: 'DELETE',
      path: 'agents/:id',
      access: 'admin',
      handle: async (request) => {
        const agent = await visible(agents, request)
        await byVerb(request, 'agent.revoke', { name: agent.name })
        await agents.forget(agent.id)
        return { body: { id: agent.name, status: 'deleted' } }
      },
    },
    {
      method: 'GET',
      path: 'agents/:id/metrics',
      access: 'key',
      handle: async (request) => ({ body: await agents.metrics(await visible(agents, request)) }),
    },
    {
      method: 'GET',
      path: 'agents/:id/history',
      access: 'key',
      handle: async (request) => {
        const agent = await visible(agents, request)
        const limit = wholeNumber(request, 'limit', {
          min: 1,
          standard: DEFAULT_HISTORY,
          max: MAX_HISTORY,
        })
        return { body: { history: (await executions.history(agent.id, limit)).map(historyEntry) } }
      },
    },
    {
      method: 'POST',
      path: 'agents/:id/execute',
      access: 'key',
      handle: (request) => execute(request, async () => orNothing(readInput(request.json()))),
    },
    {
      method: 'POST',
      path: 'agents/:id/re-execute',
      access: 'key',
      handle: (request) =>
        execute(request, async (agent) =>
          orNothing(readInput(request.json()) ?? (await executions.lastInput(agent.id))),
        ),
    },
    {
      method: 'POST',
      path: 'agents/:id/stop',
      access: 'key',
      handle: async (request) => {
        const agent = await visible(agents, request)
        const stopped = await executions.cancelAll(agent.id)
        await deps.record(request, agent, { action: 'agent.stop', data: { stopped } })
        return { body: { id: agent.name, status: 'stopped', stopped } }
      },
    },
    {
      method: 'GET',
      path: 'agents/:id/executions/:execution',
      access: 'key',
      handle: async (request) => {
        const agent = await visible(agents, request)
        const wait = wholeNumber(request, 'wait_seconds', {
          min: 0,
          standard: 0,
          max: MAX_WAIT_SECONDS,
        })
        const { id } = await ownExecution(executions, request, agent)
        if (wait > 0)
          await executions.moved(id, Number.MAX_SAFE_INTEGER, wait * 1_000, request.signal)
        return { body: await told(executions, request, agent) }
      },
    },
    {
      method: 'DELETE',
      path: 'agents/:id/executions/:execution',
      access: 'key',
      handle: async (request) => {
        const agent = await visible(agents, request)
        const execution = await ownExecution(executions, request, agent)
        if (hasEnded(execution))
          throw new VestryError('INVALID_STATE_TRANSITION', 'The execution has ended', {
            context: { status: execution.status },
          })
        await executions.cancel(execution)
        const { id } = execution
        await deps.record(request, agent, { action: 'agent.stop', data: { execution: id } })
        return { body: await told(executions, request, agent) }
      },
    },
  ]
}

/** To a key of one agent every other one is absent. @throws VestryError AGENT_NOT_FOUND */
export async function visible(
  agents: Pick<Agents, 'named'>,
  { params, scope }: RuntimeRequest,
): Promise<Agent> {
  const name = params['id'] ?? ''
  if (scope !== undefined && scope.agentName !== name) throw agentNotFound(name)
  return agents.named(name)
}

async function ownExecution(executions: Executions, { params }: RuntimeRequest, agent: Agent) {
  const id = params['execution'] ?? ''
  const found = await executions.get(id)
  if (found === undefined || found.agentId !== agent.id) throw noSuchExecution(id)
  return found
}

async function told(
  executions: Executions,
  request: RuntimeRequest,
  agent: Agent,
): Promise<Record<string, unknown>> {
  const execution = await ownExecution(executions, request, agent)
  const content = await executions.content(execution.id)
  return executionBody(execution, agent.name, content, executions.steps(execution.id))
}

/** The shape of later clients: an agent in its own language. */
function isAgentText(body: Readonly<Record<string, unknown>>): boolean {
  return typeof body['dsl'] === 'string' && body['system_prompt'] === undefined
}

/** @throws VestryError VALIDATION_ERROR */
function fromText({ name, dsl }: Readonly<Record<string, unknown>>) {
  if (typeof name !== 'string' || name === '')
    throw invalidFields([{ path: 'name', problem: 'must be text' }])
  // What is no name for an agent is one for people.
  return { source: dsl, agent_name: isAgentName(name) ? name : newTimeOrderedId('agt', Date.now()) }
}

/** @throws VestryError DSL_INVALID */
function createdBody(compiled: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const { success, agent_id: id, compiled_at: at, errors, warnings } = compiled
  if (success === true) return { id, status: 'created', created_at: at, warnings }
  const lines = Array.isArray(errors) ? errors.map(String) : []
  throw new VestryError('DSL_INVALID', lines.slice(0, 5).join('; '), { context: { errors: lines } })
}

function wholeNumber(
  { query }: RuntimeRequest,
  name: string,
  { min, standard, max }: { min: number; standard: number; max: number },
): number {
  const text = query[name]
  if (text === undefined || text === '') return standard
  const value = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN
  if (value >= min && value <= max) return value
  throw invalidFields([{ path: name, problem: `must be a whole number from ${min} to ${max}` }])
}
