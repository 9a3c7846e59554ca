/** Answers on their way out: always JSON, always of a known length, under headers that keep browsers harmless. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { VestryError } from '@vestry/contract/errors'
import { drained } from '../../http/drain.ts'
import { dropUnread } from '../../llm/wire/reply.ts'
import { type Problem, problemOf } from './problem.ts'
import type { EventSink, RuntimeReply } from './route.ts'

export interface Outgoing {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  /** JSON text: numbers in it stay as they were written. */
  readonly text: string
  readonly stream?: (events: EventSink) => Promise<void>
}

export const SAFE_HEADERS: Readonly<Record<string, string>> = {
  'content-type': 'application/json; charset=utf-8',
  'cache-control': 'no-store',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
}
/** For clients that do not take their answer. */
const READ_TIMES = { stallMs: 30_000, totalMs: 300_000 }

/** @throws VestryError INTERNAL_ERROR for a body that clients could not read. */
export function outgoing({ status = 200, headers = {}, body, stream }: RuntimeReply): Outgoing {
  const text = JSON.stringify(body)
  if (typeof body !== 'object' || body === null || text === undefined)
    throw new VestryError('INTERNAL_ERROR', 'a reply without a JSON body')
  return { status, headers, text, ...(stream !== undefined && { stream }) }
}

export function outgoingProblem(thrown: unknown, requestId: string): Outgoing {
  const { status, headers, body }: Problem = problemOf(thrown, requestId)
  return { status, headers, text: JSON.stringify(body) }
}

/** Reads what is left of the request first. Resolves when the answer was handed over, or the client has left. */
export async function send(
  request: IncomingMessage,
  response: ServerResponse,
  { status, headers, text }: Outgoing,
  { requestId, extra, close }: { requestId: string; extra: Record<string, string>; close: boolean },
): Promise<void> {
  const whole = await drained(request)
  if (response.destroyed || response.headersSent) return
  const body = Buffer.from(text)
  response.writeHead(status, {
    ...SAFE_HEADERS,
    ...extra,
    ...headers,
    'x-request-id': requestId,
    'content-length': body.length,
    ...((close || !whole) && { connection: 'close' }),
  })
  response.end(request.method === 'HEAD' ? undefined : body)
  dropUnread(response, READ_TIMES)
}
