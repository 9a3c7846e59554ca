/** Agents: add, change, rotate, disable, revoke, list. */
import { randomFillSync } from 'node:crypto'
import { VestryError } from '@vestry/contract/errors'
import * as z from 'zod'
import type { Agent } from '../identity/agent.ts'
import { acceptKey, keyFingerprint } from '../identity/agent-key.ts'
import { exportPublicKey, importSeed } from '../identity/ed25519.ts'
import { recheckSessions } from '../identity/session-check.ts'
import { Secret, unpooled } from '../seal/secret.ts'
import type { RevokeReason } from '../vault/lease.ts'
import { type AdminCall, type AdminVerb, verb } from './verb.ts'

const Name = z.string().min(1).max(128)
const PublicKey = z.string().regex(/^[0-9a-fA-F]{64}$/, 'must be 64 hexadecimal digits')
const Meta = z.record(z.string(), z.string())

export function describeAgent(agent: Agent): Record<string, unknown> {
  return {
    id: agent.id,
    name: agent.name,
    display_name: agent.displayName,
    role: agent.role,
    status: agent.status,
    spiffe_id: agent.spiffeId,
    meta: agent.meta,
    require_sig_v2: agent.requireSigV2,
    keys: agent.keys.map((key) => ({
      alg: key.alg,
      public_key: key.publicKey,
      fingerprint: keyFingerprint(key),
      status: key.status,
      created_at: new Date(key.createdAt).toISOString(),
      expires_at: key.expiresAt === undefined ? null : new Date(key.expiresAt).toISOString(),
    })),
    created_at: new Date(agent.createdAt).toISOString(),
    updated_at: new Date(agent.updatedAt).toISOString(),
  }
}

/** The public half given, or a fresh pair whose seed goes out in this one reply. */
function keyFrom(
  input: { public_key?: string | undefined; generate?: boolean | undefined },
  nowMs: number,
): { key: ReturnType<typeof acceptKey>; seed: Secret | undefined } {
  if (input.public_key !== undefined)
    return { key: acceptKey(input.public_key, nowMs), seed: undefined }
  if (input.generate !== true) {
    throw new VestryError('INVALID_PARAMS', 'public_key or generate is required')
  }
  const seed = randomFillSync(unpooled(32))
  const publicKey = Buffer.from(exportPublicKey(importSeed(seed))).toString('hex')
  return { key: acceptKey(publicKey, nowMs), seed: Secret.own(seed) }
}

function agentReply(result: Record<string, unknown>, seed: Secret | undefined) {
  if (seed === undefined) return result
  return {
    result,
    secrets: [{ name: 'seed', value: seed, as: 'hex' as const }],
    release: () => seed[Symbol.dispose](),
  }
}

/** Ends what an agent holds: its sessions and, when `leases` names a reason, its leases. */
function cutOff(
  { deps: { vault } }: AdminCall<unknown>,
  agent: Agent,
  sessions: 'revoked' | 'disabled' | 'key_rotated',
  leases?: RevokeReason,
): number {
  vault.sessions.endWhere(
    ({ principal }) => principal.kind === 'agent' && principal.agent.id === agent.id,
    sessions,
  )
  if (leases === undefined) return 0
  return vault.leases.revoke({ agentId: agent.id }, leases, vault.now()).length
}

export const agentVerbs: readonly AdminVerb[] = [
  verb({
    name: 'agent.add',
    action: 'admin:write',
    event: 'agent.register',
    params: z.strictObject({
      name: Name,
      display_name: z.string().max(128).optional(),
      role: z.string().max(128).optional(),
      public_key: PublicKey.optional(),
      generate: z.boolean().optional(),
      meta: Meta.optional(),
      require_sig_v2: z.boolean().optional(),
    }),
    data: ({ name }) => ({ name }),
    run: async ({ deps, params, note }) => {
      const { key, seed } = keyFrom(params, deps.vault.now())
      const { value: agent, generation } = await deps.vault.agents.add({
        name: params.name,
        keys: [key],
        ...(params.display_name !== undefined && { displayName: params.display_name }),
        ...(params.role !== undefined && { role: params.role }),
        ...(params.meta !== undefined && { meta: params.meta }),
        ...(params.require_sig_v2 !== undefined && { requireSigV2: params.require_sig_v2 }),
      })
      note({ generation, agent_id: agent.id })
      return agentReply(describeAgent(agent), seed)
    },
  }),
  verb({
    name: 'agent.amend',
    action: 'admin:write',
    event: 'agent.update',
    params: z.strictObject({
      name: Name,
      display_name: z.string().max(128).optional(),
      role: z.string().max(128).optional(),
      meta: Meta.optional(),
      require_sig_v2: z.boolean().optional(),
    }),
    data: ({ name }) => ({ name }),
    run: async ({ deps, params, note }) => {
      const { value: agent, generation } = await deps.vault.agents.amend(params.name, {
        ...(params.display_name !== undefined && { displayName: params.display_name }),
        ...(params.role !== undefined && { role: params.role }),
        ...(params.meta !== undefined && { meta: params.meta }),
        ...(params.require_sig_v2 !== undefined && { requireSigV2: params.require_sig_v2 }),
      })
      await recheckSessions(deps.vault.sessions, deps.vault.agents)
      note({ generation })
      return describeAgent(agent)
    },
  }),
  verb({
    name: 'agent.rotate',
    action: 'admin:write',
    event: 'agent.rotate',
    params: z.strictObject({
      name: Name,
      public_key: PublicKey.optional(),
      generate: z.boolean().optional(),
      overlap_s: z.int().min(0).max(86_400).default(0),
    }),
    data: ({ name, overlap_s }) => ({ name, overlap_s }),
    run: async (call) => {
      const { deps, params, note } = call
      const { key, seed } = keyFrom(params, deps.vault.now())
      const { value: agent, generation } = await deps.vault.agents.rotate(
        params.name,
        key,
        params.overlap_s,
      )
      if (params.overlap_s === 0) cutOff(call, agent, 'key_rotated')
      else await recheckSessions(deps.vault.sessions, deps.vault.agents)
      note({ generation, fingerprint: keyFingerprint(key) })
      return agentReply(describeAgent(agent), seed)
    },
  }),
  verb({
    name: 'agent.revoke',
    action: 'admin:write',
    event: 'agent.revoke',
    params: z.strictObject({ name: Name }),
    data: ({ name }) => ({ name }),
    run: async (call) => {
      const { value: agent, generation } = await call.deps.vault.agents.revoke(call.params.name)
      const revoked = cutOff(call, agent, 'revoked', 'agent_revoked')
      call.note({ generation, leases_revoked: revoked })
      return { ...describeAgent(agent), name: call.params.name, leases_revoked: revoked }
    },
  }),
  verb({
    name: 'agent.disable',
    action: 'admin:write',
    event: 'agent.disable',
    params: z.strictObject({ name: Name }),
    data: ({ name }) => ({ name }),
    run: async (call) => {
      const { value: agent, generation } = await call.deps.vault.agents.disable(call.params.name)
      const revoked = cutOff(call, agent, 'disabled', 'agent_revoked')
      call.note({ generation, leases_revoked: revoked })
      return { ...describeAgent(agent), leases_revoked: revoked }
    },
  }),
  verb({
    name: 'agent.enable',
    action: 'admin:write',
    event: 'agent.enable',
    params: z.strictObject({ name: Name }),
    data: ({ name }) => ({ name }),
    run: async ({ deps, params, note }) => {
      const { value: agent, generation } = await deps.vault.agents.enable(params.name)
      note({ generation })
      return describeAgent(agent)
    },
  }),
  verb({
    name: 'agent.list',
    action: 'admin:read',
    event: 'admin.read',
    params: z.strictObject({ revoked: z.boolean().default(false) }),
    run: async ({ deps, params }) => ({
      agents: (await deps.vault.agents.list({ revoked: params.revoked })).map(describeAgent),
    }),
  }),
  verb({
    name: 'agent.show',
    action: 'admin:read',
    event: 'admin.read',
    params: z.strictObject({ name: Name }),
    run: async ({ deps: { vault }, params }) => {
      const agent =
        (await vault.agents.byName(params.name)) ?? (await vault.agents.byId(params.name))
      if (agent === undefined) {
        throw new VestryError('NOT_FOUND', `no agent is named '${params.name}'`, {
          hint: 'See "vestry agent list"',
        })
      }
      const sessions = vault.sessions
        .list()
        .filter(
          ({ principal }) => principal.kind === 'agent' && principal.agent.id === agent.id,
        ).length
      return { ...describeAgent(agent), sessions, leases: vault.leases.liveOf(agent.id) }
    },
  }),
]
