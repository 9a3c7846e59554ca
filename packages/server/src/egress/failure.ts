/**
 * Turns what the HTTP library, TLS and the network throw into our errors. The words are ours: a parser's message
 * may quote the reply, so it is kept only as a scrubbed cause for the log.
 */
import { VestryError } from '@vestry/contract/errors'
import { errors as undiciErrors } from 'undici'
import { ConnectFailure } from './connector.ts'
import type { Scrubber } from './scrub.ts'

const CONNECT: Readonly<Record<ConnectFailure['kind'], string>> = {
  network: 'could not be connected to',
  tls: 'was not trusted: the TLS handshake failed',
  pin: 'was not trusted: its key matches no pin',
  address: 'answered from another address than the one that was checked',
}

const BROKEN_OFF = 'broke off the exchange'

/** Errors of requests of which the upstream has not heard. Kept here, since `context` goes over the wire. */
const unsent = new WeakSet<object>()

/** Errors that may be gone a moment later. */
const transient = new WeakSet<object>()

/** Whether a byte of the request may have left; true for every error that is not known to be too early for it. */
export function wasSent(error: unknown): boolean {
  return !(error instanceof Error && unsent.has(error))
}

/** The same error. It must belong to this one request. */
export function markUnsent(error: unknown): unknown {
  if (error instanceof Error) unsent.add(error)
  return error
}

/** Whether the network failed (no address, no connection, broken off), and not trust, HTTP or content. */
export function isTransient(error: unknown): boolean {
  return error instanceof Error && transient.has(error)
}

export function markTransient<E extends Error>(error: E): E {
  transient.add(error)
  return error
}

/** @param host Canonical host name of the hop that failed. */
export function upstreamError(error: unknown, host: string, scrubber: Scrubber): VestryError {
  if (error instanceof VestryError) {
    const scrubbed = scrubber.error(error)
    return isTransient(error) ? markTransient(scrubbed) : scrubbed
  }
  const failure = error instanceof ConnectFailure ? error : undefined
  const source = failure === undefined ? error : failure.cause
  const reason = codeOf(source)
  if (isFault(error, reason)) {
    return new VestryError('INTERNAL_ERROR', undefined, { cause: clean(error, scrubber) })
  }
  const words = failure === undefined ? wordsFor(source, reason) : CONNECT[failure.kind]
  const name = scrubber.text(host, 'error')
  const result = new VestryError('UPSTREAM_ERROR', `Host "${name}" ${words}`, {
    context: { host: name, ...(reason === undefined ? {} : { reason }) },
    ...(source === undefined ? {} : { cause: clean(source, scrubber) }),
  })
  return words === CONNECT.network || words === BROKEN_OFF ? markTransient(result) : result
}

/** What did not happen in time: the whole answer, its first byte, its next one, its last one. */
export type TimeoutPhase = 'answer' | 'first_byte' | 'idle' | 'total'

const TOO_LATE: Readonly<Record<TimeoutPhase, string>> = {
  answer: 'did not answer within',
  first_byte: 'sent no first byte within',
  idle: 'paused its answer for more than',
  total: 'did not end its answer within',
}

export function timeoutError(
  host: string,
  timeoutMs: number,
  scrubber: Scrubber,
  phase: TimeoutPhase = 'answer',
): VestryError {
  const name = scrubber.text(host, 'error')
  return new VestryError('UPSTREAM_TIMEOUT', `Host "${name}" ${TOO_LATE[phase]} ${timeoutMs} ms`, {
    context: {
      host: name,
      timeout_ms: timeoutMs,
      ...(phase !== 'answer' && { phase }),
    },
  })
}

/** Not the upstream's doing but a mistake of ours. */
function isFault(error: unknown, reason: string | undefined): boolean {
  if (reason === 'UND_ERR_INVALID_ARG') return true
  return (
    error instanceof TypeError || error instanceof RangeError || error instanceof ReferenceError
  )
}

function wordsFor(error: unknown, reason: string | undefined): string {
  // Only some parser errors carry a code.
  if (error instanceof undiciErrors.HTTPParserError) return 'did not speak proper HTTP/1.1'
  if (reason === 'UND_ERR_HEADERS_OVERFLOW') return 'sent too many header bytes'
  return BROKEN_OFF
}

/** Codes are constants of the libraries; anything else stays out. */
function codeOf(error: unknown): string | undefined {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  return typeof code === 'string' && /^[A-Z][A-Z0-9_]{1,63}$/.test(code) ? code : undefined
}

/** Keeps name and text only: parser errors drag the raw reply along as a property. */
function clean(error: unknown, scrubber: Scrubber): Error {
  const { name, message } = error instanceof Error ? error : new Error(String(error))
  const copy = new Error(scrubber.text(message, 'error'))
  copy.name = name
  copy.stack = `${name}: ${copy.message}`
  return copy
}
