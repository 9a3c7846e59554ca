/**
 * Where transaction tokens come from: a file, the run's sidecar, or both. One refresh at a time, and a
 * newer token before the old one ends.
 */
import { stat } from 'node:fs/promises'
import { type Clock, systemClock } from './clock.ts'
import { socketPath } from './environment.ts'
import { GatewayError, SageSanctumError, TraTAcquisitionError, TraTExpiredError } from './errors.ts'
import { errorBody } from './http/answer-error.ts'
import { GatewayHttpClient, type HttpCallOptions, type HttpClientOptions } from './http/client.ts'
import { getLogger, type Logger } from './log.ts'
import { inspectHook } from './mask.ts'
import { foreignText } from './redact.ts'
import { readTokenFile } from './token-file.ts'
import { TransactionToken } from './transaction-token.ts'

export interface TransactionTokenClientOptions {
  file?: string | undefined
  sidecarSocket?: string | undefined
  /** With less than this left, a newer token is asked for. Default 30; 0 uses a token to its end. */
  refreshMarginSeconds?: number | undefined
  clock?: Clock | undefined
  logger?: Logger | undefined
  /** Of the calls to the sidecar. */
  http?: HttpClientOptions | undefined
}

/** Inside the margin there still is a token, so a sidecar that is down must not cost time. */
const EARLY_REFRESH = { maxRetries: 0, timeoutMs: 2000, deadlineMs: 2000 }

/** One refresh and how many callers wait for it. */
interface Flight {
  readonly controller: AbortController
  readonly token: Promise<TransactionToken>
  waiting: number
}

const MAX_TOKEN_BYTES = 64 * 1024

export class TransactionTokenClient {
  readonly #file: string | undefined
  readonly #sidecar: { path: string; http: GatewayHttpClient } | undefined
  readonly #marginMs: number
  readonly #clock: Clock
  readonly #logger: Logger
  #current: TransactionToken | undefined
  #cached: TransactionToken | undefined
  /** A server refused it, whatever its times say here. */
  #refused: string | undefined
  #flight: Flight | undefined

  /** Touches neither the file nor the socket. @throws ConfigurationError for an impossible socket path. */
  constructor(options: TransactionTokenClientOptions = {}) {
    this.#file = options.file
    this.#marginMs = (options.refreshMarginSeconds ?? 30) * 1000
    this.#clock = options.clock ?? systemClock
    this.#logger = options.logger ?? getLogger('sage_sanctum.trat')
    if (options.sidecarSocket !== undefined) {
      const path = socketPath(options.sidecarSocket)
      const http = new GatewayHttpClient(
        { socketPath: path },
        { clock: this.#clock, maxResponseBytes: MAX_TOKEN_BYTES, ...options.http },
      )
      this.#sidecar = { path, http }
    }
  }

  /** The newest token there ever was, whether or not it has ended; undefined before the first. */
  get current(): TransactionToken | undefined {
    return this.#current
  }

  /**
   * A token that is valid now.
   *
   * @param options.signal Ends this caller's wait; a refresh that others wait for goes on.
   * @throws TraTAcquisitionError when no token can be had; TraTExpiredError when only an ended one can.
   */
  async getToken(options: { signal?: AbortSignal | undefined } = {}): Promise<TransactionToken> {
    options.signal?.throwIfAborted()
    const cached = this.#cached
    if (cached !== undefined && this.#isFresh(cached)) return cached
    this.#flight ??= this.#takeOff()
    const flight = this.#flight
    flight.waiting += 1
    try {
      return await unlessAborted(flight.token, options.signal)
    } finally {
      flight.waiting -= 1
      if (flight.waiting === 0) this.#land(flight)
    }
  }

  /**
   * Forgets the cached token and, while there is another, does not take it again; `current` stays.
   *
   * @param refused The token a server did not take: nothing is forgotten when a newer one came meanwhile.
   */
  invalidate(refused: string | undefined = this.#cached?.raw): void {
    this.#refused = refused ?? this.#refused
    if (this.#cached?.raw === refused) this.#cached = undefined
  }

  [inspectHook](): string {
    return `TransactionTokenClient(file=${this.#file}, sidecar=${this.#sidecar?.path})`
  }

  #takeOff(): Flight {
    const controller = new AbortController()
    return { controller, token: this.#refresh(controller.signal), waiting: 0 }
  }

  /** Nobody waits any more: a request that is still out is of no use. */
  #land(flight: Flight): void {
    if (this.#flight === flight) this.#flight = undefined
    flight.controller.abort()
  }

  async #refresh(signal: AbortSignal): Promise<TransactionToken> {
    const held = this.#cached
    const usable = held !== undefined && !held.isExpired(this.#clock.now()) ? held : undefined
    const token = await this.#acquire(usable, signal).catch((error: unknown) => {
      if (usable === undefined || usable.isExpired(this.#clock.now())) throw error
      return usable
    })
    if (token.isExpired(this.#clock.now())) throw expired(token)
    this.#cached = token
    this.#current = token
    return token
  }

  /** @param usable A token that has not ended, so that there is no need to wait long. */
  async #acquire(
    usable: TransactionToken | undefined,
    signal: AbortSignal,
  ): Promise<TransactionToken> {
    const fromFile = await this.#fromFile()
    if (fromFile !== undefined && this.#isFresh(fromFile)) return fromFile
    const best = later(fromFile, usable)
    if (this.#sidecar === undefined) {
      if (best !== undefined) return best
      throw new TraTAcquisitionError(
        'There is no source of transaction tokens: set TRAT_FILE or AUTH_SIDECAR_SOCKET',
      )
    }
    if (best === undefined) return await this.#fromSidecar(this.#sidecar, { signal })
    if (best.isExpired(this.#clock.now())) {
      this.#logger.info('trat_expired_fallback', { exp: best.exp })
      return await this.#fromSidecar(this.#sidecar, { signal })
    }
    return await this.#fromSidecar(this.#sidecar, { ...EARLY_REFRESH, signal }).catch(() => best)
  }

  /** Undefined without a file, and for a file that cannot be used when the sidecar can step in. */
  async #fromFile(): Promise<TransactionToken | undefined> {
    const path = this.#file
    if (path === undefined) return undefined
    try {
      return TransactionToken.parse(await readTokenFile(path))
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause)
      if (this.#sidecar === undefined) {
        throw new TraTAcquisitionError(
          `The transaction token file ${path} cannot be used: ${reason}`,
        )
      }
      this.#logger.warning('trat_file_unusable', { path, error: reason })
      return undefined
    }
  }

  async #fromSidecar(
    { path, http }: { path: string; http: GatewayHttpClient },
    patience: HttpCallOptions,
  ): Promise<TransactionToken> {
    const isThere = await stat(path).then(
      () => true,
      () => false,
    )
    if (!isThere) {
      throw new TraTAcquisitionError(`The sidecar socket ${path} does not exist`, {
        retryable: true,
      })
    }
    const answer = await http.request('GET', '/trat', patience).catch((cause: unknown) => {
      if (!(cause instanceof SageSanctumError)) throw cause
      throw new TraTAcquisitionError(`The sidecar gave no transaction token: ${cause.message}`, {
        cause,
        retryable: cause.retryable,
        ...(cause instanceof GatewayError && { status: cause.status, code: cause.code }),
      })
    })
    const text = answer.text().trim()
    if (answer.status === 200) return TransactionToken.parse(text)
    const { code, message } = errorBody(text)
    throw new TraTAcquisitionError(
      `The sidecar answered ${answer.status}: ${foreignText(message ?? text)}`,
      {
        status: answer.status,
        code,
        requestId: answer.headers['x-request-id'],
        retryable: answer.status >= 500,
      },
    )
  }

  #isFresh(token: TransactionToken): boolean {
    return token.raw !== this.#refused && !token.isExpired(this.#clock.now() + this.#marginMs)
  }
}

function later(
  a: TransactionToken | undefined,
  b: TransactionToken | undefined,
): TransactionToken | undefined {
  if (a === undefined || b === undefined) return a ?? b
  return a.exp >= b.exp ? a : b
}

function expired(token: TransactionToken): TraTExpiredError {
  return new TraTExpiredError(
    `The transaction token ended at ${token.exp} (seconds since the epoch)`,
  )
}

/** The work goes on for others when one caller stops waiting. */
function unlessAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work
  return new Promise((resolve, reject) => {
    const aborted = (): void => reject(signal.reason)
    signal.addEventListener('abort', aborted, { once: true })
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', aborted))
  })
}
