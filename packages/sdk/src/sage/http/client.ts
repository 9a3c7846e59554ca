/**
 * The HTTP client of the agent SDK: plain HTTP/1.1 over a Unix socket or TCP, one connection per
 * request, bounded attempts, pauses and sizes. It knows nothing of tokens.
 */
import { type Clock, systemClock } from '../clock.ts'
import { GatewayError, isRetryableStatus, type SageSanctumError } from '../errors.ts'
import { getLogger, type Logger } from '../log.ts'
import { type Address, addressOf, type HttpTarget } from './address.ts'
import { errorBody, errorOfAnswer } from './answer-error.ts'
import { streamedBody, wholeBody } from './body.ts'
import { bound } from './bound.ts'
import { type Deadline, deadline } from './deadline.ts'
import { AttemptFailed, type Exchange, exchange } from './exchange.ts'
import { type Headers, type RequestShape, requestBytes, requestShape } from './request.ts'
import type { GatewayResponse, GatewayStream } from './response.ts'
import { answerDelayMs, backoffDelayMs } from './retry.ts'

export interface HttpClientOptions {
  /** Longest silence on a connection, and longest time to connect. Default 120 000. */
  timeoutMs?: number | undefined
  /** Attempts after the first. Default 3; 0 disables. */
  maxRetries?: number | undefined
  /** Base of the pauses between attempts. Default 500. */
  retryBackoffMs?: number | undefined
  /** Longest time of a whole call. Default 300 000; of a streamed one 600 000. */
  deadlineMs?: number | undefined
  /** Default 64 MiB. */
  maxResponseBytes?: number | undefined
  clock?: Clock | undefined
  /** From 0 to, but not, 1; for jitter. */
  random?: (() => number) | undefined
  logger?: Logger | undefined
}

/** For one attempt: pass a function to have fresh tokens in each. */
export type HeaderSupply = Headers | ((signal: AbortSignal) => Promise<Headers>)

export interface HttpCallOptions {
  headers?: HeaderSupply | undefined
  /** Sent as JSON; bytes are sent as they are. */
  body?: unknown
  signal?: AbortSignal | undefined
  timeoutMs?: number | undefined
  deadlineMs?: number | undefined
  maxRetries?: number | undefined
  /** Throws the class that fits for every status but 200, instead of returning the answer. */
  mustSucceed?: boolean | undefined
  /**
   * Told the server's code of a 401, at most once.
   *
   * @returns Whether an attempt with new headers may help; it does not count as a retry.
   */
  renew?: ((code: string | undefined) => boolean) | undefined
}

/** The options with their defaults; only the deadline's default depends on the call. */
type Settings = {
  [Name in Exclude<keyof HttpClientOptions, 'deadlineMs'>]-?: NonNullable<HttpClientOptions[Name]>
} & { deadlineMs: number | undefined }

const MAX_HEAD_BYTES = 64 * 1024

export class GatewayHttpClient {
  readonly #address: Address
  readonly #options: Settings

  /**
   * @throws GatewayError when neither a socket nor host and port are given.
   * @throws ConfigurationError for an address or a bound that is not valid.
   */
  constructor(target: HttpTarget, options: HttpClientOptions = {}) {
    this.#address = addressOf(target)
    this.#options = {
      timeoutMs: bound('timeoutMs', options.timeoutMs, 120_000),
      maxRetries: bound('maxRetries', options.maxRetries, 3),
      retryBackoffMs: bound('retryBackoffMs', options.retryBackoffMs, 500),
      deadlineMs: options.deadlineMs,
      maxResponseBytes: bound('maxResponseBytes', options.maxResponseBytes, 64 * 1024 * 1024),
      clock: options.clock ?? systemClock,
      random: options.random ?? Math.random,
      logger: options.logger ?? getLogger('sage_sanctum.http'),
    }
  }

  get isUnixSocket(): boolean {
    return this.#address.kind === 'unix'
  }

  /** `unix://<absolute path>` or `http://host:port`. */
  get endpoint(): string {
    const address = this.#address
    if (address.kind === 'unix') return `unix://${address.path}`
    const host = address.host.includes(':') ? `[${address.host}]` : address.host
    return `http://${host}:${address.port}`
  }

  /**
   * Sends until there is an answer that another attempt would not better.
   *
   * @returns The answer, whatever its status but 429.
   * @throws RateLimitError for 429 after the last attempt (the class of its code, if that is another).
   * @throws GatewayUnavailableError when nobody listens; GatewayError when the answer is late,
   *         malformed, short or too large; ConfigurationError for what cannot be sent.
   */
  async request(
    method: string,
    path: string,
    options: HttpCallOptions = {},
  ): Promise<GatewayResponse> {
    const call = this.#call(method, path, options, { isStreamed: false })
    try {
      return await this.#untilAnswered(call, wholeBody)
    } finally {
      call.end.release()
    }
  }

  /**
   * The same for an answer that is read while it arrives. Attempts end with the first byte of a body
   * with status 200.
   *
   * @throws Also the error that fits any other status and the server's code.
   */
  async requestStream(
    method: string,
    path: string,
    options: HttpCallOptions = {},
  ): Promise<GatewayStream> {
    const call = this.#call(method, path, options, { isStreamed: true })
    try {
      const answer = await this.#untilAnswered<GatewayResponse | GatewayStream>(
        call,
        (exchanged) =>
          exchanged.head.status === 200
            ? streamedBody(exchanged, () => call.end.release())
            : wholeBody(exchanged),
      )
      if ('close' in answer) return answer
      throw this.#error(answer, call)
    } catch (error) {
      call.end.release()
      throw error
    }
  }

  /** One attempt at `GET /health`; true when it answers 200 within `timeoutMs`, 2 000 by default. */
  async healthCheck(
    options: { timeoutMs?: number | undefined; signal?: AbortSignal | undefined } = {},
  ): Promise<boolean> {
    const timeoutMs = options.timeoutMs ?? 2000
    try {
      const { status } = await this.request('GET', '/health', {
        timeoutMs,
        deadlineMs: timeoutMs,
        maxRetries: 0,
        signal: options.signal,
      })
      return status === 200
    } catch (error) {
      if (error instanceof GatewayError) return false
      throw error
    }
  }

  #call(
    method: string,
    path: string,
    options: HttpCallOptions,
    { isStreamed }: { isStreamed: boolean },
  ): Call {
    const usualMs = isStreamed ? 600_000 : 300_000
    const ms = bound('deadlineMs', options.deadlineMs ?? this.#options.deadlineMs, usualMs)
    return {
      shape: requestShape(method, path, options.body),
      headers: options.headers ?? {},
      timeoutMs: bound('timeoutMs', options.timeoutMs, this.#options.timeoutMs),
      maxRetries: bound('maxRetries', options.maxRetries, this.#options.maxRetries),
      mustSucceed: options.mustSucceed ?? false,
      renew: options.renew,
      end: deadline(ms, this.#options.clock.now(), {
        outer: options.signal,
        truncated: isStreamed,
      }),
      secrets: new Set(),
    }
  }

  async #untilAnswered<T extends GatewayResponse | GatewayStream>(
    call: Call,
    take: (exchanged: Exchange) => Promise<T>,
  ): Promise<T> {
    let canRenew = call.renew !== undefined
    for (let n = 0; ; ) {
      const outcome = await this.#attempt(call, take)
      if (canRenew && isRenewable(outcome, call)) {
        canRenew = false
        continue
      }
      const delayMs = this.#delayMs(outcome, n)
      const now = this.#options.clock.now()
      if (n >= call.maxRetries || delayMs === undefined || now + delayMs >= call.end.atMs) {
        return this.#settle(outcome, call)
      }
      n += 1
      this.#logRetry(outcome, { delay: delayMs / 1000, attempt: n, max_retries: call.maxRetries })
      await this.#options.clock.sleep(delayMs, call.end.signal)
    }
  }

  async #attempt<T>(
    call: Call,
    take: (exchanged: Exchange) => Promise<T>,
  ): Promise<T | AttemptFailed> {
    const { signal } = call.end
    signal.throwIfAborted()
    const supplied = typeof call.headers === 'function' ? await call.headers(signal) : call.headers
    for (const secret of secretsIn(supplied)) call.secrets.add(secret)
    try {
      const exchanged = await exchange(this.#address, requestBytes(call.shape, supplied), {
        method: call.shape.method,
        timeoutMs: call.timeoutMs,
        signal,
        maxHeadBytes: MAX_HEAD_BYTES,
        maxBodyBytes: this.#options.maxResponseBytes,
      })
      return await take(exchanged)
    } catch (error) {
      if (error instanceof AttemptFailed) return error
      throw error
    }
  }

  /** Undefined when another attempt would not help. */
  #delayMs(outcome: GatewayResponse | GatewayStream | AttemptFailed, n: number) {
    const backoff = { backoffMs: this.#options.retryBackoffMs, random: this.#options.random }
    if (outcome instanceof AttemptFailed) {
      return outcome.isRepeatable ? backoffDelayMs(n, backoff) : undefined
    }
    if (!isRetryableStatus(outcome.status)) return undefined
    return answerDelayMs(n, outcome, backoff, this.#options.clock.now())
  }

  #settle<T extends GatewayResponse | GatewayStream>(outcome: T | AttemptFailed, call: Call): T {
    if (outcome instanceof AttemptFailed) throw outcome.error
    const isError = outcome.status === 429 || (call.mustSucceed && outcome.status !== 200)
    if (isError && 'body' in outcome) throw this.#error(outcome, call)
    return outcome
  }

  #error(answer: GatewayResponse, { secrets }: Call): SageSanctumError {
    return errorOfAnswer(answer, { nowMs: this.#options.clock.now(), secrets })
  }

  #logRetry(outcome: { status: number } | AttemptFailed, fields: Record<string, unknown>): void {
    const { logger } = this.#options
    if (outcome instanceof AttemptFailed) {
      logger.warning('gateway_connection_retry', { error: outcome.error.message, ...fields })
    } else {
      logger.warning('gateway_retry', { status: outcome.status, ...fields })
    }
  }
}

/** One call over all its attempts. */
interface Call {
  readonly shape: RequestShape
  readonly headers: HeaderSupply
  readonly timeoutMs: number
  readonly maxRetries: number
  readonly mustSucceed: boolean
  readonly renew: HttpCallOptions['renew']
  readonly end: Deadline
  /** Tokens that were sent: an answer that repeats one is quoted without it. */
  readonly secrets: Set<string>
}

function isRenewable(
  outcome: GatewayResponse | GatewayStream | AttemptFailed,
  { renew }: Call,
): boolean {
  if (outcome instanceof AttemptFailed || outcome.status !== 401) return false
  return 'body' in outcome && renew?.(errorBody(outcome.text()).code) === true
}

function secretsIn(headers: Headers): string[] {
  return Object.entries(headers)
    .filter(([name]) => /^(?:authorization|txn-token|x-api-key)$/i.test(name))
    .map(([, value]) => String(value).replace(/^Bearer /i, ''))
}
