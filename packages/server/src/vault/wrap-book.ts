/**
 * Response wrapping: a retrieved value waits behind a single-use token, so that whoever should have
 * got it notices when somebody else did (vault.md §6.14). In memory: a restart ends every lease too.
 */
import { createHash } from 'node:crypto'
import { VestryError } from '@vestry/contract/errors'
import { randomHex } from '@vestry/contract/ids'
import { perform } from '../call/perform.ts'
import type { Secret } from '../seal/secret.ts'
import { ExpiryHeap } from './expiry-heap.ts'
import { protectedCall } from './methods/context.ts'
import { isoTime } from './methods/granting.ts'
import { secretReply } from './methods/retrieve.ts'
import { requiredString } from './operations/params.ts'
import { callerRecord } from './record.ts'
import type { AgentCall } from './vault.ts'
import type { Reply } from './wire/reply.ts'

const MAX_WRAPPED = 10_000

interface Wrapped {
  readonly secret: Secret
  readonly facts: Readonly<Record<string, unknown>>
  readonly path: string
  readonly expiresAt: number
}

export class WrapBook {
  /** Keyed by the token's hash: the token itself is held by its owner alone. */
  readonly #wrapped = new Map<string, Wrapped>()
  readonly #expiries = new ExpiryHeap<string>()

  wrap(
    { vault }: AgentCall,
    what: { secret: Secret; facts: Record<string, unknown>; ttlSeconds: number },
  ): Reply {
    const { secret, facts, ttlSeconds } = what
    this.expire(vault.now())
    if (this.#wrapped.size >= MAX_WRAPPED) {
      secret[Symbol.dispose]()
      throw new VestryError('RATE_LIMITED', 'too many wrapped values are waiting', {
        hint: 'Unwrap some, or use a shorter wrap_ttl',
        context: { scope: 'wraps', limit: MAX_WRAPPED, retry_after_ms: 1_000 },
      })
    }
    const token = `wrap_${randomHex(32)}`
    const createdAt = vault.now()
    const expiresAt = createdAt + ttlSeconds * 1000
    const path = String(facts['path'])
    this.#wrapped.set(keyOf(token), { secret, facts, path, expiresAt })
    this.#expiries.add(keyOf(token), expiresAt)
    return {
      result: {
        wrapped: true,
        wrap_token: token,
        ttl: ttlSeconds,
        created_at: isoTime(createdAt),
        path,
        lease_id: facts['lease_id'],
      },
    }
  }

  /** @throws VestryError WRAP_INVALID for an unknown, expired or already used token: an alarm. */
  async unwrap(call: AgentCall): Promise<Reply> {
    const { vault } = call
    const key = keyOf(requiredString(call.params, 'wrap_token', 256))
    this.expire(vault.now())
    const wrapped = this.#wrapped.get(key)
    if (wrapped === undefined) {
      const caller = vault.sessions.caller(call.session)
      await vault.stations.audit.append(
        callerRecord(caller, {
          action: 'credential.unwrap',
          detail: 'wrapping token not valid: expired, used before, or made up',
          requestId: call.requestId,
          success: false,
          code: 'WRAP_INVALID',
          data: { alert: true },
        }),
        'synced',
      )
      throw new VestryError('WRAP_INVALID', 'the wrapping token is unknown, expired or was used', {
        hint: 'If nobody of yours used it, treat the credential as exposed and rotate it',
      })
    }
    const { path } = wrapped
    const found = await vault.credentials.find(path)
    return perform(vault.stations, {
      ...protectedCall(call, path, found),
      action: 'vault:unwrap',
      event: 'credential.unwrap',
      data: {},
      effect: () => {
        // Checked again here: of two callers that came this far, one gets it.
        if (!this.#wrapped.delete(key)) throw new VestryError('WRAP_INVALID')
        return secretReply(wrapped.secret, { ...wrapped.facts })
      },
    })
  }

  expire(nowMs: number): void {
    for (const { item: key } of this.#expiries.takeDue(nowMs)) {
      this.#wrapped.get(key)?.secret[Symbol.dispose]()
      this.#wrapped.delete(key)
    }
  }

  /** Sealing wipes what is waiting. */
  clear(): void {
    for (const { secret } of this.#wrapped.values()) secret[Symbol.dispose]()
    this.#wrapped.clear()
  }
}

function keyOf(token: string): string {
  return createHash('sha256').update(token).digest('base64')
}
