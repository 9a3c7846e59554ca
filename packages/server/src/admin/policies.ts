/** Policies: add, list, show, remove, and try a question on them. */
import * as z from 'zod'
import { principalOf } from '../call/perform.ts'
import { newCaller } from '../identity/caller.ts'
import type { PolicyPrincipal } from '../policy/engine.ts'
import { grantTtl } from '../vault/lease.ts'
import { resourceOf } from '../vault/methods/context.ts'
import { findOperation, operationContext } from '../vault/operations/table.ts'
import type { AdminDeps } from './deps.ts'
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
      const change = await deps.policies.add(params.files, { understood: params.understood })
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
    run: async ({ deps }) => ({
      policies: (await deps.policies.list()).map((row) => ({
        id: row.id,
        format: row.format,
        enabled: row.enabled === 1,
        digest: row.digest,
        created_at: new Date(row.created_at).toISOString(),
        updated_at: new Date(row.updated_at).toISOString(),
      })),
      policy_set: deps.vault.stations.policy.digest,
    }),
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
      path: z.string().min(1).max(512),
      /** `retrieve`, `list`, `use:http_request` … */
      action: z.string().min(1).max(64),
      params: z.record(z.string(), z.unknown()).default({}),
      /** Epoch ms to ask for instead of now. */
      at: z.int().optional(),
      transport: z.enum(['unix', 'tcp', 'http']).default('unix'),
      reason: z.boolean().default(false),
    }),
    data: ({ agent, path, action }) => ({ agent, path, operation: action }),
    run: async ({ deps, params }) => {
      const { vault } = deps
      const found = await vault.credentials.find(params.path)
      const operation = params.action.startsWith('use:')
        ? params.action.slice('use:'.length)
        : undefined
      if (operation !== undefined) findOperation(operation)
      const question = {
        principal: await principalNamed(deps, params.agent),
        action: `vault:${params.action}`,
        resource: resourceOf(params.path, found),
        context: {
          nowMs: params.at ?? vault.now(),
          transport: params.transport,
          hasReason: params.reason,
          ...(operation !== undefined && operationContext(operation, params.params, found)),
        },
      }
      const { decision, policies } = vault.stations.policy.explain(question)
      return {
        allowed: decision.allow,
        reason: decision.reason,
        reason_code: decision.reasonCode,
        ...(decision.closest !== undefined && { closest: decision.closest }),
        permits: decision.permits,
        forbids: decision.forbids,
        errors: decision.errors,
        granted_ttl: decision.allow
          ? grantTtl(undefined, decision.obligations, vault.settings.leases).ttl
          : null,
        obligations: decision.obligations,
        exists: found !== undefined,
        policies,
        policy_set: decision.policySet,
      }
    },
  }),
]

/** The agent as it is, or as one of that name would be: rules can be tried before the agent exists. */
async function principalNamed({ vault }: AdminDeps, name: string): Promise<PolicyPrincipal> {
  const agent = await vault.agents.byName(name)
  if (agent === undefined) return { kind: 'agent', id: '', name, role: 'agent', meta: {} }
  const principal = { kind: 'agent' as const, agent }
  return principalOf(newCaller({ principal, peer: { transport: 'unix' }, txn: '' }))
}
