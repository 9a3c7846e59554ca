/**
 * Sends one request: a series of attempts within one deadline. Says what came of it and leaves it to the caller
 * whether that is the end.
 */
import { asVestryError } from '@vestry/contract/errors'
import { parsePartialSuccess } from './json.ts'
import { decodePartialSuccess } from './protobuf.ts'
import type { Protocol } from './request.ts'
import { backoffMs, isRetryable, MAX_ATTEMPTS, retryAfterMs } from './retry.ts'

/** Where one signal goes. */
export interface Target {
  readonly url: string
  /** The same for people: what follows the path may be a key. */
  readonly shown: string
  /** As written: a value of `vault:PATH` stands for a credential. */
  readonly headers: Readonly<Record<string, string>>
  readonly protocol: Protocol
  readonly timeoutMs: number
}

export interface HttpRequest {
  readonly url: string
  readonly contentType: string
  readonly headers: Target['headers']
  readonly body: Uint8Array
  /** For this attempt. */
  readonly timeoutMs: number
  readonly signal: AbortSignal
}

export interface HttpReply {
  readonly status: number
  readonly retryAfter: string | undefined
  readonly body: Uint8Array
}

/** One attempt. @throws whatever kept it from being answered. */
export type Post = (request: HttpRequest) => Promise<HttpReply>

export type Outcome =
  | { readonly kind: 'taken' }
  /** The request was taken, some of its records were not. */
  | { readonly kind: 'partial'; readonly rejected: number; readonly message: string }
  /** It will never be taken as it is. */
  | { readonly kind: 'refused'; readonly status: number; readonly reason: string }
  /** It may be taken later. */
  | { readonly kind: 'failed'; readonly reason: string; readonly retryAfterMs: number | undefined }

export interface DeliveryDeps {
  readonly post: Post
  /** Epoch ms, for dates in answers. */
  readonly now: () => number
  /** For deadlines: does not jump. */
  readonly monotonicMs: () => number
  readonly random: () => number
  /** Ends early, without an error, when the signal aborts. */
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>
}

/** Of what a receiver says, for the log of the daemon. */
const MAX_REASON = 200

/** @param body In the encoding of `target`. */
export async function deliver(
  target: Target,
  body: Uint8Array,
  deps: DeliveryDeps,
  signal: AbortSignal,
): Promise<Outcome> {
  const json = target.protocol === 'http/json'
  const endsMs = deps.monotonicMs() + target.timeoutMs
  let failure = 'there was no time for it'
  for (let attempt = 1; ; attempt += 1) {
    const leftMs = endsMs - deps.monotonicMs()
    if (leftMs <= 0 || signal.aborted) return failed(failure, undefined)
    const reply = await attemptOnce({
      url: target.url,
      headers: target.headers,
      contentType: json ? 'application/json' : 'application/x-protobuf',
      body,
      timeoutMs: leftMs,
      signal,
    })
    if ('outcome' in reply) return reply.outcome
    failure = reply.reason
    const waitMs = reply.retryAfterMs ?? backoffMs(attempt, deps.random())
    // What is asked to wait longer than the deadline is the next series' matter.
    if (attempt >= MAX_ATTEMPTS || deps.monotonicMs() + waitMs >= endsMs)
      return failed(failure, reply.retryAfterMs)
    await deps.sleep(waitMs, signal)
  }

  async function attemptOnce(
    http: HttpRequest,
  ): Promise<{ outcome: Outcome } | { reason: string; retryAfterMs: number | undefined }> {
    let reply: HttpReply
    try {
      reply = await deps.post(http)
    } catch (error) {
      return { reason: reasonOf(error), retryAfterMs: undefined }
    }
    const { status } = reply
    if (status >= 200 && status < 300) return { outcome: takenBy(reply, json) }
    if (isRetryable(status))
      return {
        reason: `it answered ${status}`,
        retryAfterMs: retryAfterMs(reply.retryAfter, deps.now()),
      }
    return { outcome: { kind: 'refused', status, reason: refusal(reply, json) } }
  }
}

function failed(reason: string, retryAfterMs: number | undefined): Outcome {
  return { kind: 'failed', reason, retryAfterMs }
}

function takenBy({ body }: HttpReply, json: boolean): Outcome {
  const partial = json ? parsePartialSuccess(body) : decodePartialSuccess(body)
  if (partial === undefined || partial.rejected <= 0) return { kind: 'taken' }
  return { kind: 'partial', rejected: partial.rejected, message: shown(partial.message) }
}

function refusal({ status, body }: HttpReply, json: boolean): string {
  // An error of protobuf receivers is a binary Status; only text is repeated.
  const said = json ? shown(Buffer.from(body).toString('utf8')) : ''
  return said === '' ? `it answered ${status}` : `it answered ${status}: ${said}`
}

/** What a stranger wrote, fit for one line of ours. */
function shown(text: string): string {
  return text
    .slice(0, MAX_REASON)
    .replaceAll(/[\s\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, ' ')
    .toWellFormed()
    .trim()
}

/** Our own errors say nothing of headers. */
function reasonOf(error: unknown): string {
  const { code, message } = asVestryError(error)
  return message === '' ? code : message
}
