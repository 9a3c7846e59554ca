/** Agents of the runtime for operators: behind the runtime API and the command line alike. */
import * as z from 'zod'
import { type AdminVerb, verb } from '../../admin/verb.ts'
import type { Agents, Created } from './agents.ts'
import { executionBody, hasEnded, historyEntry, iso } from './execution.ts'
import { type Executions, noSuchExecution } from './executions.ts'
import { orNothing } from './input.ts'

export interface AgentVerbDeps {
  readonly agents: Agents
  readonly executions: Executions
}

const Name = z.string().min(1).max(128)
const Id = z.string().min(1).max(64)
const Body = z.record(z.string(), z.unknown())
const MAX_WAIT_MS = 30_000
export const MAX_HISTORY = 1_000

export function agentVerbs({ agents, executions }: AgentVerbDeps): AdminVerb[] {
  return [
    verb({
      name: 'agent.create',
      action: 'admin:write',
      event: 'agent.register',
      params: z.strictObject({ definition: Body }),
      data: ({ definition: { id } }) => ({ ...(typeof id === 'string' && { name: id }) }),
      run: async ({ params, note }) => {
        const made = await agents.create(params.definition)
        note({ generation: made.generation, agent_id: made.agent.id })
        return {
          id: made.agent.name,
          status: 'created',
          created_at: iso(made.agent.createdAt),
          ...warningsOf(made),
        }
      },
    }),
    verb({
      name: 'agent.update',
      action: 'admin:write',
      event: 'agent.update',
      params: z.strictObject({ name: Name, definition: Body }),
      data: ({ name }) => ({ name }),
      run: async ({ params, note }) => {
        const made = await agents.update(params.name, params.definition)
        note({ generation: made.generation })
        return { id: made.agent.name, status: 'updated', ...warningsOf(made) }
      },
    }),
    verb({
      name: 'agent.run',
      // Whether it may be started is asked as `agent:run`, and so recorded.
      action: 'admin:read',
      event: 'admin.read',
      params: z.strictObject({ name: Name, input: z.string().optional() }),
      data: ({ name }) => ({ name }),
      run: async ({ caller, requestId, params }) => {
        const agent = await agents.named(params.name)
        const input = orNothing(params.input)
        const started = await executions.start({ agent, input, trigger: 'cli', caller, requestId })
        return { execution_id: started.id, agent_id: agent.name, status: 'execution_started' }
      },
    }),
    verb({
      name: 'agent.execution',
      action: 'admin:read',
      event: 'admin.read',
      params: z.strictObject({
        id: Id,
        /** Answers when it has ended or moved on, at the latest after this. */
        wait_ms: z.int().min(0).max(MAX_WAIT_MS).default(0),
        /** Steps that are known already. */
        seen: z.int().min(0).max(100_000).optional(),
      }),
      data: ({ id }) => ({ execution: id }),
      run: async ({ deps, params: { id, wait_ms: ms, seen }, signal }) => {
        const found = await executions.get(id)
        if (found === undefined) throw noSuchExecution(id)
        if (ms > 0 && !hasEnded(found))
          await executions.moved(id, seen ?? Number.MAX_SAFE_INTEGER, ms, signal)
        const execution = (await executions.get(id)) ?? found
        const agent = await deps.vault.agents.byId(execution.agentId)
        return executionBody(
          execution,
          agent?.name ?? execution.agentId,
          await executions.content(id),
          executions.steps(id),
        )
      },
    }),
    verb({
      name: 'agent.history',
      action: 'admin:read',
      event: 'admin.read',
      params: z.strictObject({ name: Name, limit: z.int().min(1).max(MAX_HISTORY).default(50) }),
      data: ({ name }) => ({ name }),
      run: async ({ params: { name, limit } }) => {
        const agent = await agents.named(name)
        return { history: (await executions.history(agent.id, limit)).map(historyEntry) }
      },
    }),
  ]
}

function warningsOf({ warnings }: Created): { warnings?: readonly string[] } {
  return warnings.length === 0 ? {} : { warnings }
}
