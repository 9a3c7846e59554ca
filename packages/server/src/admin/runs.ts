/** Runs for operators: register, list, close; their tokens, and the keys these are signed with. */
import { asVestryError, VestryError } from '@vestry/contract/errors'
import * as z from 'zod'
import type { Agent } from '../identity/agent.ts'
import type { Changed } from '../identity/row-guard.ts'
import { isOpen, type Run } from '../identity/runs/run.ts'
import { RunRegistration } from '../identity/runs/run-registration.ts'
import type { RunStore } from '../identity/runs/run-store.ts'
import { type IssuedToken, MAX_SVID_TTL } from '../identity/runs/svid.ts'
import { type AdminVerb, verb } from './verb.ts'

/** What the verbs need of the part that serves runs. */
export interface RunDesk {
  readonly runs: Pick<RunStore, 'byId' | 'list'>
  readonly trustDomain: string
  readonly llmAudience: string
  readonly svidTtlSeconds: number
  readonly now: () => number
  /** Registers it and opens its socket. @throws VestryError `INVALID_PARAMS`, `CONFLICT` */
  register(given: RunRegistration, agent: Agent, uid: number | undefined): Promise<Changed<Run>>
  /** From its return on nothing is done under the run any more. @throws VestryError `NOT_FOUND` */
  close(id: string): Promise<Changed<Run> & { readonly ended: Ended }>
  /** Of its process; undefined for a run that another node serves. */
  environment(run: Run): Record<string, string> | undefined
  issueTrat(runId: string, requestId: string): Promise<IssuedToken>
  issueSvid(spiffeId: string, audience: string, ttlSeconds: number): IssuedToken
  /** Keys of another issuer that are trusted; undefined: none is configured. @throws VestryError `IDENTITY_INVALID` */
  trustedKeys(): Promise<number | undefined>
  /** @returns ids of the new keys. */
  rotateKeys(immediately: boolean): Promise<string[]>
}

/** What was taken under a run and ended with it. */
export interface Ended {
  readonly sessions: number
  readonly leases: number
  readonly tokens: number
}

const Id = z.string().min(1).max(128)
const MAX_LISTED = 1_000

export function runVerbs(desk: RunDesk): AdminVerb[] {
  const { runs, now } = desk
  const described = (run: Run, agent?: Agent) => describeRun(run, now(), agent)
  return [
    verb({
      name: 'run.register',
      action: 'admin:write',
      event: 'run.register',
      params: z.strictObject({
        ...RunRegistration.shape,
        /** Name of the agent; found by `spiffe_id` where it is left out. */
        agent: z.string().min(1).max(64).optional(),
        /** Who may open the run's socket; whoever registers it, unless told. */
        uid: z.int().min(0).max(0xffff_fffe).optional(),
      }),
      data: ({ agent, run_id, org_id }) => ({
        ...(run_id !== undefined && { run_id }),
        ...(agent !== undefined && { agent }),
        org_id,
      }),
      run: async ({ deps, params, note, caller }) => {
        const { agent: name, uid, ...given } = params
        const agent = await agentOf(deps.vault.agents, name, given.spiffe_id)
        const owner = uid ?? caller.peer.uid ?? process.getuid?.()
        const { value: run, generation } = await desk.register(given, agent, owner)
        note({ generation, run_id: run.id, run_txn: run.id, agent: agent.name })
        return { ...described(run, agent), env: desk.environment(run) ?? null }
      },
    }),
    verb({
      name: 'run.list',
      action: 'admin:read',
      event: 'admin.read',
      params: z.strictObject({
        agent: z.string().min(1).max(64).optional(),
        limit: z.int().min(1).max(MAX_LISTED).default(100),
        /** Also those that are over. */
        all: z.boolean().default(false),
      }),
      run: async ({ deps, params }) => {
        const { agents } = deps.vault
        const agentId =
          params.agent === undefined ? undefined : (await agentOf(agents, params.agent)).id
        const found = await runs.list({
          limit: params.limit,
          live: !params.all,
          ...(agentId !== undefined && { agentId }),
        })
        const shown = params.all ? found : found.filter((run) => isOpen(run, now()))
        return {
          runs: await Promise.all(
            shown.map(async (run) => described(run, await agents.byId(run.agentId))),
          ),
        }
      },
    }),
    verb({
      name: 'run.show',
      action: 'admin:read',
      event: 'admin.read',
      params: z.strictObject({ id: Id }),
      run: async ({ deps, params }) => {
        const run = await runs.byId(params.id)
        if (run === undefined) throw noSuchRun()
        const agent = await deps.vault.agents.byId(run.agentId)
        return { ...described(run, agent), env: desk.environment(run) ?? null }
      },
    }),
    verb({
      name: 'run.close',
      action: 'admin:write',
      event: 'run.close',
      params: z.strictObject({ id: Id }),
      data: ({ id }) => ({ run_id: id }),
      run: async ({ deps, params, note }) => {
        const { value: run, generation, ended } = await desk.close(params.id)
        note({ generation, run_txn: run.id, ended })
        return { ...described(run, await deps.vault.agents.byId(run.agentId)), ended }
      },
    }),
    verb({
      name: 'run.rotate_keys',
      action: 'admin:write',
      event: 'run.rotate_keys',
      params: z.strictObject({
        /** Ends every token that was signed with the old ones, at once. */
        immediately: z.boolean().default(false),
      }),
      data: ({ immediately }) => ({ immediately }),
      run: async ({ params, note }) => {
        const keys = await desk.rotateKeys(params.immediately)
        note({ keys })
        return { keys, immediately: params.immediately }
      },
    }),
    verb({
      name: 'run.trust_bundle',
      action: 'admin:read',
      event: 'admin.read',
      params: z.strictObject({}),
      run: async () => {
        try {
          const keys = await desk.trustedKeys()
          return { configured: keys !== undefined, readable: true, keys: keys ?? 0 }
        } catch (error) {
          if (asVestryError(error).code !== 'IDENTITY_INVALID') throw error
          return { configured: true, readable: false, keys: 0 }
        }
      },
    }),
    verb({
      name: 'token.trat',
      action: 'admin:write',
      event: 'token.trat',
      params: z.strictObject({ run: Id }),
      data: ({ run }) => ({ run_id: run }),
      run: async ({ params, requestId }) => {
        const { token, expiresAtMs } = await desk.issueTrat(params.run, requestId)
        return { trat: token, run_id: params.run, expires_at: iso(expiresAtMs) }
      },
    }),
    verb({
      name: 'token.svid',
      action: 'admin:write',
      event: 'svid.issue',
      params: z.strictObject({
        agent: z.string().min(1).max(64).optional(),
        run: Id.optional(),
        audience: z.string().min(1).max(2_048).optional(),
        ttl_seconds: z.int().min(1).max(MAX_SVID_TTL).optional(),
      }),
      data: ({ agent, run }) => ({
        ...(agent !== undefined && { agent }),
        ...(run !== undefined && { run_id: run }),
      }),
      run: async ({ deps, params, note }) => {
        const spiffeId = await identityOf(desk, deps.vault.agents, params)
        const audience = params.audience ?? desk.llmAudience
        const ttl = params.ttl_seconds ?? desk.svidTtlSeconds
        const { token, expiresAtMs } = desk.issueSvid(spiffeId, audience, ttl)
        note({ spiffe_id: spiffeId, audience })
        return { svid: token, spiffe_id: spiffeId, audience, expires_at: iso(expiresAtMs) }
      },
    }),
  ]
}

/** As operators see it; nothing in it opens anything. */
export function describeRun(run: Run, nowMs: number, agent?: Agent): Record<string, unknown> {
  const expired = run.state === 'open' && !isOpen(run, nowMs)
  return {
    run_id: run.id,
    txn: run.id,
    agent: agent?.name ?? run.agentId,
    spiffe_id: run.spiffeId,
    state: expired ? 'expired' : run.state,
    org_id: run.tctx.org_id,
    repo_url: run.tctx.repo_url,
    repo_ref: run.repoRef,
    agent_type: run.tctx.agent_type,
    agent_mode: run.tctx.agent_mode,
    sub: run.sub,
    scope: run.scope.join(' '),
    allowed_models: run.tctx.allowed_models,
    allowed_providers: run.tctx.allowed_providers,
    allowed_tools: run.tctx.allowed_tools,
    rctx: run.rctx,
    trat_ttl_seconds: run.tratTtlSeconds,
    budget: run.budget,
    created_at: iso(run.createdAt),
    expires_at: iso(run.expiresAt),
    closed_at: run.closedAt === undefined ? null : iso(run.closedAt),
  }
}

interface Agents {
  byName(name: string): Promise<Agent | undefined>
  byId(id: string): Promise<Agent | undefined>
}

/** @throws VestryError `NOT_FOUND`, `AGENT_INACTIVE`, `INVALID_PARAMS` */
async function agentOf(
  agents: Agents,
  name: string | undefined,
  spiffeId?: string,
): Promise<Agent> {
  const id = /^spiffe:\/\/[^/]+\/agent\/([0-9a-f-]{36})$/.exec(spiffeId ?? '')?.[1]
  if (name === undefined && id === undefined)
    throw new VestryError('INVALID_PARAMS', 'agent is required', {
      hint: 'Name the agent whose run it is, or give its spiffe_id',
    })
  const agent = name === undefined ? await agents.byId(id ?? '') : await agents.byName(name)
  if (agent === undefined)
    throw new VestryError('NOT_FOUND', 'There is no such agent', {
      hint: 'See "vestry agent list"',
    })
  if (agent.status !== 'enabled') throw new VestryError('AGENT_INACTIVE')
  return agent
}

/** Whom an SVID is for: an agent, or one of its runs. */
async function identityOf(
  { runs, now }: RunDesk,
  agents: Agents,
  { agent, run }: { agent?: string | undefined; run?: string | undefined },
): Promise<string> {
  if ((agent === undefined) === (run === undefined))
    throw new VestryError('INVALID_PARAMS', 'Name either an agent or a run')
  if (run === undefined) return (await agentOf(agents, agent)).spiffeId
  const found = await runs.byId(run)
  if (found === undefined) throw noSuchRun()
  if (!isOpen(found, now())) throw new VestryError('RUN_CLOSED')
  return found.spiffeId
}

function noSuchRun(): VestryError {
  return new VestryError('NOT_FOUND', 'There is no such run', {
    hint: 'See "vestry run list --all"',
  })
}

function iso(ms: number): string {
  return new Date(ms).toISOString()
}
