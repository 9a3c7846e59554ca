/**
 * `Idempotency-Key`: a request that comes again under its key gets the answer of the first one, also after a restart.
 * Answers are sealed in the journal and kept for a day.
 */
import { createHmac, hash, type KeyObject } from 'node:crypto'
import { canonicalJson } from '@vestry/contract/canonical'
import { asVestryError, VestryError } from '@vestry/contract/errors'
import { newTimeOrderedId } from '@vestry/contract/ids'
import { type Execution, hasEnded } from '../../journal/execution.ts'
import type { Journal } from '../../journal/journal.ts'
import type { Buckets } from '../../limits/bucket.ts'
import type { Outgoing } from './outgoing.ts'
import { outgoingProblem } from './outgoing.ts'

export const JOURNAL_KIND = 'runtime_reply'

export interface KeyedRequest {
  /** Who asks: equal keys of different clients are different. */
  readonly keyId: string
  readonly idempotencyKey: string
  readonly method: string
  /** With its query. */
  readonly url: string
  /** Of the route, for lists. */
  readonly route: string
  readonly raw: Uint8Array
  readonly requestId: string
}

const KEPT_MS = 86_400_000
const KEPT_BYTES = 1_048_576
/** Answers kept for one client in a day. */
const KEPT_PER_CLIENT = 20_000
/** Others may take a freed key first, but not for ever. */
const ATTEMPTS = 8
const KEY = /^[\x21-\x7e]{1,255}$/

export class StoredReplies {
  readonly #journal: Pick<Journal, 'reserve' | 'wait' | 'output'>
  readonly #buckets: Buckets
  readonly #hashKey: () => KeyObject

  /** @param deps.hashKey Asked for at each use. */
  constructor(deps: {
    journal: Pick<Journal, 'reserve' | 'wait' | 'output'>
    buckets: Buckets
    hashKey: () => KeyObject
  }) {
    this.#journal = deps.journal
    this.#buckets = deps.buckets
    this.#hashKey = deps.hashKey
  }

  /**
   * Does `work`, or answers what came of it before; while it is under way, waits for it.
   *
   * @throws VestryError VALIDATION_ERROR for a key that is none, IDEMPOTENCY_CONFLICT, OUTCOME_UNKNOWN,
   *   RATE_LIMITED, the reason of `signal`, and what `work` throws.
   */
  async once(
    request: KeyedRequest,
    signal: AbortSignal,
    work: () => Promise<Outgoing>,
  ): Promise<Outgoing> {
    const { keyId, idempotencyKey, method, url, raw } = request
    if (!KEY.test(idempotencyKey)) {
      throw new VestryError(
        'VALIDATION_ERROR',
        'Idempotency-Key: expected 1 to 255 visible characters',
        {
          context: { details: { fields: [{ path: 'Idempotency-Key', problem: 'malformed' }] } },
        },
      )
    }
    const key = hash('sha256', canonicalJson(['runtime', keyId, idempotencyKey]))
    // Keyed: bodies hold secrets, and a plain hash of a weak one can be guessed from the store.
    const fingerprint = createHmac('sha256', this.#hashKey())
      .update(canonicalJson([method, url, hash('sha256', raw)]))
      .digest('hex')
    for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
      const reserved = await this.#journal.reserve({
        id: newTimeOrderedId('op'),
        kind: JOURNAL_KIND,
        key,
        fingerprint,
        agentId: keyId,
        subject: `${method} ${request.route}`,
        mode: 'inline',
        repeatable: false,
        retainMs: KEPT_MS,
        sent: true,
      })
      if (reserved.state === 'held') {
        await using held = reserved.execution
        try {
          this.#count(keyId)
          const reply = await work()
          await held.finish(stored(reply))
          return reply
        } catch (error) {
          const { code, status } = asVestryError(error)
          // What was refused did not happen; of the others nobody knows, so they are not tried again.
          const reached = status >= 500 && status !== 503
          const output = reached ? stored(outgoingProblem(error, request.requestId)) : undefined
          await held.fail({ code, reached, ...(output && { output }) }).catch(() => undefined)
          throw error
        }
      }
      const earlier = await this.#earlier(reserved.execution, fingerprint, signal)
      if (earlier !== undefined) return earlier
    }
    throw new VestryError('CONFLICT', 'the same request keeps being refused')
  }

  /** @returns undefined where it may be done again. */
  async #earlier(
    found: Execution,
    fingerprint: string,
    signal: AbortSignal,
  ): Promise<Outgoing | undefined> {
    if (found.fingerprint !== fingerprint) {
      throw new VestryError(
        'IDEMPOTENCY_CONFLICT',
        'The Idempotency-Key belongs to another request',
        {
          hint: 'Use a new key for a new request',
        },
      )
    }
    const ended = hasEnded(found) ? found : await this.#journal.wait(found.id, signal)
    if (ended.state === 'failed' && !ended.reached) return undefined
    const bytes = await this.#journal.output(ended.id)
    const kept = bytes === undefined ? undefined : readStored(bytes)
    if (kept !== undefined) return kept
    throw new VestryError('OUTCOME_UNKNOWN', undefined, {
      hint: 'Look whether it happened; use a new key to do it again',
    })
  }

  #count(keyId: string): void {
    const waitMs = this.#buckets.take({
      kind: 'bucket',
      key: `runtime.stored:${keyId}`,
      scope: 'runtime.stored',
      perSecond: KEPT_PER_CLIENT / 86_400,
      burst: KEPT_PER_CLIENT,
    })
    if (waitMs === 0) return
    throw new VestryError('RATE_LIMITED', 'Too many requests with an Idempotency-Key in a day', {
      context: { retry_after_ms: waitMs },
    })
  }
}

function stored({ status, headers, text }: Outgoing): Uint8Array {
  // What is too large to be kept is known to have happened, and no more.
  const kept = Buffer.byteLength(text) <= KEPT_BYTES ? { status, headers, text } : {}
  return Buffer.from(JSON.stringify(kept))
}

function readStored(bytes: Uint8Array): Outgoing | undefined {
  // Written by `stored`, and sealed since.
  const kept = JSON.parse(Buffer.from(bytes).toString('utf8')) as Partial<Outgoing>
  if (kept.text === undefined || kept.status === undefined) return undefined
  const { status, headers = {}, text } = kept
  return { status, headers: { ...headers, 'idempotent-replay': 'true' }, text }
}
