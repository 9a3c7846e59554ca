/** Agents and tokens for operators of the gateway (gateway contract §5.2, §5.3, §6.10). */
import { VestryError } from '@vestry/contract/errors'
import * as z from 'zod'
import { type AdminVerb, verb } from '../../admin/verb.ts'
import type { Agent } from '../../identity/agent.ts'
import type { Gateway } from '../gateway.ts'
import { createAgent, patchAgent } from '../tokens/agent-admin.ts'
import { wireAgent } from '../tokens/agent-record.ts'
import { readAgentPatch, readAgentRequest } from '../tokens/agent-request.ts'
import { mint } from '../tokens/mint.ts'
import { adminTokenRecord, agentTokenRecord } from '../tokens/token-record.ts'

const Body = z.record(z.string(), z.unknown())
const Id = z.string().min(1).max(128)
const MAX_LISTED = 1_000

export function agentVerbs(gateway: Gateway): AdminVerb[] {
  const { agents, now, tokens, metrics } = gateway
  return [
    verb({
      name: 'gateway.agent_create',
      action: 'admin:write',
      event: 'agent.register',
      params: z.strictObject({ body: Body }),
      data: ({ body }) => ({ name: text(body['name']), role: text(body['role']) }),
      run: async ({ params, note }) => {
        const request = readAgentRequest(params.body, now())
        const { value: agent, generation, privateKey } = await createAgent(request, { agents, now })
        note({ generation, agent: agent.name })
        metrics.agentCreated()
        const result = { agent_id: agent.id }
        if (privateKey === undefined) return result
        return {
          result,
          secrets: [{ name: 'private_key', value: privateKey, as: 'latin1' as const }],
          release: () => privateKey[Symbol.dispose](),
        }
      },
    }),
    verb({
      name: 'gateway.agent_list',
      action: 'admin:read',
      event: 'admin.read',
      params: z.strictObject({}),
      run: async () => ({ agents: (await agents.list({ revoked: true })).map(wireAgent) }),
    }),
    verb({
      name: 'gateway.agent_show',
      action: 'admin:read',
      event: 'admin.read',
      params: z.strictObject({ id: Id }),
      run: async ({ params }) => ({ agent: wireAgent(await existing(gateway, params.id)) }),
    }),
    verb({
      name: 'gateway.agent_patch',
      action: 'admin:write',
      event: 'agent.update',
      params: z.strictObject({ id: Id, body: Body }),
      data: ({ id, body }) => ({ id, members: Object.keys(body).slice(0, 16) }),
      run: async ({ params, note }) => {
        const patch = readAgentPatch(params.body)
        const { value: agent, generation } = await patchAgent(params.id, patch, { agents, now })
        if (agent.status !== 'enabled')
          note({ tokens_revoked: await tokens.store.revokeAll(agent.id) })
        note({ generation })
        return { agent: wireAgent(agent) }
      },
    }),
    verb({
      name: 'token.mint',
      action: 'admin:write',
      event: 'token.mint',
      params: z.strictObject({
        agent: z.string().min(1).max(128),
        tools: z.array(z.string().min(1).max(64)).max(64),
        permissions: z.array(z.string().min(1).max(128)).max(64),
        ttl_minutes: z.int().min(1).max(1_440).default(15),
        intent: z.string().min(1).max(128).optional(),
      }),
      data: ({ agent, tools, permissions }) => ({ agent, tools, permissions }),
      run: async ({ params, note }) => {
        const agent = await existing(gateway, params.agent)
        if (agent.status !== 'enabled') throw new VestryError('AGENT_INACTIVE')
        const expiresAt = new Date(now() + params.ttl_minutes * 60_000).toISOString()
        const { reply, token } = await mint(
          agent,
          {
            agentId: agent.id,
            tools: params.tools,
            permissions: params.permissions,
            expiresAt,
            intent: params.intent,
          },
          tokens.mintDeps(),
        )
        note({ token: token.tokenId, txn: token.txn, agent: agent.name })
        return { ...reply, txn: token.txn }
      },
    }),
    verb({
      name: 'token.list',
      action: 'admin:read',
      event: 'admin.read',
      params: z.strictObject({
        agent: z.string().min(1).max(128).optional(),
        limit: z.int().min(1).max(MAX_LISTED).default(100),
        live: z.boolean().default(false),
        revoked: z.boolean().default(true),
        form: z.enum(['agent', 'admin']).default('agent'),
      }),
      run: async ({ params }) => {
        const { agent, limit, live, revoked, form } = params
        const agentId = agent === undefined ? undefined : (await existing(gateway, agent)).id
        const found = await tokens.store.list({
          ...(agentId !== undefined && { agentId }),
          limit,
          withoutRevoked: live || !revoked,
          withoutExpired: live,
        })
        return {
          tokens: found.map((token) =>
            form === 'agent' ? agentTokenRecord(token) : adminTokenRecord(token),
          ),
        }
      },
    }),
    verb({
      name: 'token.revoke',
      action: 'admin:write',
      event: 'token.revoke',
      params: z.strictObject({ id: Id }),
      data: ({ id }) => ({ token: id }),
      run: async ({ params }) => {
        const token = await tokens.store.revoke(params.id)
        metrics.securityEvent('token_revocation')
        return {
          message: 'Token revoked',
          token_id: token.tokenId,
          tokenId: token.tokenId,
          revokedAt: new Date(token.revokedAt ?? now()).toISOString(),
        }
      },
    }),
  ]
}

/** By id or by name. @throws VestryError AGENT_NOT_FOUND */
async function existing({ agents }: Gateway, idOrName: string): Promise<Agent> {
  const found = (await agents.byId(idOrName)) ?? (await agents.byName(idOrName))
  if (found !== undefined) return found
  throw new VestryError('AGENT_NOT_FOUND', 'there is no such agent', {
    hint: 'See "vestry agent list"',
  })
}

function text(value: unknown): string {
  return typeof value === 'string' ? value.slice(0, 128).toWellFormed() : ''
}
