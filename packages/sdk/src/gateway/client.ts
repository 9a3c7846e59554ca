/**
 * The gateway client an agent uses: it asks for tokens, sends tool calls and follows jobs. Repeats only
 * what may be repeated, replaces tokens before they expire, and shows neither key nor token when printed.
 */
import { randomUUID } from 'node:crypto'
import { inspect } from 'node:util'
import { asyncDispose } from '../vault/async-dispose.ts'
import { sleep } from '../vault/wait.ts'
import { dataOf, type JobHandle, type JobResponse, jobHandleOf, jobOf } from './answers.ts'
import { generateCorrelationId } from './correlation.ts'
import { type Environment, optionsFromEnvironment } from './environment.ts'
import { GatewayError, invalid } from './errors.ts'
import { createExchange, type Exchange } from './exchange.ts'
import { safely } from './log.ts'
import { createMint, type Mint } from './mint.ts'
import { mockSettings, mockTransport } from './mock-transport.ts'
import { type GatewayClientOptions, resolveOptions } from './options.ts'
import { type Scope, scoped } from './scope.ts'
import { signerOf, warnOnceUnsigned } from './signing.ts'
import { TokenBook } from './token-book.ts'
import { createToolCalls, type ToolCall } from './tool-call.ts'
import type { ToolParams } from './tool-params.ts'
import { httpTransport } from './transport.ts'

/** What every call takes. */
export interface CallOptions {
  /** Ends the call with the signal's own reason, and replaces the call's overall deadline. */
  signal?: AbortSignal
}

/** One of the two lifetimes is needed. */
export interface TokenOptions {
  tools: readonly string[]
  permissions: readonly string[]
  ttlMinutes?: number
  ttl_minutes?: number
}

export interface WaitOptions extends CallOptions {
  /** Default 60 000. */
  timeoutMs?: number
  /** Between two looks. Default 500. */
  pollMs?: number
}

/** Beyond any gateway's own bound, and still a date. */
const LONGEST_TTL_MINUTES = 1_000_000
const JOB_ID = /^[A-Za-z0-9_-]{1,128}$/

export class GatewayClient implements AsyncDisposable {
  readonly #exchange: Exchange
  readonly #mint: Mint
  readonly #tokens: TokenBook
  readonly #perform: ReturnType<typeof createToolCalls>
  readonly #closing = new AbortController()
  /** A whole call, retries included; a caller's signal takes its place. */
  readonly #limitMs: number
  /** What may be shown of the options. */
  readonly #shown: Record<string, unknown>
  #intent: string

  /** @throws GatewayError `INVALID_PARAMS` for an option that is missing, malformed or unknown. */
  constructor(options: GatewayClientOptions) {
    const { url, agentId, timeoutMs, autoRotate, txnToken, ...resolved } = resolveOptions(options)
    const now = Date.now
    const log = safely(options.logger)
    const mock = url.protocol === 'mock:' ? mockSettings(url) : undefined
    // A forced failure is an outcome to test against: waiting for it to pass would be waiting for nothing.
    const retry = mock ? { ...resolved.retry, maxRetries: 0 } : resolved.retry
    const transport = mock
      ? mockTransport(mock, { now, random: randomUUID })
      : httpTransport(url.href.replace(/\/+$/, ''), options.fetch)
    const exchange = createExchange({ transport, timeoutMs, retry, log, txnToken })
    // The key lives in the platform's key object from here on; its text is not kept.
    const signer = mock ? undefined : signerOf(resolved.agentPrivateKeyPem)
    const onUnsigned = mock ? () => {} : warnOnceUnsigned()
    const tellRotated = safely(options.onTokenRotated)

    this.#exchange = exchange
    this.#mint = createMint({ agentId, exchange, signer, onUnsigned, now })
    this.#tokens = new TokenBook(agentId, {
      mint: (request) => this.#scoped(undefined, (scope) => this.#mint(request, scope)),
      now,
      onRotated: ({ previous, minted }) => {
        log({ event: 'rotation', operation: 'generate-token' })
        tellRotated({ previous, ...minted })
      },
      onRotationFailed: (error) => {
        const code = error instanceof GatewayError ? (error.errorCode ?? error.code) : undefined
        const because = code === undefined ? {} : { code }
        log({ event: 'rotation-failed', operation: 'generate-token', ...because })
      },
    })
    const logged = options.logger !== undefined
    this.#perform = createToolCalls({ exchange, tokens: this.#tokens, autoRotate, logged, now })
    this.#limitMs = timeoutMs * (retry.maxRetries + 1)
    this.#intent = resolved.defaultIntent
    const run = txnToken === undefined ? {} : { txnToken: '[secret]' }
    this.#shown = { baseUrl: url.href, agentId: shortened(agentId), timeoutMs, ...run }
  }

  /**
   * A client for `GATEWAY_URL`, `AGENT_ID` and `AGENT_PRIVATE_KEY`.
   *
   * @param env     Default: the environment of the process.
   * @param options What the environment does not say, e.g. `defaultIntent`.
   */
  static fromEnvironment(
    env?: Environment,
    options: Omit<GatewayClientOptions, 'baseUrl' | 'agentId' | 'agentPrivateKeyPem'> = {},
  ): GatewayClient {
    return new GatewayClient({ ...options, ...optionsFromEnvironment(env) })
  }

  /** The intent of calls from now on; an empty one is not sent. */
  setIntent(intent: string): void {
    this.#intent = intent
  }

  /**
   * A new token. The client remembers it: a call that passes it uses its replacement when there is one.
   *
   * @throws GatewayError `INVALID_PARAMS` without a positive lifetime, or with two that differ.
   */
  async getToken(options: TokenOptions, { signal }: CallOptions = {}): Promise<string> {
    const { tools, permissions } = options
    const request = { tools: [...tools], permissions: [...permissions], ttlMinutes: ttlOf(options) }
    const minted = await this.#scoped(signal, (scope) => this.#mint(request, scope))
    this.#tokens.begin(request, minted)
    return minted.token
  }

  /**
   * Has the gateway call a tool. Sent again after a failure only if the call is repeatable, or its
   * parameters hold an idempotency key, or nothing was sent.
   *
   * @param agentToken           Default: a token for this tool, kept for calls that follow.
   * @param proofPayloadOverride What the caller claims the token to say, for the gateway to compare; then
   *   exactly `agentToken` is used.
   * @returns The `data` of the answer: what the tool returned.
   */
  async proxy<T = unknown>(
    tool: string,
    action: string,
    params: ToolParams = {},
    agentToken?: string,
    proofPayloadOverride?: unknown,
    options: CallOptions = {},
  ): Promise<T> {
    const call = { tool, action, params, proof: proofPayloadOverride ?? undefined, async: false }
    const text = await this.#call(call, agentToken, options)
    return dataOf(text) as T // the caller names the shape of the tool it asked for
  }

  /** The same as a job: checked now, executed later. Its id is all it takes to read the result. */
  async proxyAsync(
    tool: string,
    action: string,
    params: ToolParams = {},
    agentToken?: string,
    proofPayloadOverride?: unknown,
    options: CallOptions = {},
  ): Promise<JobHandle> {
    const call = { tool, action, params, proof: proofPayloadOverride ?? undefined, async: true }
    return jobHandleOf(await this.#call(call, agentToken, options))
  }

  /** @throws GatewayError `JOB_NOT_FOUND`, status 404, for an id that is unknown, expired or malformed. */
  getJob<T = unknown>(jobId: string, { signal }: CallOptions = {}): Promise<JobResponse<T>> {
    return this.#scoped(signal, (scope) => this.#job<T>(jobId, scope))
  }

  /**
   * Looks until the job is `done` or `failed`.
   *
   * @throws GatewayError `TIMEOUT` when it is still neither; it goes on and can be waited for again.
   */
  async waitForJob<T = unknown>(
    jobId: string,
    { timeoutMs = 60_000, pollMs = 500, signal }: WaitOptions = {},
  ): Promise<JobResponse<T>> {
    const latestMs = performance.now() + timeoutMs
    return scoped([signal, this.#closing.signal], Number.POSITIVE_INFINITY, async (outer) => {
      for (;;) {
        const job = await this.#scoped(outer.signal, (scope) => this.#job<T>(jobId, scope))
        if (job.status === 'done' || job.status === 'failed') return job
        const restMs = latestMs - performance.now()
        if (restMs <= 0) {
          throw new GatewayError(`The job is still ${job.status}`, { code: 'TIMEOUT' })
        }
        await sleep(Math.min(pollMs, restMs), outer.signal)
      }
    })
  }

  /** Ends what is under way and forgets all tokens. Later calls are refused. Never throws. */
  async close(): Promise<void> {
    this.#closing.abort(new GatewayError('The client is closed', { code: 'CLIENT_CLOSED' }))
    this.#tokens.clear()
  }

  [asyncDispose](): Promise<void> {
    return this.close()
  }

  toJSON(): Record<string, unknown> {
    const secrets = { agentPrivateKeyPem: '[secret]', tokens: '[secret]' }
    return { ...this.#shown, ...secrets, intent: this.#intent }
  }

  [inspect.custom](): Record<string, unknown> {
    return this.toJSON()
  }

  /** Bounds a call: by the caller's signal if there is one, else by the overall deadline; and by close(). */
  #scoped<T>(signal: AbortSignal | undefined, work: (scope: Scope) => Promise<T>): Promise<T> {
    const limitMs = signal === undefined ? this.#limitMs : Number.POSITIVE_INFINITY
    return scoped([signal, this.#closing.signal], limitMs, work)
  }

  #call(
    call: Omit<ToolCall, 'intent'>,
    agentToken: string | undefined,
    { signal }: CallOptions,
  ): Promise<string> {
    const whole = { ...call, intent: this.#intent }
    return this.#scoped(signal, (scope) => this.#perform(whole, agentToken, scope))
  }

  async #job<T>(jobId: string, scope: Scope): Promise<JobResponse<T>> {
    // Anything else would change the path; the gateway's answer to it is the same.
    if (!JOB_ID.test(jobId)) {
      throw new GatewayError('Job not found', { statusCode: 404, errorCode: 'JOB_NOT_FOUND' })
    }
    const { text } = await this.#exchange(
      {
        name: 'job',
        correlationId: generateCorrelationId(),
        repeatable: true,
        draft: { method: 'GET', path: `/api/jobs/${jobId}` },
      },
      scope,
    )
    return jobOf<T>(text, jobId)
  }
}

/** Where token requests need no signature, whoever knows the whole id can have tokens. */
function shortened(agentId: string): string {
  return agentId.length > 8 ? `${agentId.slice(0, 8)}…` : agentId
}

function ttlOf({ ttlMinutes, ttl_minutes: snake }: TokenOptions): number {
  if (ttlMinutes !== undefined && snake !== undefined && ttlMinutes !== snake) {
    throw invalid('ttlMinutes and ttl_minutes differ')
  }
  const ttl = ttlMinutes ?? snake
  if (typeof ttl === 'number' && ttl > 0 && ttl <= LONGEST_TTL_MINUTES) return ttl
  throw invalid(`ttlMinutes must be a number above 0 and up to ${LONGEST_TTL_MINUTES}`)
}
