/** Claims for operators: which process is which agent, what may be claimed, and taking it back. */
import { VestryError } from '@vestry/contract/errors'
import * as z from 'zod'
import type { Agent } from '../identity/agent.ts'
import type { ClaimDesk } from '../identity/claims/claim-desk.ts'
import type { StoredClaim } from '../identity/claims/claim-store.ts'
import { acceptTerms, type ClaimTerms, STANDARD_TERMS } from '../identity/claims/claim-terms.ts'
import type { ClaimTermsStore } from '../identity/claims/claim-terms-store.ts'
import { type AdminVerb, verb } from './verb.ts'

export interface ClaimVerbDeps {
  readonly desk: Pick<ClaimDesk, 'list' | 'revoke' | 'recheck' | 'issueToken'>
  readonly terms: Pick<ClaimTermsStore, 'of' | 'update'>
  /** The node that serves this call. */
  readonly node: string
}

const Name = z.string().min(1).max(128)
/** Members that are left out stay as they are; null makes one the standard again. */
const TermsChange = z.strictObject({
  capabilities: z.array(z.string()).nullish(),
  max_ttl_secs: z.int().nullish(),
  max_claims: z.int().nullish(),
  scope_allowed: z.enum(['process', 'tree']).nullish(),
  uids: z.array(z.int()).nullish(),
  exe_sha256: z.array(z.string()).nullish(),
  require_token: z.boolean().nullish(),
})
type TermsChange = z.output<typeof TermsChange>

export function claimVerbs({ desk, terms, node }: ClaimVerbDeps): AdminVerb[] {
  return [
    verb({
      name: 'claim.list',
      action: 'admin:read',
      event: 'admin.read',
      params: z.strictObject({ agent: Name.optional() }),
      run: async ({ deps, params }) => {
        const agent =
          params.agent === undefined ? undefined : await agentOf(deps.vault.agents, params.agent)
        const claims = (await desk.list()).filter(
          ({ claim }) => agent === undefined || claim.agentId === agent.id,
        )
        return { claims: claims.map((stored) => describe(stored, node)) }
      },
    }),
    verb({
      name: 'claim.revoke',
      action: 'admin:write',
      event: 'claim.revoke',
      params: z
        .strictObject({ id: z.string().max(128).optional(), agent: Name.optional() })
        .refine(
          ({ id, agent }) => (id === undefined) !== (agent === undefined),
          'give exactly one of id, agent',
        ),
      data: (params) => params,
      run: async ({ deps, params, note, by }) => {
        const { id } = params
        const wanted =
          params.agent === undefined
            ? { ...(id !== undefined && { id }) }
            : { agentId: (await agentOf(deps.vault.agents, params.agent)).id }
        const revoked = await desk.revoke(wanted, `operator:${by}`)
        if (id !== undefined && revoked.length === 0) {
          throw new VestryError('NOT_FOUND', 'no live claim has this id', {
            hint: 'See "vestry claim list"',
          })
        }
        note({ count: revoked.length })
        return { revoked: revoked.length }
      },
    }),
    verb({
      name: 'agent.claim_terms',
      action: 'admin:read',
      event: 'admin.read',
      params: z.strictObject({ name: Name }),
      run: async ({ deps, params }) => {
        const agent = await agentOf(deps.vault.agents, params.name)
        return { name: agent.name, ...(await terms.of(agent.id)) }
      },
    }),
    verb({
      name: 'agent.set_claim_terms',
      action: 'admin:write',
      event: 'agent.claim_terms',
      params: z.strictObject({ name: Name, ...TermsChange.shape }),
      data: (params) => params,
      run: async ({ deps, params, note }) => {
        const { name, ...change } = params
        const agent = await agentOf(deps.vault.agents, name)
        const { value, generation } = await terms.update(agent.id, (now) => changed(now, change))
        note({ generation })
        await desk.recheck()
        return { name: agent.name, ...value }
      },
    }),
    verb({
      name: 'token.pod',
      action: 'admin:write',
      event: 'token.pod',
      params: z.strictObject({ agent: Name }),
      data: (params) => params,
      run: async ({ deps, params }) => {
        const agent = await agentOf(deps.vault.agents, params.agent)
        const { token, expiresAtMs } = await desk.issueToken(agent)
        return { agent: agent.name, token, expires_at: iso(expiresAtMs) }
      },
    }),
  ]
}

/** @throws VestryError INVALID_PARAMS naming the member that is wrong. */
function changed(now: ClaimTerms, change: TermsChange): ClaimTerms {
  const { uids, exe_sha256, require_token, ...rest } = change
  const policy = { ...now.claim_policy }
  const next: Record<string, unknown> = { ...now }
  for (const [member, value] of Object.entries(rest)) {
    if (value === undefined) continue
    next[member] = value ?? STANDARD_TERMS[member as keyof typeof rest]
  }
  return acceptTerms({
    ...next,
    claim_policy: {
      require_token: require_token === undefined ? policy.require_token : (require_token ?? false),
      ...kept('uids', uids, policy.uids),
      ...kept('exe_sha256', exe_sha256, policy.exe_sha256),
    },
  })
}

/** null takes the list away, and nothing is asked any more; undefined leaves it. */
function kept<T>(member: string, given: T | null | undefined, before: T | undefined) {
  const value = given === undefined ? before : given
  return value === undefined || value === null ? {} : { [member]: value }
}

/** @throws VestryError NOT_FOUND, AGENT_INACTIVE */
export async function agentOf(
  agents: { byName(name: string): Promise<Agent | undefined> },
  name: string,
): Promise<Agent> {
  const agent = await agents.byName(name)
  if (agent === undefined) {
    throw new VestryError('NOT_FOUND', 'There is no such agent', {
      hint: 'See "vestry agent list"',
    })
  }
  if (agent.status !== 'enabled') throw new VestryError('AGENT_INACTIVE')
  return agent
}

function describe({ claim, node }: StoredClaim, own: string): Record<string, unknown> {
  return {
    claim_id: claim.id,
    agent: claim.agentName,
    agent_id: claim.agentId,
    pid: claim.pid,
    start_time: claim.startTime,
    uid: claim.uid,
    scope: claim.scope,
    capabilities: claim.capabilities,
    session: claim.session,
    issued_at: iso(claim.issuedAtMs),
    expires_at: iso(claim.expiresAtMs),
    /** null for one of another node, whose processes are on another host. */
    node: node === own ? 'this' : node,
  }
}

function iso(ms: number): string {
  return new Date(ms).toISOString()
}
