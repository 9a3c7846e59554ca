/** Gateway policies for operators, record by record (gateway contract §9.3). */

import { VestryError } from '@vestry/contract/errors'
import * as z from 'zod'
import { type AdminVerb, verb } from '../../admin/verb.ts'
import type { GatewayPolicyStore, GatewayRecord } from '../../policy/gateway-policy-store.ts'
import { acceptGateway, GatewayDocument, GatewayPatch } from '../../policy/gateway-spec.ts'
import type { PolicyChange } from '../../policy/policy-store.ts'
import type { Gateway } from '../gateway.ts'

const Id = z.string().min(1).max(128)
const Body = z.record(z.string(), z.unknown())

export function policyVerbs(gateway: Gateway, policies: GatewayPolicyStore): AdminVerb[] {
  const { agents } = gateway
  return [
    verb({
      name: 'gateway.policy_create',
      action: 'admin:write',
      event: 'policy.update',
      params: z.strictObject({ body: Body }),
      run: async ({ deps, params, note }) => {
        const document = acceptGateway(GatewayDocument, params.body)
        if (document.agentId !== undefined && (await agents.byId(document.agentId)) === undefined)
          throw new VestryError('AGENT_NOT_FOUND')
        const { records, change } = await policies.add([document])
        await deps.lifecycle.reloadPolicies()
        note(changeFacts(change))
        const [record] = records
        return record === undefined ? {} : described(record)
      },
    }),
    verb({
      name: 'gateway.policy_list',
      action: 'admin:read',
      event: 'admin.read',
      params: z.strictObject({
        agentId: Id.optional(),
        role: z.string().max(128).optional(),
        active: z.enum(['true', 'false']).optional(),
      }),
      run: async ({ params }) => {
        const { agentId, role, active } = params
        const records = await policies.list({
          ...(agentId !== undefined && { agentId }),
          ...(role !== undefined && { role }),
          ...(active !== undefined && { active: active === 'true' }),
        })
        return { policies: records.map(described) }
      },
    }),
    verb({
      name: 'gateway.policy_show',
      action: 'admin:read',
      event: 'admin.read',
      params: z.strictObject({ id: Id }),
      run: async ({ params }) => described(await policies.get(params.id)),
    }),
    verb({
      name: 'gateway.policy_patch',
      action: 'admin:write',
      event: 'policy.update',
      params: z.strictObject({ id: Id, body: Body }),
      data: ({ id }) => ({ id }),
      run: async ({ deps, params, note }) => {
        const patch = acceptGateway(GatewayPatch, params.body)
        const { record, change } = await policies.patch(params.id, patch)
        await deps.lifecycle.reloadPolicies()
        note(changeFacts(change))
        return described(record)
      },
    }),
    verb({
      name: 'gateway.policy_delete',
      action: 'admin:write',
      event: 'policy.delete',
      params: z.strictObject({ id: Id }),
      data: ({ id }) => ({ id }),
      run: async ({ deps, params, note }) => {
        const change = await policies.remove(params.id)
        await deps.lifecycle.reloadPolicies()
        note(changeFacts(change))
        return {}
      },
    }),
    verb({
      name: 'gateway.policy_merged',
      action: 'admin:read',
      event: 'admin.read',
      params: z.strictObject({ agentId: Id }),
      run: async ({ params }) => {
        const agent = await agents.byId(params.agentId)
        if (agent === undefined) throw new VestryError('AGENT_NOT_FOUND')
        const merged = await policies.mergedFor(agent.id, agent.role)
        return { agentId: agent.id, agentRole: agent.role, ...merged }
      },
    }),
  ]
}

/** What the record of a change says: both bind it to the set that was then in force. */
function changeFacts({ generation, digest }: PolicyChange): Record<string, unknown> {
  return { generation, policy_set: digest }
}

function described({ createdAt, updatedAt, ...record }: GatewayRecord): Record<string, unknown> {
  return {
    ...record,
    createdAt: new Date(createdAt).toISOString(),
    updatedAt: new Date(updatedAt).toISOString(),
  }
}
