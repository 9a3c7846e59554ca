/** `retrieve`: hands the secret itself to the agent, under a lease (vault.md §6.4). */
import { VestryError } from '@vestry/contract/errors'
import { perform } from '../../call/perform.ts'
import type { Secret } from '../../seal/secret.ts'
import { optionalInteger } from '../operations/params.ts'
import type { AgentCall } from '../vault.ts'
import type { Reply } from '../wire/reply.ts'
import { assertExists, protectedCall, readPath, unknownParams } from './context.ts'
import { type Granting, isoTime, issueLease, leaseData, planLease } from './granting.ts'

const KNOWN = ['path', 'ttl', 'version', 'wrap_ttl']
const MAX_TTL_ASKED = 2 ** 31 - 1

export async function retrieve(call: AgentCall): Promise<Reply> {
  const { vault, params } = call
  const { path, found } = await readPath(call)
  const ttl = optionalInteger(params, 'ttl', { min: 1, max: MAX_TTL_ASKED })
  const version = optionalInteger(params, 'version', { min: 1, max: MAX_TTL_ASKED })
  const wrapTtl = optionalInteger(params, 'wrap_ttl', { min: 1, max: 3_600 })
  let granting: Granting | undefined

  const { secret, lease, type } = await perform(vault.stations, {
    ...protectedCall(call, path, found),
    action: 'vault:retrieve',
    event: 'credential.retrieve',
    data: { ...unknownParams(call, KNOWN), ...(version !== undefined && { version }) },
    approvalParams: { version: version ?? null },
    exists: () => {
      assertExists(path, found)
      assertRevealable(call, path, found.settings.use_only)
    },
    plan: (decision) => {
      granting = planLease(call, decision, ttl)
      return leaseData(call, granting)
    },
    effect: async (decision, note) => {
      const opened = await vault.credentials.open(path, version)
      note({ version: opened.version })
      const kind = wrapTtl === undefined ? 'retrieve' : 'wrap'
      const issued = issueLease(call, granting as Granting, {
        kind,
        path,
        version: opened.version,
        decision,
      })
      return { secret: opened.secret, lease: issued, type: opened.credential.type }
    },
  }).catch((error: unknown) => {
    // The lease exists only from the effect on; an outcome that could not be written takes it back.
    if (granting !== undefined) revokeUnrecorded(call, granting.leaseId)
    throw error
  })

  const facts = {
    lease_id: lease.id,
    path,
    version: lease.version,
    type,
    ttl: (granting as unknown as Granting).ttl,
    ttl_clamped: (granting as unknown as Granting).clamped,
    renewable: lease.renewable,
    issued_at: isoTime(lease.issuedAt),
    expires_at: isoTime(lease.expiresAt),
  }
  if (wrapTtl !== undefined) return vault.wraps.wrap(call, { secret, facts, ttlSeconds: wrapTtl })
  return secretReply(secret, facts)
}

/** The result of a retrieve; `value` goes out as hex of the secret's bytes. */
export function secretReply(secret: Secret, facts: Record<string, unknown>): Reply {
  return {
    result: facts,
    secrets: [{ name: 'value', value: secret, as: 'hex' }],
    release: () => secret[Symbol.dispose](),
  }
}

function revokeUnrecorded({ vault }: AgentCall, leaseId: string): void {
  vault.leases.revoke({ id: leaseId }, 'quota', vault.now())
}

function assertRevealable({ vault }: AgentCall, path: string, useOnly: boolean): void {
  if (vault.settings.rawRetrieval && !useOnly) return
  throw new VestryError(
    'ACCESS_DENIED',
    useOnly ? `'${path}' can be used, not read` : 'raw retrieval is switched off on this daemon',
    {
      hint: 'Call "use" with http_request, sign, encrypt … instead: the secret then stays in the vault',
      context: { action: 'retrieve', path, legacy_code: 'POLICY_DENIED' },
    },
  )
}
