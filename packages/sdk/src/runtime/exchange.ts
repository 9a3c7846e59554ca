/**
 * One request of the runtime API and its answer: bounded in time and size, never redirected, and repeated only where a
 * second arrival does no harm (runtime contract §17).
 */
import { randomInt, randomUUID } from 'node:crypto'
import { VERSION } from '@vestry/contract/version'
import { traceHeader } from '../trace.ts'
import { sleep } from '../vault/wait.ts'
import { APIError, ConnectionError, errorOf, SymbiontError, TimeoutError } from './errors.ts'
import type { Settings } from './options.ts'

export interface RuntimeCall {
  method: 'GET' | 'POST' | 'PUT' | 'DELETE'
  /** Below the base URL, without a slash at its beginning; ids are escaped already. */
  path: string
  /** A list is sent as a parameter that comes several times. */
  query?: Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>
  body?: unknown
  /** A POST that may arrive twice. Others are repeated under an `Idempotency-Key`. */
  repeatable?: boolean
  /** Sent a single time, whatever becomes of it. */
  once?: boolean
  signal?: AbortSignal | undefined
}

export const MAX_ANSWER_BYTES = 33_554_432
const BASE_DELAY_MS = 500
const MAX_DELAY_MS = 8_000
const MAX_RETRY_AFTER_MS = 30_000
/** Nothing came back: the request may be sent again. */
export const NO_ANSWER = 'NO_ANSWER'
const PASSING: ReadonlySet<number> = new Set([429, 502, 503, 504])

/** Sends one call, with its repetitions. @returns The parsed body of a success. */
export type Exchange = (call: RuntimeCall) => Promise<unknown>

export function createExchange(settings: Settings): Exchange {
  return async (call) => {
    const request = prepared(settings, call)
    for (let attempt = 0; ; attempt += 1) {
      call.signal?.throwIfAborted()
      try {
        return await once(settings, call, request)
      } catch (error) {
        if (call.once === true || attempt >= settings.maxRetries || !mayRepeat(error)) throw error
        await sleep(delayMs(error, attempt), call.signal)
      }
    }
  }
}

interface Prepared {
  url: string
  headers: Record<string, string>
  body: string | undefined
}

function prepared(settings: Settings, call: RuntimeCall): Prepared {
  const query = new URLSearchParams()
  for (const [name, value] of Object.entries(call.query ?? {}))
    if (Array.isArray(value)) for (const one of value) query.append(name, one)
    else if (value !== undefined) query.set(name, String(value))
  const tail = query.size === 0 ? '' : `?${query}`
  const body = call.body === undefined ? undefined : toJson(call.body)
  const keyed = call.method === 'POST' && call.repeatable !== true
  return {
    url: `${settings.baseUrl}/${call.path}${tail}`,
    headers: {
      ...headersOf(settings, 'application/json'),
      ...(body !== undefined && { 'content-type': 'application/json' }),
      // The server gives a repetition the first answer, so that nothing is done twice.
      ...(keyed && settings.maxRetries > 0 && { 'idempotency-key': randomUUID() }),
    },
    body,
  }
}

/** What every request carries. */
export function headersOf({ apiKey }: Settings, accept: string): Record<string, string> {
  return {
    accept,
    'user-agent': `vestry-sdk/${VERSION}`,
    ...(apiKey !== undefined && { authorization: `Bearer ${apiKey}` }),
    ...traceHeader(),
  }
}

/** `Date` is written as RFC 3339, which `JSON.stringify` does; what JSON cannot hold is refused instead of dropped. */
function toJson(body: unknown): string {
  try {
    return JSON.stringify(body, function (this: Record<string, unknown>, key, value: unknown) {
      // A date without a time has become null by now.
      if (isSendable(value) && !(value === null && this[key] instanceof Date)) return value
      throw unsendable(key === '' ? 'The request' : key)
    })
  } catch (cause) {
    throw cause instanceof SymbiontError ? cause : unsendable('The request')
  }
}

function isSendable(value: unknown): boolean {
  if (typeof value === 'number') return Number.isFinite(value)
  return typeof value !== 'bigint' && typeof value !== 'function' && typeof value !== 'symbol'
}

function unsendable(what: string): SymbiontError {
  return new SymbiontError(`${what} cannot be sent as JSON`, { code: 'INVALID_REQUEST' })
}

async function once(
  settings: Settings,
  { method, signal: given }: RuntimeCall,
  { url, headers, body }: Prepared,
): Promise<unknown> {
  const { fetch, timeoutMs } = settings
  const late = AbortSignal.timeout(timeoutMs)
  const signal = given === undefined ? late : AbortSignal.any([given, late])
  const failure = (cause: unknown, code: string, message: string): Error => {
    if (given?.aborted) return given.reason
    if (cause instanceof SymbiontError) return cause
    return late.aborted
      ? new TimeoutError(`There was no answer within ${timeoutMs / 1_000} s`, {
          code: 'TIMEOUT',
          cause,
        })
      : new ConnectionError(message, { code, cause })
  }
  const init = { method, headers, redirect: 'manual', signal } as const
  const answer = await fetch(url, body === undefined ? init : { ...init, body }).catch((cause) => {
    throw failure(cause, NO_ANSWER, 'There was no answer from the server')
  })
  const text = await readBounded(answer).catch((cause) => {
    throw failure(cause, 'ANSWER_BROKE_OFF', 'The answer broke off')
  })
  assertSuccess(settings, answer, text)
  try {
    return JSON.parse(text)
  } catch {
    // Without its cause, which quotes the answer: that may be a secret.
    throw new APIError('The answer is not JSON', {
      statusCode: answer.status,
      code: 'UNEXPECTED_ANSWER',
      requestId: answer.headers.get('x-request-id') ?? undefined,
    })
  }
}

/** @throws SymbiontError what the server says, and `REDIRECTED`. */
export function assertSuccess({ apiKey }: Settings, answer: Response, text: string): void {
  const { status } = answer
  const requestId = answer.headers.get('x-request-id') ?? undefined
  if (answer.type === 'opaqueredirect' || (status >= 300 && status < 400))
    throw new APIError(`API request failed with status ${status}: redirects are not followed`, {
      statusCode: status,
      code: 'REDIRECTED',
      requestId,
    })
  if (!answer.ok)
    throw errorOf(status, withoutKey(text, apiKey), {
      requestId,
      retryAfter: secondsOf(answer.headers.get('retry-after')),
    })
}

/** Errors are printed, and servers may repeat what they were sent. */
function withoutKey(text: string, key: string | undefined): string {
  return key === undefined ? text : text.replaceAll(key, '[secret]')
}

export async function readBounded(answer: Response): Promise<string> {
  if (answer.body === null) return ''
  const reader = answer.body.getReader()
  const decoder = new TextDecoder()
  let text = ''
  let bytes = 0
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return text + decoder.decode()
    bytes += value.length
    if (bytes > MAX_ANSWER_BYTES) {
      await reader.cancel()
      throw new APIError('The answer is larger than 32 MiB', {
        statusCode: answer.status,
        code: 'ANSWER_TOO_LARGE',
      })
    }
    text += decoder.decode(value, { stream: true })
  }
}

/** @param header Seconds, or a date. */
function secondsOf(header: string | null): number | undefined {
  if (header === null) return undefined
  if (/^\d{1,9}$/.test(header)) return Number(header)
  const atMs = Date.parse(header)
  return Number.isNaN(atMs) ? undefined : Math.max(0, Math.ceil((atMs - Date.now()) / 1_000))
}

/**
 * Every call here may arrive twice: it changes nothing, is the same each time, or carries a key that says so. Still an
 * attempt that ran out of time is not repeated: the caller has waited long enough.
 */
export function mayRepeat(error: unknown): boolean {
  if (!(error instanceof SymbiontError)) return false
  return (
    error.code === NO_ANSWER || (error.statusCode !== undefined && PASSING.has(error.statusCode))
  )
}

export function delayMs(error: unknown, attempt: number): number {
  const asked = error instanceof SymbiontError ? error.retryAfter : undefined
  if (asked !== undefined) return Math.min(asked * 1_000, MAX_RETRY_AFTER_MS)
  return randomInt(Math.min(BASE_DELAY_MS * 2 ** attempt, MAX_DELAY_MS) + 1)
}
