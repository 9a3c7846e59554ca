/**
 * HTTPS to a provider, by the platform's own `fetch`: bounded attempts and times, no redirects, and a
 * key that no error repeats.
 */
import { type Clock, systemClock } from '../sage/clock.ts'
import {
  ConfigurationError,
  GatewayError,
  GatewayUnavailableError,
  isRetryableStatus,
} from '../sage/errors.ts'
import { answerDelayMs, backoffDelayMs } from '../sage/http/retry.ts'
import { linked } from '../sage/link.ts'
import { after } from '../vault/wait.ts'
import type { JsonObject } from './providers/chat-types.ts'
import { parseJson } from './providers/json.ts'
import type { Provider } from './providers/provider.ts'

export interface DirectRequest {
  readonly provider: Provider
  readonly url: string
  readonly key: string
  readonly body: JsonObject
  readonly signal: AbortSignal | undefined
  readonly timeoutMs: number | undefined
  readonly deadlineMs: number | undefined
}

/** An answer with status 200. Read it by `json` or by `parts`; both let go of everything at their end. */
export interface DirectAnswer {
  /** @throws GatewayError for a body that is too large or not JSON. */
  json(): Promise<unknown>
  parts(): AsyncIterable<Uint8Array>
  close(): void
}

export interface DirectSenderOptions {
  readonly clock?: Clock
  readonly random?: () => number
  readonly retryBackoffMs?: number
}

const MAX_RETRIES = 3
const RETRY_BACKOFF_MS = 500
const TIMEOUT_MS = 120_000
const DEADLINE_MS = 300_000
const LARGEST_ANSWER = 64 * 1024 * 1024
const LARGEST_ERROR = 1024 * 1024
const UNREACHABLE = ['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'ENETUNREACH', 'EHOSTUNREACH']

/** Sends, and repeats what may succeed. @throws ProviderFault for an answer that is an error. */
export function directSender(options: DirectSenderOptions = {}) {
  const {
    clock = systemClock,
    random = Math.random,
    retryBackoffMs: backoffMs = RETRY_BACKOFF_MS,
  } = options
  return async (request: DirectRequest): Promise<DirectAnswer> => {
    const { provider, deadlineMs = DEADLINE_MS } = request
    const watch = watched(request.signal, request.timeoutMs ?? TIMEOUT_MS, deadlineMs)
    const endMs = clock.now() + deadlineMs
    try {
      for (let retry = 0; ; retry += 1) {
        const response = await reply(request, watch)
        if (response instanceof Response && response.status === 200)
          return answerOf(response, watch)
        const failure =
          response instanceof Response ? await readFailure(provider, response, watch) : response
        const backoff = { backoffMs, random }
        const delayMs =
          response instanceof Response
            ? answerDelayMs(retry, failure, backoff, clock.now())
            : backoffDelayMs(retry, backoff)
        const repeatable = isRetryableStatus(failure.status) && retry < MAX_RETRIES
        if (!repeatable || clock.now() + delayMs >= endMs) throw failure.error
        watch.pause()
        await clock.sleep(delayMs, watch.signal)
      }
    } catch (error) {
      watch.release()
      throw error
    }
  }
}

interface Failure {
  readonly status: number
  readonly headers: Record<string, string>
  readonly error: Error
}

async function reply(request: DirectRequest, watch: Watch): Promise<Response | Failure> {
  const { provider, url, key, body } = request
  if (!/^[\x21-\x7e]+$/.test(key)) {
    // The platform's own message would repeat the key.
    throw new ConfigurationError(`The API key for ${provider.id} has characters no header may hold`)
  }
  watch.touch()
  try {
    return await fetch(url, {
      method: 'POST',
      headers: {
        ...provider.headers,
        'content-type': 'application/json',
        [provider.auth.header]: `${provider.auth.prefix}${key}`,
      },
      body: JSON.stringify(body),
      signal: watch.signal,
      redirect: 'manual',
    })
  } catch (cause) {
    if (watch.signal.aborted) throw watch.signal.reason
    return { status: 503, headers: {}, error: unreachable(provider, cause) }
  }
}

function unreachable(provider: Provider, cause: unknown): GatewayError {
  const inner: unknown = cause instanceof Error ? cause.cause : undefined
  const code: unknown = inner instanceof Error && 'code' in inner ? inner.code : undefined
  const text = `${provider.id} could not be reached: ${typeof code === 'string' ? code : 'connection failed'}`
  if (UNREACHABLE.some((known) => known === code)) return new GatewayUnavailableError(text)
  return new GatewayError(text, { retryable: true })
}

async function readFailure(provider: Provider, response: Response, watch: Watch): Promise<Failure> {
  const headers = Object.fromEntries(response.headers)
  const text = await textOf(response, LARGEST_ERROR, watch).catch((error: unknown) => {
    // A bad status with a body that cannot be read is still that status.
    if (error instanceof GatewayError && !watch.signal.aborted) return ''
    throw error
  })
  const error = provider.readError(response.status, headers, text)
  const { status, retryAfterSeconds: seconds } = error
  // Google says how long in the body, which only its own reader knows.
  return { status, headers: seconds === undefined ? {} : { 'retry-after': `${seconds}` }, error }
}

function answerOf(response: Response, watch: Watch): DirectAnswer {
  return {
    async json() {
      try {
        const value = parseJson(await textOf(response, LARGEST_ANSWER, watch))
        if (value !== undefined) return value
        throw new GatewayError('The provider sent a body that is not JSON', { status: 200 })
      } finally {
        watch.release()
      }
    },
    parts: () => partsOf(response, watch),
    close: () => watch.release(),
  }
}

async function textOf(response: Response, most: number, watch: Watch): Promise<string> {
  const parts: Uint8Array[] = []
  let bytes = 0
  for await (const part of partsOf(response, watch)) {
    parts.push(part)
    bytes += part.length
    if (bytes > most) throw new GatewayError(`The provider sent more than ${most} bytes`)
  }
  return Buffer.concat(parts).toString()
}

async function* partsOf({ body }: Response, watch: Watch): AsyncGenerator<Uint8Array> {
  if (body === null) return
  try {
    for await (const part of body) {
      watch.touch()
      yield part
    }
  } catch (cause) {
    if (watch.signal.aborted) throw watch.signal.reason
    if (cause instanceof GatewayError) throw cause
    throw new GatewayError('The connection to the provider was lost', {
      truncated: true,
      retryable: true,
      cause,
    })
  }
}

/** Ends a call that is silent or takes too long, or whose caller has enough. */
interface Watch {
  readonly signal: AbortSignal
  /** Something happened: the silence begins anew. */
  touch(): void
  /** Nothing is expected for now. */
  pause(): void
  release(): void
}

function watched(outer: AbortSignal | undefined, timeoutMs: number, deadlineMs: number): Watch {
  const { signal, abort } = linked(outer)
  const late = (ms: number, what: string) => () =>
    abort(new GatewayError(`The provider ${what} within ${ms} ms`, { retryable: true }))
  const stop = after(deadlineMs, late(deadlineMs, 'did not finish'))
  let quiet: () => void = () => {}
  const pause = (): void => {
    quiet()
    quiet = () => {}
  }
  return {
    signal,
    touch() {
      pause()
      quiet = after(timeoutMs, late(timeoutMs, 'sent nothing'))
    },
    pause,
    release() {
      pause()
      stop()
      // Whatever was not read is not wanted: this closes its connection.
      abort()
    },
  }
}
