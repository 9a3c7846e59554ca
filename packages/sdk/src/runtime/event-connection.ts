/** One connection that the server tells events over, until either side ends it. */
import { after } from '../vault/wait.ts'
import { APIError, ConnectionError, SymbiontError, TimeoutError } from './errors.ts'
import { EventParser, type ServerEvent } from './event-parser.ts'
import { assertSuccess, headersOf, NO_ANSWER, readBounded } from './exchange.ts'
import type { Settings } from './options.ts'

export interface EventCall {
  /** Below the base URL; ids are escaped already. */
  readonly path: string
  readonly lastEventId?: string | undefined
  readonly signal?: AbortSignal | undefined
  /** Told how long the server asks to wait before one comes again. */
  readonly onRetryMs?: (ms: number) => void
}

export interface EventDoor {
  /** Connections in a row that may fail after the first. */
  readonly maxRetries: number
  /**
   * Ends when the server ends it.
   *
   * @throws SymbiontError what the server or the connection says; the signal's own reason.
   */
  readonly open: (call: EventCall) => AsyncGenerator<ServerEvent, void, undefined>
}

/** The server is heard of every 15 seconds. */
const QUIET_MS = 60_000

export function createEventDoor(settings: Settings): EventDoor {
  return { maxRetries: settings.maxRetries, open: (call) => connection(settings, call) }
}

async function* connection(
  settings: Settings,
  call: EventCall,
): AsyncGenerator<ServerEvent, void, undefined> {
  const own = new AbortController()
  const stop = () => own.abort()
  try {
    const answer = await opened(settings, call, own)
    const reader = answer.body?.getReader()
    const parser = new EventParser()
    for (;;) {
      // Not while whoever reads is busy with an event.
      const heard = after(QUIET_MS, stop)
      const { done, value } = await (reader?.read() ?? ENDED)
        .catch((cause: unknown) => {
          throw brokenOff(call, cause)
        })
        .finally(heard)
      if (done || value === undefined) return
      const events = parser.push(value)
      if (parser.retryMs !== undefined) call.onRetryMs?.(parser.retryMs)
      yield* events
    }
  } finally {
    stop()
  }
}

const ENDED = Promise.resolve({ done: true, value: undefined } as const)

/** A stream of events that has begun, or an error. */
async function opened(
  settings: Settings,
  call: EventCall,
  own: AbortController,
): Promise<Response> {
  const { fetch, timeoutMs, baseUrl } = settings
  const { path, lastEventId, signal: given } = call
  given?.throwIfAborted()
  const signal = given === undefined ? own.signal : AbortSignal.any([given, own.signal])
  const headers = {
    ...headersOf(settings, 'text/event-stream'),
    ...(lastEventId !== undefined && { 'last-event-id': lastEventId }),
  }
  const inTime = after(timeoutMs, () => own.abort())
  try {
    const answer = await fetch(`${baseUrl}/${path}`, { headers, redirect: 'manual', signal }).catch(
      (cause: unknown) => {
        throw failed(call, own, cause, timeoutMs)
      },
    )
    const type = answer.headers.get('content-type') ?? ''
    if (answer.ok && /^text\/event-stream\b/i.test(type)) return answer
    const text = await readBounded(answer).catch((cause: unknown) => {
      throw brokenOff(call, cause)
    })
    assertSuccess(settings, answer, text)
    throw new APIError('The answer is no stream of events', {
      statusCode: answer.status,
      code: 'UNEXPECTED_ANSWER',
      requestId: answer.headers.get('x-request-id') ?? undefined,
    })
  } finally {
    inTime()
  }
}

function failed(
  { signal }: EventCall,
  own: AbortController,
  cause: unknown,
  timeoutMs: number,
): unknown {
  if (signal?.aborted) return signal.reason
  return own.signal.aborted
    ? new TimeoutError(`There was no answer within ${timeoutMs / 1_000} s`, {
        code: 'TIMEOUT',
        cause,
      })
    : new ConnectionError('There was no answer from the server', { code: NO_ANSWER, cause })
}

function brokenOff({ signal }: EventCall, cause: unknown): unknown {
  if (signal?.aborted) return signal.reason
  if (cause instanceof SymbiontError) return cause
  return new ConnectionError('The answer broke off', { code: 'ANSWER_BROKE_OFF', cause })
}
