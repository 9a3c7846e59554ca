/**
 * Answers in the framing that published clients can read (wire contract §4.3): an exact length, or for streams
 * the end of the connection; never chunked, never compressed, and the connection closes after each.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { asVestryError } from '@vestry/contract/errors'
import { drained } from '../../http/drain.ts'
import type { Llm } from '../llm.ts'
import { type Envelope, errorHeaders, errorText, wireError } from './error-body.ts'

export interface Reply {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body: string | Uint8Array
}

/** Both sides of one exchange, and what every answer to it carries. */
export interface Exchange {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly requestId: string
  readonly envelope: Envelope
}

/** Reads what is left of the request first. Resolves when the answer was handed over, or the client has left. */
export async function sendReply(exchange: Exchange, reply: Reply): Promise<void> {
  const { request, response, requestId } = exchange
  await drained(request)
  if (response.destroyed || response.headersSent) return
  const body = typeof reply.body === 'string' ? Buffer.from(reply.body) : reply.body
  response.shouldKeepAlive = false
  response.writeHead(reply.status, {
    'Content-Type': 'application/json',
    'Cache-Control': 'no-store',
    ...reply.headers,
    'X-Request-Id': requestId,
    'Content-Length': body.length,
    Connection: 'close',
  })
  // An answer to HEAD has the length of a body, and none.
  response.end(request.method === 'HEAD' ? undefined : body)
}

/**
 * A client that does not take what is left of its answer gets no more of it, and its memory is free.
 *
 * @param times.stallMs While it takes nothing. @param times.totalMs However slowly it takes something.
 */
export function dropUnread(
  response: ServerResponse,
  { stallMs, totalMs }: { stallMs: number; totalMs: number },
): void {
  if (response.writableFinished || response.destroyed) return
  const late = setTimeout(() => response.destroy(), totalMs).unref()
  response.setTimeout(stallMs, () => response.destroy()).once('close', () => clearTimeout(late))
}

/** What is a fault of ours, operators are told; clients only that there was one. */
export function reportFault(
  { onInternalError }: Pick<Llm, 'onInternalError'>,
  { requestId }: Exchange,
  error: unknown,
): void {
  if (wireError(error).status !== 500 || asVestryError(error).code === 'PROVIDER_AUTH_FAILED')
    return
  onInternalError(requestId, error)
}

export function errorReply(
  thrown: unknown,
  { envelope, requestId }: Pick<Exchange, 'envelope' | 'requestId'>,
): Reply {
  const error = wireError(thrown)
  return {
    status: error.status,
    headers: errorHeaders(error),
    body: errorText(error, envelope, requestId),
  }
}
