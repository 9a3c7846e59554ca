/** Leases, sessions and approvals as operators see them. */
import { VestryError } from '@vestry/contract/errors'
import * as z from 'zod'
import type { Approval } from '../call/approval.ts'
import { actorOf } from '../identity/caller.ts'
import type { Lease } from '../vault/lease.ts'
import { type AdminVerb, verb } from './verb.ts'

const iso = (ms: number) => new Date(ms).toISOString()

export const leaseVerbs: readonly AdminVerb[] = [
  verb({
    name: 'lease.list',
    action: 'admin:read',
    event: 'admin.read',
    params: z.strictObject({
      agent: z.string().optional(),
      path: z.string().optional(),
      prefix: z.string().optional(),
      failed: z.boolean().default(false),
      limit: z.int().min(1).max(5_000).default(1_000),
    }),
    run: async ({ deps, params }) => {
      // Leases that end upstream arrive with the dynamic back ends; until then none can have failed.
      if (params.failed) return { leases: [], total: 0 }
      const agentId = await agentIdOf(deps.vault.agents, params.agent)
      const all = deps.vault.leases.list({
        ...(agentId !== undefined && { agentId }),
        ...(params.path !== undefined && { path: params.path }),
        ...(params.prefix !== undefined && { prefix: params.prefix }),
      })
      const names = new Map<string, string>()
      const leases: Record<string, unknown>[] = []
      for (const lease of all.slice(0, params.limit)) {
        let name = names.get(lease.agentId)
        if (name === undefined) {
          name = (await deps.vault.agents.byId(lease.agentId))?.name ?? lease.agentId
          names.set(lease.agentId, name)
        }
        leases.push(describe(lease, name))
      }
      return { leases, total: all.length }
    },
  }),
  verb({
    name: 'lease.revoke',
    action: 'admin:write',
    event: 'lease.revoke',
    params: z
      .strictObject({
        id: z.string().max(128).optional(),
        prefix: z.string().max(512).optional(),
        agent: z.string().max(128).optional(),
      })
      .refine(
        (given) => Object.values(given).filter((value) => value !== undefined).length === 1,
        'give exactly one of id, prefix, agent',
      ),
    data: ({ prefix, agent }) => ({
      ...(prefix !== undefined && { prefix }),
      ...(agent !== undefined && { agent }),
    }),
    run: async ({ deps, params, note }) => {
      const { vault } = deps
      const agentId = await agentIdOf(vault.agents, params.agent)
      const revoked = vault.leases.revoke(
        {
          ...(params.id !== undefined && { id: params.id }),
          ...(params.prefix !== undefined && { prefix: params.prefix }),
          ...(agentId !== undefined && { agentId }),
        },
        'operator',
        vault.now(),
      )
      if (params.id !== undefined && revoked.length === 0) {
        throw new VestryError('NOT_FOUND', 'no live lease has this id', {
          hint: 'See "vestry lease list"',
        })
      }
      note({ count: revoked.length })
      return { revoked: revoked.length }
    },
  }),
  verb({
    name: 'session.list',
    action: 'admin:read',
    event: 'admin.read',
    params: z.strictObject({ agent: z.string().optional() }),
    run: async ({ deps: { vault }, params }) => {
      const sessions = vault.sessions
        .list()
        .filter(
          ({ principal }) =>
            params.agent === undefined || actorOf(principal) === `agent:${params.agent}`,
        )
        .map((session) => ({
          txn: session.txn,
          actor: actorOf(session.principal),
          transport: session.peer.transport,
          pid: session.peer.pid ?? null,
          uid: session.peer.uid ?? null,
          address: session.peer.address ?? null,
          key_fingerprint: session.keyFingerprint,
          created_at: iso(session.createdAt),
          expires_at: iso(vault.sessions.deadline(session)),
        }))
      return { sessions }
    },
  }),
  verb({
    name: 'session.revoke',
    action: 'admin:write',
    event: 'session.end',
    params: z.strictObject({
      txn: z.string().max(128).optional(),
      agent: z.string().max(128).optional(),
    }),
    data: (params) => params,
    run: async ({ deps: { vault }, params, note }) => {
      if (params.txn === undefined && params.agent === undefined) {
        throw new VestryError('INVALID_PARAMS', 'txn or agent is required')
      }
      const ended = vault.sessions.endWhere(
        (session) =>
          session.txn === params.txn ||
          (params.agent !== undefined && actorOf(session.principal) === `agent:${params.agent}`),
        'ended_by_operator',
      )
      note({ count: ended })
      return { ended }
    },
  }),
  verb({
    name: 'approval.list',
    // Not admin:read: who answers these must see them, and need see nothing else.
    action: 'admin:approve',
    event: 'admin.read',
    params: z.strictObject({ state: z.enum(['pending', 'allowed', 'denied', 'used']).optional() }),
    run: async ({ deps, params }) => ({
      approvals: (await deps.vault.stations.approvals.list(params.state)).map(describeApproval),
    }),
  }),
  verb({
    name: 'approval.allow',
    action: 'admin:approve',
    event: 'approval.grant',
    params: z.strictObject({
      id: z.string().max(64),
      /** Seconds for which the same request may be repeated; absent: once. */
      for_s: z.int().min(1).max(86_400).optional(),
    }),
    data: ({ id, for_s }) => ({ approval: id, scope: for_s ?? 'once' }),
    run: async ({ deps, params, by }) => {
      const { approvals } = deps.vault.stations
      return describeApproval(
        await approvals.decide(params.id, 'allowed', by, params.for_s ?? 'once'),
      )
    },
  }),
  verb({
    name: 'approval.deny',
    action: 'admin:approve',
    event: 'approval.deny',
    params: z.strictObject({ id: z.string().max(64) }),
    data: ({ id }) => ({ approval: id }),
    run: async ({ deps, params, by }) =>
      describeApproval(await deps.vault.stations.approvals.decide(params.id, 'denied', by)),
  }),
]

async function agentIdOf(
  agents: { byName(name: string): Promise<{ id: string } | undefined> },
  name: string | undefined,
): Promise<string | undefined> {
  if (name === undefined) return undefined
  const agent = await agents.byName(name)
  if (agent !== undefined) return agent.id
  throw new VestryError('NOT_FOUND', `no agent is named '${name}'`, {
    hint: 'See "vestry agent list"',
  })
}

function describeApproval(approval: Approval): Record<string, unknown> {
  const { scope } = approval
  return {
    ...approval,
    scope: scope === 'once' ? scope : iso(Number(scope)),
    requested_at: iso(approval.requested_at),
    expires_at: iso(approval.expires_at),
    decided_at: approval.decided_at === null ? null : iso(approval.decided_at),
  }
}

function describe(lease: Lease, agent: string): Record<string, unknown> {
  return {
    lease_id: lease.id,
    agent,
    path: lease.path,
    version: lease.version,
    kind: lease.kind,
    state: lease.state,
    policy: lease.policy,
    request_id: lease.requestId,
    issued_at: iso(lease.issuedAt),
    expires_at: iso(lease.expiresAt),
    renewals: lease.renewals,
  }
}
