/** Policies: add, list, show, remove, and try a question on them. */

import { VestryError } from '@vestry/contract/errors'
import * as z from 'zod'
import { AGENT_RUN, MCP_CALL, TOOL_CALL } from '../policy/actions.ts'
import type { PolicyRequest } from '../policy/engine.ts'
import { readGatewayRow } from '../policy/gateway-row.ts'
import { isMcpGroup } from '../policy/mcp-resource.ts'
import type { AgentResource } from '../policy/policy-request.ts'
import type { StoredPolicyRow } from '../policy/policy-store.ts'
import { grantTtl } from '../vault/lease.ts'
import { resourceOf } from '../vault/methods/context.ts'
import { findOperation, operationContext } from '../vault/operations/table.ts'
import type { AdminDeps } from './deps.ts'
import { toolQuestion } from './tool-question.ts'
import { type AdminVerb, verb } from './verb.ts'

const File = z.strictObject({ name: z.string().min(1).max(255), text: z.string().max(1_048_576) })

export const policyVerbs: readonly AdminVerb[] = [
  verb({
    name: 'policy.put',
    action: 'admin:write',
    event: 'policy.update',
    params: z.strictObject({
      files: z.array(File).min(1).max(64),
      understood: z.boolean().default(false),
    }),
    data: ({ files }) => ({ files: files.map(({ name }) => name) }),
    run: async ({ deps, params, note }) => {
      const change = await deps.policies.add(params.files, {
        understood: params.understood,
        agentId: async (name) => (await deps.vault.agents.byName(name))?.id,
      })
      await deps.lifecycle.reloadPolicies()
      note({
        generation: change.generation,
        policy_set: change.digest,
        created: change.created,
        updated: change.updated,
      })
      return { ...change }
    },
  }),
  verb({
    name: 'policy.rm',
    action: 'admin:write',
    event: 'policy.delete',
    params: z.strictObject({ names: z.array(z.string().min(1).max(255)).min(1).max(1_000) }),
    data: ({ names }) => ({ names }),
    run: async ({ deps, params, note }) => {
      const change = await deps.policies.remove(params.names)
      await deps.lifecycle.reloadPolicies()
      note({ generation: change.generation, policy_set: change.digest, removed: change.removed })
      return { ...change }
    },
  }),
  verb({
    name: 'policy.list',
    action: 'admin:read',
    event: 'admin.read',
    params: z.strictObject({}),
    run: async ({ deps }) => {
      const policies: Record<string, unknown>[] = []
      for (const row of await deps.policies.list()) {
        policies.push({
          id: row.id,
          format: row.format,
          ...(row.format === 'gateway' && (await nameAndOwner(deps, row))),
          enabled: row.enabled === 1,
          digest: row.digest,
          created_at: new Date(row.created_at).toISOString(),
          updated_at: new Date(row.updated_at).toISOString(),
        })
      }
      return { policies, policy_set: deps.vault.stations.policy.digest }
    },
  }),
  verb({
    name: 'policy.show',
    action: 'admin:read',
    event: 'admin.read',
    params: z.strictObject({ name: z.string().min(1).max(255) }),
    run: async ({ deps, params }) => {
      const row = await deps.policies.show(params.name)
      return {
        id: row.id,
        format: row.format,
        enabled: row.enabled === 1,
        text: row.text,
        source: row.source,
        digest: row.digest,
      }
    },
  }),
  verb({
    name: 'policy.test',
    action: 'admin:read',
    event: 'policy.test',
    params: z.strictObject({
      agent: z.string().min(1).max(64),
      /** Of a credential; or a tool; or an agent that is started. */
      path: z.string().min(1).max(512).optional(),
      /** `mcp/<server>` for the tools of an MCP server. */
      tool: z.string().min(1).max(256).optional(),
      runs: z.string().min(1).max(64).optional(),
      /** `retrieve`, `list`, `use:http_request` …; of a tool, its action. */
      action: z.string().min(1).max(256).default('run'),
      params: z.record(z.string(), z.unknown()).default({}),
      /** What a call of a tool says it is for. */
      intent: z.string().min(1).max(128).optional(),
      /** Epoch ms to ask for instead of now. */
      at: z.int().optional(),
      transport: z.enum(['unix', 'tcp', 'http']).default('unix'),
      reason: z.boolean().default(false),
    }),
    data: ({ agent, path, tool, runs, action }) => ({
      agent,
      ...(path !== undefined && { path }),
      ...(tool !== undefined && { tool }),
      ...(runs !== undefined && { runs }),
      operation: action,
    }),
    run: async ({ deps, params }) => {
      const { vault } = deps
      const asked = await askedOf(deps, params)
      const { decision, policies } = vault.stations.policy.explain({
        principal: await agentNamed(deps, params.agent),
        action: asked.action,
        resource: asked.resource,
        context: {
          nowMs: params.at ?? vault.now(),
          transport: params.transport,
          hasReason: params.reason,
          ...asked.context,
        },
      })
      const isVault = params.path !== undefined
      return {
        allowed: decision.allow,
        reason: decision.reason,
        reason_code: decision.reasonCode,
        ...(decision.closest !== undefined && { closest: decision.closest }),
        permits: decision.permits,
        forbids: decision.forbids,
        errors: decision.errors,
        granted_ttl:
          decision.allow && isVault
            ? grantTtl(undefined, decision.obligations, vault.settings.leases).ttl
            : null,
        obligations: decision.obligations,
        ...(isVault && { exists: asked.exists }),
        policies,
        policy_set: decision.policySet,
      }
    },
  }),
]

interface Asked {
  path?: string | undefined
  tool?: string | undefined
  runs?: string | undefined
  action: string
  params: Record<string, unknown>
  intent?: string | undefined
}

async function askedOf(
  deps: AdminDeps,
  { path, tool, runs, action, params, intent }: Asked,
): Promise<Pick<PolicyRequest, 'action' | 'resource'> & { context: object; exists: boolean }> {
  if (tool !== undefined && path === undefined && runs === undefined) {
    const question = toolQuestion({ tool, action, params, intent })
    return { ...question, action: isMcpGroup(tool) ? MCP_CALL : TOOL_CALL, exists: false }
  }
  if (runs !== undefined && path === undefined && tool === undefined && intent === undefined) {
    const resource = await agentNamed(deps, runs)
    return { action: AGENT_RUN, resource, context: {}, exists: resource.id !== '' }
  }
  if (path === undefined || runs !== undefined || tool !== undefined || intent !== undefined) {
    throw new VestryError('INVALID_PARAMS', 'ask about a path, about a tool, or about an agent', {
      hint: 'Give path and action; or tool, action and perhaps intent; or runs',
    })
  }
  const found = await deps.vault.credentials.find(path)
  const operation = action.startsWith('use:') ? action.slice('use:'.length) : undefined
  if (operation !== undefined) findOperation(operation)
  return {
    action: `vault:${action}`,
    resource: resourceOf(path, found),
    context: operation === undefined ? {} : operationContext(operation, params, found),
    exists: found !== undefined,
  }
}

/** Agents by name where they are still there. */
async function nameAndOwner(
  { vault }: AdminDeps,
  row: StoredPolicyRow,
): Promise<{ name: string; owner: string }> {
  const { name, owner } = readGatewayRow(row)
  if ('role' in owner) return { name, owner: `role ${owner.role}` }
  const agent = await vault.agents.byId(owner.agent_id)
  return { name, owner: `agent ${agent?.name ?? owner.agent_id}` }
}

/** The agent as it is, or as one of that name would be: rules can be tried before the agent exists. */
async function agentNamed({ vault }: AdminDeps, name: string): Promise<AgentResource> {
  const agent = await vault.agents.byName(name)
  if (agent === undefined) return { kind: 'agent', id: '', name, role: 'agent', meta: {} }
  const { id, role, meta } = agent
  return { kind: 'agent', id, name, role, meta: { ...meta } }
}
