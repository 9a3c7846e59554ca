/** Operators and API keys: who may administer, and with what. */
import { VestryError } from '@vestry/contract/errors'
import * as z from 'zod'
import type { ApiKey } from '../identity/api-key.ts'
import type { Caller } from '../identity/caller.ts'
import type { Operator, OperatorRole } from '../identity/operator.ts'
import { keyedHash } from '../seal/hash.ts'
import type { AdminDeps } from './deps.ts'
import { type AdminVerb, verb } from './verb.ts'

const Role = z.enum(['owner', 'admin', 'auditor', 'approver', 'operator'])

export const keyVerbs: readonly AdminVerb[] = [
  verb({
    name: 'key.add',
    action: 'admin:write',
    event: 'key.create',
    params: z.strictObject({
      name: z.string().min(1).max(128).default('api key'),
      role: Role.default('operator'),
      agent: z.string().max(64).optional(),
      expires_at: z.int().optional(),
    }),
    data: ({ name, role, agent }) => ({ name, role, ...(agent !== undefined && { agent }) }),
    run: async ({ deps, params, note, caller }) => {
      const {
        value: key,
        generation,
        token,
      } = await deps.apiKeys.add({
        name: params.name,
        ...(params.expires_at !== undefined && { expiresAt: params.expires_at }),
        ...(await holderOf(deps, params, caller)),
      })
      note({ generation, key_id: key.id })
      return {
        result: await describeKey(deps.vault, key),
        secrets: [{ name: 'key', value: token, as: 'latin1' as const }],
        release: () => token[Symbol.dispose](),
      }
    },
  }),
  verb({
    name: 'key.list',
    action: 'admin:read',
    event: 'admin.read',
    params: z.strictObject({}),
    run: async ({ deps }) => ({
      keys: await Promise.all(
        (await deps.apiKeys.list()).map((key) => describeKey(deps.vault, key)),
      ),
    }),
  }),
  verb({
    name: 'key.revoke',
    action: 'admin:write',
    event: 'key.revoke',
    params: z.strictObject({ id: z.string().min(1).max(64) }),
    data: ({ id }) => ({ key_id: id }),
    run: async ({ deps, params, note }) => {
      const { generation } = await deps.apiKeys.revoke(params.id)
      note({ generation })
      return { id: params.id, revoked: true }
    },
  }),
  verb({
    name: 'operator.add',
    action: 'admin:seal',
    event: 'operator.create',
    params: z.strictObject({
      name: z.string().min(1).max(64),
      role: z.enum(['owner', 'admin', 'auditor', 'approver']),
      public_key: z.string().regex(/^[0-9a-fA-F]{64}$/),
    }),
    data: ({ name, role }) => ({ name, role }),
    run: async ({ deps, params, note }) => {
      const { value, generation } = await deps.operators.add({
        name: params.name,
        role: params.role,
        publicKey: Buffer.from(params.public_key, 'hex'),
      })
      note({ generation })
      return describeOperator(value)
    },
  }),
  verb({
    name: 'operator.list',
    action: 'admin:read',
    event: 'admin.read',
    params: z.strictObject({}),
    run: async ({ deps }) => ({ operators: (await deps.operators.list()).map(describeOperator) }),
  }),
  verb({
    name: 'operator.revoke',
    action: 'admin:seal',
    event: 'operator.revoke',
    params: z.strictObject({ name: z.string().min(1).max(64) }),
    data: ({ name }) => ({ name }),
    run: async ({ deps, params, note }) => {
      const { value, generation } = await deps.operators.revoke(params.name)
      deps.vault.sessions.endWhere(
        ({ principal }) => principal.kind === 'operator' && principal.operator.id === value.id,
        'revoked',
      )
      note({ generation })
      return describeOperator(value)
    },
  }),
  verb({
    name: 'audit.hash',
    action: 'admin:read',
    event: 'admin.read',
    params: z.strictObject({ value_base64: z.literal('') }),
    run: async ({ deps, secrets }) => {
      const text = secrets.get('value_base64')
      if (text === undefined) throw new VestryError('INVALID_PARAMS', 'value_base64 is required')
      const bytes = Buffer.from(Buffer.from(text.bytes).toString('latin1'), 'base64')
      const hash = Buffer.from(keyedHash(deps.vault.seal.keys.hashKey, bytes)).toString('hex')
      bytes.fill(0)
      return { hash: `hmac:${hash.slice(0, 32)}` }
    },
  }),
]

const iso = (ms: number) => new Date(ms).toISOString()

export function describeOperator(operator: Operator): Record<string, unknown> {
  const { id, name, role, status, publicKey, createdAt } = operator
  return { id, name, role, status, public_key: publicKey ?? null, created_at: iso(createdAt) }
}

/** Never the key itself, of which only a keyed hash is known. */
export async function describeKey(
  { agents }: AdminDeps['vault'],
  key: ApiKey,
): Promise<Record<string, unknown>> {
  const { id, name, role, agentId, status, createdAt, expiresAt } = key
  return {
    id,
    name,
    role,
    agent_id: agentId ?? null,
    agent: agentId === undefined ? null : ((await agents.byId(agentId))?.name ?? null),
    status,
    created_at: iso(createdAt),
    expires_at: expiresAt === undefined ? null : iso(expiresAt),
  }
}

/** Whom a new key acts for: an agent, or operators of one role. Nobody makes a key above their own role. */
async function holderOf(
  { vault }: AdminDeps,
  params: { role: z.output<typeof Role>; agent?: string | undefined },
  caller: Caller,
): Promise<{ agentId: string } | { role: OperatorRole }> {
  if (params.agent !== undefined) {
    const agent = await vault.agents.byName(params.agent)
    if (agent !== undefined) return { agentId: agent.id }
    throw new VestryError('NOT_FOUND', `no agent is named '${params.agent}'`)
  }
  const role = params.role === 'operator' ? 'admin' : params.role
  const { principal } = caller
  if (role === 'owner' && (principal.kind !== 'operator' || principal.operator.role !== 'owner')) {
    throw new VestryError('ACCESS_DENIED', 'only an owner makes an owner’s key')
  }
  return { role }
}
