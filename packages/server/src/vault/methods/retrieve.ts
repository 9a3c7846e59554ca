/** `retrieve`: hands the secret itself to the agent, under a lease (wire contract §6.4). */
import { VestryError } from '@vestry/contract/errors'
import { perform } from '../../call/perform.ts'
import type { Secret } from '../../seal/secret.ts'
import { assertNotUseOnly, type Credential } from '../credential.ts'
import { optionalInteger } from '../operations/params.ts'
import type { AgentCall } from '../vault.ts'
import type { Reply } from '../wire/reply.ts'
import { assertExists, protectedCall, readPath, unknownParams, useOf } from './context.ts'
import { isoTime, planLease } from './granting.ts'

const KNOWN = ['path', 'ttl', 'version', 'wrap_ttl']
const MAX_TTL_ASKED = 2 ** 31 - 1
const MAX_WRAP_TTL = 3_600

export async function retrieve(call: AgentCall): Promise<Reply> {
  const { vault, params } = call
  const { path, found } = await readPath(call)
  const ttl = optionalInteger(params, 'ttl', { min: 1, max: MAX_TTL_ASKED })
  const version = optionalInteger(params, 'version', { min: 1, max: MAX_TTL_ASKED })
  const wrapTtl = optionalInteger(params, 'wrap_ttl', { min: 1, max: MAX_WRAP_TTL })

  return perform<Reply>(vault.stations, {
    ...protectedCall(call, path, found),
    action: 'vault:retrieve',
    event: 'credential.retrieve',
    use: useOf(call, path),
    data: {
      ...unknownParams(call, KNOWN),
      ...(version !== undefined && { version }),
      ...(wrapTtl !== undefined && { wrap_ttl: wrapTtl }),
    },
    approvalParams: { ttl: ttl ?? null, version: version ?? null, wrap_ttl: wrapTtl ?? null },
    exists: () => {
      assertExists(path, found)
      assertRevealable(call, found)
    },
    settle: (decision) => {
      if (wrapTtl !== undefined) vault.wraps.assertRoom(call)
      const kind = wrapTtl === undefined ? 'retrieve' : 'wrap'
      const planned = planLease(call, decision, { kind, path, ttl })
      return {
        data: planned.data,
        held: planned,
        effect: async (note) => {
          const {
            secret,
            version: opened,
            credential,
          } = await vault.credentials.open(path, version)
          note({ version: opened })
          const lease = planned.issue(opened)
          const facts = {
            lease_id: lease.id,
            path,
            version: opened,
            type: credential.type,
            ttl: planned.grant.ttl,
            ttl_clamped: planned.grant.clamped,
            renewable: lease.renewable,
            issued_at: isoTime(lease.issuedAt),
            expires_at: isoTime(lease.expiresAt),
          }
          if (wrapTtl === undefined) return secretReply(secret, facts)
          secret[Symbol.dispose]() // it was there; whoever unwraps opens it again
          return vault.wraps.wrap(call, lease, facts, wrapTtl)
        },
        undo: (made) => {
          made.release?.()
          planned.withdraw()
        },
      }
    },
  })
}

/** The result of a retrieve; `value` goes out as hex of the secret's bytes. */
export function secretReply(secret: Secret, facts: Readonly<Record<string, unknown>>): Reply {
  return {
    result: facts,
    secrets: [{ name: 'value', value: secret, as: 'hex' }],
    release: () => secret[Symbol.dispose](),
  }
}

/** @throws VestryError ACCESS_DENIED where the value itself must not leave, whatever policy says. */
export function assertRevealable(
  { vault }: Pick<AgentCall, 'vault'>,
  credential: Credential,
): void {
  assertNotUseOnly(credential, 'retrieve')
  if (vault.settings.rawRetrieval) return
  const { path } = credential
  throw new VestryError('ACCESS_DENIED', 'raw retrieval is switched off on this daemon', {
    hint: 'Call "use" with http_request, sign, encrypt … instead: the secret then stays in the vault',
    context: {
      action: 'retrieve',
      path,
      reason_code: 'raw_retrieval_off',
      legacy_code: 'POLICY_DENIED',
    },
  })
}
