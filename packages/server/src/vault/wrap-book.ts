/**
 * Response wrapping: a retrieved value waits behind a single-use token, so that whoever should have
 * got it notices when somebody else did (wire contract §6.14). In memory: a restart ends every lease too.
 * Only where the value is found is kept, never the value.
 */
import { createHash } from 'node:crypto'
import { VestryError } from '@vestry/contract/errors'
import { randomHex } from '@vestry/contract/ids'
import { perform } from '../call/perform.ts'
import { ExpiryHeap } from './expiry-heap.ts'
import type { Lease } from './lease.ts'
import {
  agentOf,
  assertExists,
  callerOf,
  protectedCall,
  reasonData,
  unknownParams,
} from './methods/context.ts'
import { isoTime } from './methods/granting.ts'
import { assertRevealable, secretReply } from './methods/retrieve.ts'
import { requiredString } from './operations/params.ts'
import { callerRecord } from './record.ts'
import type { AgentCall } from './vault.ts'
import type { Reply } from './wire/reply.ts'

const MAX_WRAPPED = 100_000
const MAX_WRAPPED_PER_AGENT = 1_000
const KNOWN = ['wrap_token']

interface Wrapped {
  /** Withdrawn together with what it gives access to. */
  readonly lease: Lease
  /** The result as the one who unwraps gets it. */
  readonly facts: Readonly<Record<string, unknown>>
}

export class WrapBook {
  /** Keyed by the token's hash: the token itself is held by its owner alone. */
  readonly #wrapped = new Map<string, Wrapped>()
  readonly #perAgent = new Map<string, number>()
  readonly #expiries = new ExpiryHeap<string>()

  /** @throws VestryError RATE_LIMITED, scope `wraps`. */
  assertRoom(call: AgentCall): void {
    this.expire(call.vault.now())
    const own = this.#perAgent.get(agentOf(call).id) ?? 0
    const full =
      this.#wrapped.size >= MAX_WRAPPED
        ? MAX_WRAPPED
        : own >= MAX_WRAPPED_PER_AGENT
          ? MAX_WRAPPED_PER_AGENT
          : undefined
    if (full === undefined) return
    throw new VestryError('RATE_LIMITED', 'too many wrapped values are waiting', {
      hint: 'Unwrap some, or use a shorter wrap_ttl',
      context: { scope: 'wraps', limit: full, retry_after_ms: 1_000 },
    })
  }

  /** @param ttl Seconds; the token does not outlive the lease. */
  wrap({ vault }: AgentCall, lease: Lease, facts: Wrapped['facts'], ttl: number): Reply {
    const token = `wrap_${randomHex(32)}`
    const key = keyOf(token)
    const createdAt = vault.now()
    const expiresAt = Math.min(createdAt + ttl * 1000, lease.expiresAt)
    this.#wrapped.set(key, { lease, facts })
    this.#perAgent.set(lease.agentId, (this.#perAgent.get(lease.agentId) ?? 0) + 1)
    this.#expiries.add(key, expiresAt)
    return {
      result: {
        wrapped: true,
        wrap_token: token,
        ttl: Math.floor((expiresAt - createdAt) / 1000),
        created_at: isoTime(createdAt),
        path: lease.path,
        lease_id: lease.id,
      },
    }
  }

  /** @throws VestryError WRAP_INVALID for an unknown, expired or already used token: an alarm. */
  async unwrap(call: AgentCall): Promise<Reply> {
    const { vault } = call
    const key = keyOf(requiredString(call.params, 'wrap_token', 256))
    const wrapped = this.#waiting(key, vault.now())
    if (wrapped === undefined) {
      await recordInvalid(call)
      throw invalidToken()
    }
    const { path, version } = wrapped.lease
    const found = await vault.credentials.find(path)
    return perform<Reply>(vault.stations, {
      ...protectedCall(call, path, found),
      action: 'vault:unwrap',
      event: 'credential.unwrap',
      data: unknownParams(call, KNOWN),
      approvalParams: { token: key },
      exists: () => {
        assertExists(path, found)
        assertRevealable(call, found)
      },
      settle: () => ({
        effect: async (note) => {
          // Asked again here: of two callers that came this far, one gets it.
          if (this.#waiting(key, vault.now()) === undefined) {
            note({ alert: true })
            throw invalidToken()
          }
          this.#remove(key)
          note({ version })
          const { secret } = await vault.credentials.open(path, version)
          return secretReply(secret, wrapped.facts)
        },
        undo: (made) => made.release?.(),
      }),
    })
  }

  expire(nowMs: number): void {
    for (const { item: key } of this.#expiries.takeDue(nowMs)) this.#remove(key)
  }

  /** Sealing forgets what is waiting. */
  clear(): void {
    this.#wrapped.clear()
    this.#perAgent.clear()
  }

  /** A token is worth what its lease is worth. */
  #waiting(key: string, nowMs: number): Wrapped | undefined {
    this.expire(nowMs)
    const wrapped = this.#wrapped.get(key)
    return wrapped?.lease.state === 'live' ? wrapped : undefined
  }

  #remove(key: string): void {
    const wrapped = this.#wrapped.get(key)
    if (wrapped === undefined) return
    this.#wrapped.delete(key)
    const { agentId } = wrapped.lease
    const left = (this.#perAgent.get(agentId) ?? 1) - 1
    if (left === 0) this.#perAgent.delete(agentId)
    else this.#perAgent.set(agentId, left)
  }
}

function keyOf(token: string): string {
  return createHash('sha256').update(token).digest('base64')
}

function invalidToken(): VestryError {
  return new VestryError('WRAP_INVALID', 'the wrapping token is unknown, expired or was used', {
    hint: 'If nobody of yours used it, treat the credential as exposed and rotate it',
  })
}

async function recordInvalid(call: AgentCall): Promise<void> {
  await call.vault.stations.audit.append(
    callerRecord(callerOf(call), {
      action: 'credential.unwrap',
      detail: 'wrapping token not valid: expired, used before, or made up',
      requestId: call.requestId,
      success: false,
      code: 'WRAP_INVALID',
      data: { ...unknownParams(call, KNOWN), ...reasonData(call), severity: 'high', alert: true },
    }),
    'synced',
  )
}
