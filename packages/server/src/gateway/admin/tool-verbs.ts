/** Tools, their credentials, faults and jobs, for operators. */
import { VestryError } from '@vestry/contract/errors'
import { newRequestId } from '@vestry/contract/ids'
import * as z from 'zod'
import { type AdminVerb, verb } from '../../admin/verb.ts'
import { newCaller } from '../../identity/caller.ts'
import { TOOL_RANKS } from '../../policy/tool-ranks.ts'
import { executionTag } from '../call/run-call.ts'
import { prepareCall } from '../call/tool-call.ts'
import { CHAOS_MODES } from '../chaos.ts'
import { type Gateway, JOURNAL_KIND } from '../gateway.ts'
import { statusOf } from '../jobs/job-status.ts'
import { readJob } from '../jobs/job-view.ts'
import { isMocked, isReady } from '../mode.ts'
import type { Json, JsonObject, Tool } from '../tools/tool.ts'
import { parseToolFile } from '../tools/tool-file.ts'
import type { ToolStore } from '../tools/tool-store.ts'
import {
  activateToolCredential,
  deleteToolCredential,
  listToolCredentials,
  setToolCredential,
} from './tool-credentials.ts'

const Name = z.string().regex(/^[a-z][a-z0-9_]{0,31}$/, 'must be a name of a-z, 0-9 and _')
const Id = z.string().min(1).max(128)
const ExecutionState = z.enum(['reserved', 'sent', 'done', 'failed', 'unknown'])

export function toolVerbs(
  gateway: Gateway,
  store: ToolStore,
  reload: () => Promise<void>,
): AdminVerb[] {
  const { tools, credentials, now, chaos, metrics } = gateway
  const pathOf = (name: string) => tools.get(name)?.credential?.path ?? `tools/${name}`
  return [
    verb({
      name: 'tool.list',
      action: 'admin:read',
      event: 'admin.read',
      params: z.strictObject({}),
      run: async () => ({
        tools: await Promise.all(tools.list().map((tool) => describeTool(gateway, tool))),
      }),
    }),
    verb({
      name: 'tool.show',
      action: 'admin:read',
      event: 'admin.read',
      params: z.strictObject({ name: Name }),
      run: async ({ params }) => {
        const tool = toolNamed(gateway, params.name)
        return {
          ...(await describeTool(gateway, tool)),
          schemas: Object.fromEntries(
            [...tool.actions].map(([name, { schema }]) => [name, schema]),
          ),
        }
      },
    }),
    verb({
      name: 'tool.add',
      action: 'admin:write',
      event: 'tool.update',
      params: z.strictObject({
        name: z.string().min(1).max(255),
        text: z.string().min(1).max(262_144),
      }),
      data: ({ name }) => ({ file: name }),
      run: async ({ params, note }) => {
        const file = parseToolFile(params.text, params.name)
        const { value: stored, generation } = await store.add(file)
        await reload()
        note({ generation, tool: stored.name, digest: stored.digest })
        return describeTool(gateway, toolNamed(gateway, stored.name))
      },
    }),
    verb({
      name: 'tool.rm',
      action: 'admin:write',
      event: 'tool.delete',
      params: z.strictObject({ name: Name }),
      data: ({ name }) => ({ tool: name }),
      run: async ({ params, note }) => {
        const { generation } = await store.remove(params.name)
        await reload()
        note({ generation })
        return { removed: params.name }
      },
    }),
    verb({
      name: 'tool.test',
      action: 'admin:read',
      event: 'tool.test',
      params: z.strictObject({
        tool: Name,
        action: Name,
        params: z.record(z.string(), z.unknown()).default({}),
        agent: z.string().min(1).max(128).optional(),
        intent: z.string().min(1).max(128).optional(),
      }),
      data: ({ tool, action }) => ({ tool, action }),
      run: async ({ params }) => testTool(gateway, params),
    }),
    verb({
      // Ids of jobs are the right to their results, so they are not for everybody who may read.
      name: 'job.list',
      action: 'admin:write',
      event: 'job.read',
      params: z.strictObject({
        state: ExecutionState.optional(),
        limit: z.int().min(1).max(1_000).default(50),
      }),
      run: async ({ params }) => {
        const { state, limit } = params
        const found = await gateway.journal.list({
          kind: JOURNAL_KIND,
          ...(state !== undefined && { state }),
          limit,
        })
        return {
          jobs: found.map((job) => ({
            job_id: job.id,
            subject: job.subject,
            mode: job.mode,
            status: statusOf(job),
            state: job.state,
            agent_id: job.agentId,
            attempts: job.attempts,
            error_code: job.errorCode ?? null,
            created_at: new Date(job.createdAtMs).toISOString(),
            finished_at:
              job.finishedAtMs === undefined ? null : new Date(job.finishedAtMs).toISOString(),
          })),
        }
      },
    }),
    verb({
      name: 'job.show',
      action: 'admin:write',
      event: 'job.read',
      params: z.strictObject({ id: Id }),
      data: ({ id }) => ({ job: executionTag(gateway, id) }),
      run: async ({ params }) => readJob(gateway, params.id),
    }),
    verb({
      name: 'gateway.cred_set',
      action: 'admin:write',
      event: 'credential.store',
      params: z.strictObject({ tool: Name, version: z.string().min(1).max(64) }),
      data: ({ tool, version }) => ({ tool, version }),
      run: async ({ params, secrets, by }) => {
        const credential = secrets.get('credential')
        if (credential === undefined) throw new VestryError('MISSING_FIELDS', 'missing: credential')
        const stored = await setToolCredential(
          { credentials, now },
          { ...params, value: credential.bytes, by: `operator:${by}` },
        )
        return { message: 'Credential stored', ...stored }
      },
    }),
    verb({
      name: 'gateway.cred_activate',
      action: 'admin:write',
      event: 'credential.activate',
      params: z.strictObject({ id: Id }),
      data: ({ id }) => ({ id }),
      run: async ({ params, by, note }) => {
        const active = await activateToolCredential({ credentials, now }, params.id, {
          by: `operator:${by}`,
          pathOf,
        })
        note({ tool: active.tool, version: active.version })
        return { message: 'Credential activated', ...active }
      },
    }),
    verb({
      name: 'gateway.cred_list',
      action: 'admin:read',
      event: 'admin.read',
      params: z.strictObject({ tool: Name.optional(), active: z.boolean().default(false) }),
      run: async ({ params }) => {
        const all = await listToolCredentials({ credentials, now }, params.tool)
        const shown = params.active ? all.filter(({ isActive }) => isActive) : all
        if (params.active && shown.length === 0)
          throw new VestryError('NOT_FOUND', 'no version of this credential is active')
        return { credentials: shown }
      },
    }),
    verb({
      name: 'gateway.cred_delete',
      action: 'admin:write',
      event: 'credential.delete',
      params: z.strictObject({ id: Id }),
      data: ({ id }) => ({ id }),
      run: async ({ params }) => {
        await deleteToolCredential({ credentials, now }, params.id)
        return { message: 'Credential deleted' }
      },
    }),
    verb({
      name: 'gateway.chaos_set',
      action: 'admin:write',
      event: 'chaos.set',
      params: z.strictObject({
        tool: Name,
        mode: z.enum(CHAOS_MODES),
        pct: z.number().min(0).max(100),
      }),
      data: ({ tool, mode, pct }) => ({ tool, mode, pct }),
      run: async ({ params }) => {
        assertDevelopment(gateway)
        const { tool, mode, pct } = params
        toolNamed(gateway, tool)
        chaos.set(tool, { mode, pct })
        return { message: 'Chaos enabled', tool, mode, pct, activeChaos: chaos.list() }
      },
    }),
    verb({
      name: 'gateway.chaos_clear',
      action: 'admin:write',
      event: 'chaos.clear',
      params: z.strictObject({ tool: Name }),
      data: ({ tool }) => ({ tool }),
      run: async ({ params }) => {
        assertDevelopment(gateway)
        if (chaos.clear(params.tool)) metrics.chaosCleared(params.tool)
        return { message: 'Chaos cleared', tool: params.tool, activeChaos: chaos.list() }
      },
    }),
    verb({
      name: 'gateway.chaos_list',
      action: 'admin:read',
      event: 'admin.read',
      params: z.strictObject({}),
      run: async () => {
        assertDevelopment(gateway)
        return { activeChaos: chaos.list() }
      },
    }),
  ]
}

function assertDevelopment({ dev }: Gateway): void {
  if (dev) return
  throw new VestryError('ACCESS_DENIED', 'faults are injected in development only', {
    hint: 'Start the daemon with --dev',
  })
}

async function describeTool(gateway: Gateway, tool: Tool): Promise<Record<string, unknown>> {
  const mocked = await isMocked(gateway, tool)
  return {
    name: tool.name,
    description: tool.description,
    origin: tool.origin,
    digest: tool.digest,
    credential: tool.credential?.path ?? null,
    mode: mocked ? 'mock' : 'live',
    configured: await isReady(gateway, tool),
    breaker: gateway.breakers.state(tool.name, gateway.now()),
    actions: [...tool.actions.values()].map((action) => ({
      name: action.name,
      description: action.description,
      permission: action.permission,
      repeatable: action.repeatable,
      cost_usd: action.costMicros / 1_000_000,
    })),
  }
}

function toolNamed({ tools }: Gateway, name: string): Tool {
  const tool = tools.get(name)
  if (tool !== undefined) return tool
  throw new VestryError('NOT_FOUND', `there is no tool '${name}'`, {
    hint: 'See "vestry tool list"',
  })
}

/** What a call would be: its params read, its request made, and, for an agent, what policy says. Nothing is sent. */
async function testTool(
  gateway: Gateway,
  asked: {
    tool: string
    action: string
    params: Record<string, unknown>
    agent?: string | undefined
    intent?: string | undefined
  },
): Promise<Record<string, unknown>> {
  const found = gateway.tools.find(asked.tool, asked.action)
  if (found === undefined) {
    throw new VestryError('NOT_FOUND', `there is no action '${asked.tool}:${asked.action}'`, {
      hint: 'See "vestry tool list"',
    })
  }
  const agent =
    asked.agent === undefined
      ? undefined
      : ((await gateway.agents.byName(asked.agent)) ?? (await gateway.agents.byId(asked.agent)))
  if (asked.agent !== undefined && agent === undefined) throw new VestryError('AGENT_NOT_FOUND')
  const operator = { kind: 'operator' as const, operator: NOBODY }
  const principal = agent === undefined ? operator : { kind: 'agent' as const, agent }
  const prepared = prepareCall(gateway, {
    requestId: newRequestId(),
    correlationId: 'test',
    caller: newCaller({ principal, peer: { transport: 'http' }, txn: '' }),
    agentId: agent?.id ?? '',
    agentName: agent?.displayName ?? '',
    tool: asked.tool,
    action: asked.action,
    params: asked.params as JsonObject,
    intent: { intent: asked.intent, conflict: false },
    reason: undefined,
    token: { id: '', tools: ['*'], permissions: ['*'] },
    idempotencyKey: undefined,
  })
  const { held, params, resource, context } = prepared
  const plan =
    held === undefined
      ? found.action.request(params, {
          nowMs: gateway.now(),
          random: '0'.repeat(32),
          correlationId: 'test',
          idempotencyKey: undefined,
        })
      : undefined
  const decision =
    agent === undefined
      ? undefined
      : gateway.stations.policy.decide({
          principal: {
            kind: 'agent',
            id: agent.id,
            name: agent.name,
            role: agent.role,
            meta: agent.meta,
          },
          action: 'tool:call',
          resource,
          context,
          unpermittedRank: TOOL_RANKS.unpermitted,
        })
  return {
    tool: asked.tool,
    action: asked.action,
    digest: found.tool.digest,
    mode: (await isMocked(gateway, found.tool)) ? 'mock' : 'live',
    configured: await isReady(gateway, found.tool),
    params: (held === undefined ? params : null) as Json,
    problems: held?.error.context['details'] ?? (held === undefined ? [] : [held.error.message]),
    request:
      plan === undefined
        ? null
        : {
            method: plan.method,
            url: plan.url,
            bytes: plan.body?.length ?? 0,
            timeout_ms: plan.timeoutMs,
          },
    ...(decision !== undefined && {
      allowed: decision.allow,
      reason: decision.reason,
      reason_code: decision.reasonCode,
    }),
  }
}

const NOBODY = { id: '', name: 'test', role: 'auditor', status: 'enabled', createdAt: 0 } as const
