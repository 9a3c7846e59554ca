/** Workflows for operators: behind the runtime API and the command line alike. */
import { VestryError } from '@vestry/contract/errors'
import * as z from 'zod'
import { type AdminVerb, verb } from '../../admin/verb.ts'
import { builtinDefinition, builtinDefinitions } from './builtin.ts'
import { readDefinition } from './definition.ts'
import { noSuchWorkflow, type WorkflowDefinitions } from './definition-store.ts'
import { hasEnded, iso, RUN_STATUSES, runBody } from './run.ts'
import type { StepView } from './walk.ts'
import { noSuchRun, type Workflows } from './workflows.ts'

const Id = z.string().min(1).max(128)
const Body = z.record(z.string(), z.unknown())
const One = z.strictObject({ id: Id })
const MAX_WAIT_MS = 30_000
/** A change may come between a look and the next one. */
const LOOK_MS = 1_000

export interface WorkflowVerbDeps {
  readonly workflows: Workflows
  readonly definitions: WorkflowDefinitions
}

export function workflowVerbs({ workflows, definitions }: WorkflowVerbDeps): AdminVerb[] {
  const told = async (id: string): Promise<Record<string, unknown>> => {
    const run = await workflows.get(id)
    if (run === undefined) throw noSuchRun(id)
    const content = await workflows.content(id)
    return runBody(run, content, await workflows.steps(id, content))
  }
  const put = (name: 'workflow.add' | 'workflow.update', how: 'add' | 'replace') =>
    verb({
      name,
      action: 'admin:write',
      event: name,
      params: z.strictObject({ definition: Body }),
      data: ({ definition: { id } }) => ({ ...(typeof id === 'string' && { workflow: id }) }),
      run: async ({ params, by, note }) => {
        const definition = readDefinition(params.definition)
        assertFree(definition.id)
        note(await definitions.put(definition, by, how))
        const { id, version, steps } = definition
        return { id, version, steps: steps.length, status: how === 'add' ? 'created' : 'updated' }
      },
    })
  return [
    put('workflow.add', 'add'),
    put('workflow.update', 'replace'),
    verb({
      name: 'workflow.rm',
      action: 'admin:write',
      event: 'workflow.rm',
      params: One,
      data: ({ id }) => ({ workflow: id }),
      run: async ({ params: { id }, note }) => {
        assertFree(id)
        note(await definitions.remove(id))
        return { id, status: 'deleted' }
      },
    }),
    verb({
      name: 'workflow.list',
      action: 'admin:read',
      event: 'admin.read',
      params: z.strictObject({}),
      run: async () => ({
        workflows: [
          ...builtinDefinitions().map(({ id, version, description, steps }) => ({
            id,
            version,
            description: description ?? null,
            steps: steps.length,
            builtin: true,
          })),
          ...(await definitions.list(1_000)).map(({ definition: one, createdBy, updatedAt }) => ({
            id: one.id,
            version: one.version,
            description: one.description ?? null,
            steps: one.steps.length,
            builtin: false,
            created_by: createdBy,
            updated_at: iso(updatedAt),
          })),
        ],
      }),
    }),
    verb({
      name: 'workflow.show',
      action: 'admin:read',
      event: 'admin.read',
      params: One,
      data: ({ id }) => ({ workflow: id }),
      run: async ({ params: { id } }) => {
        const builtin = builtinDefinition(id)
        if (builtin !== undefined) return { ...builtin, builtin: true }
        const kept = await definitions.get(id)
        if (kept === undefined) throw noSuchWorkflow(id)
        return {
          ...kept.definition,
          builtin: false,
          created_by: kept.createdBy,
          created_at: iso(kept.createdAt),
          updated_at: iso(kept.updatedAt),
        }
      },
    }),
    verb({
      name: 'workflow.run',
      // Whether it may be started is asked as `workflow:run`, and so recorded.
      action: 'admin:read',
      event: 'admin.read',
      params: z.strictObject({ id: Id, params: Body.default({}) }),
      data: ({ id }) => ({ workflow: id }),
      run: async ({ params: { id, params }, caller, requestId }) => {
        const asked = { workflowId: id, params, caller, requestId, trigger: 'cli' }
        const { executionId } = await workflows.start(asked)
        return told(executionId)
      },
    }),
    verb({
      name: 'workflow.execution',
      action: 'admin:read',
      event: 'admin.read',
      params: z.strictObject({
        id: Id,
        /** Answers when something has happened to it, at the latest after this. */
        wait_ms: z.int().min(0).max(MAX_WAIT_MS).default(0),
      }),
      data: ({ id }) => ({ execution: id }),
      run: async ({ params: { id, wait_ms: ms }, signal }) => {
        if (ms > 0) await workflows.moved(id, ms, signal)
        return told(id)
      },
    }),
    verb({
      name: 'workflow.watch',
      action: 'admin:read',
      event: 'admin.read',
      params: One,
      data: ({ id }) => ({ execution: id }),
      // Without content: that is read once, at the end.
      run: async ({ params: { id }, signal, emit }) => {
        let shown = ''
        for (;;) {
          const run = await workflows.get(id)
          if (run === undefined) throw noSuchRun(id)
          const content = hasEnded(run) ? await workflows.content(id) : undefined
          const steps = (await workflows.steps(id, content)).map(stepLine)
          const states = steps.map(({ id, status }) => `${id} ${status}`).join('\n')
          if (states !== shown) await emit({ steps })
          shown = states
          if (hasEnded(run)) return { execution_id: id, status: run.status }
          await workflows.moved(id, LOOK_MS, signal)
          signal.throwIfAborted()
        }
      },
    }),
    verb({
      name: 'workflow.executions',
      action: 'admin:read',
      event: 'admin.read',
      params: z.strictObject({
        workflow_id: Id.optional(),
        status: z.enum(RUN_STATUSES).optional(),
        limit: z.int().min(1).max(1_000).default(100),
      }),
      run: async ({ params: { workflow_id: workflowId, status, limit } }) => ({
        executions: (await workflows.list({ workflowId, status, limit })).map((run) => ({
          execution_id: run.id,
          workflow_id: run.workflowId,
          status: run.status === 'pending' ? 'running' : run.status,
          trigger: run.trigger,
          started_at: iso(run.startedAt ?? run.createdAt),
          completed_at: run.finishedAt === undefined ? null : iso(run.finishedAt),
          error: run.facts.error ?? null,
        })),
      }),
    }),
    verb({
      name: 'workflow.cancel',
      action: 'admin:write',
      event: 'workflow.cancel',
      params: One,
      data: ({ id }) => ({ execution: id }),
      run: async ({ params: { id } }) => {
        const run = await workflows.get(id)
        if (run === undefined) throw noSuchRun(id)
        if (!(await workflows.cancel(run)))
          throw new VestryError('INVALID_STATE_TRANSITION', 'The execution has ended', {
            context: { status: run.status },
          })
        return told(id)
      },
    }),
    verb({
      name: 'workflow.signal',
      action: 'admin:write',
      event: 'workflow.signal',
      params: z.strictObject({ id: Id, name: z.string().min(1).max(128), payload: z.unknown() }),
      data: ({ id, name }) => ({ execution: id, signal: name }),
      run: async ({ params: { id, name, payload } }) => {
        const run = await workflows.get(id)
        if (run === undefined) throw noSuchRun(id)
        await workflows.signal(run, name, payload ?? null)
        return { execution_id: id, name, status: 'signalled' }
      },
    }),
  ]
}

function assertFree(id: string): void {
  if (builtinDefinition(id) !== undefined)
    throw new VestryError('ALREADY_EXISTS', `"${id}" is built in, and stays as it is`)
}

function stepLine({ id, kind, status, durationMs, error }: StepView) {
  return { id, kind, status, duration_ms: durationMs, code: error?.code ?? null }
}
