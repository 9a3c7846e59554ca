/**
 * Answers that go on: server-sent events. A client that does not read, whose key is taken away, or that has had its
 * time loses its stream, and may open another with `Last-Event-ID`.
 */
import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { VestryError } from '@vestry/contract/errors'
import { type Outgoing, outgoingProblem, SAFE_HEADERS, send } from './outgoing.ts'
import type { EventSink } from './route.ts'

/** Streams under way, each with what ends it. */
export interface EventStreams {
  readonly streams: Set<AbortController>
  readonly draining: () => boolean
}

interface Opening {
  readonly stream: NonNullable<Outgoing['stream']>
  readonly headers: Readonly<Record<string, string>>
  readonly still: () => Promise<boolean>
}

const MAX_STREAMS = 256
const ALIVE_MS = 15_000
const UNREAD_MS = 30_000
const LONGEST_MS = 3_600_000
const RETRY_MS = 1_000

/** Ends when the work ends, or earlier; never throws. */
export async function streamEvents(
  { streams, draining }: EventStreams,
  request: IncomingMessage,
  response: ServerResponse,
  { stream, headers, still }: Opening,
): Promise<void> {
  const refused = refusal(streams.size, draining())
  if (refused !== undefined) {
    const requestId = headers['x-request-id'] ?? ''
    const reply = outgoingProblem(refused, requestId)
    const how = { requestId, extra: { ...headers }, close: draining() }
    await send(request, response, reply, how).catch(() => response.destroy())
    return
  }
  const stop = new AbortController()
  streams.add(stop)
  const onClose = () => stop.abort(new VestryError('CANCELLED', 'The client left'))
  response.once('close', onClose)
  if (response.destroyed) onClose()
  const look = async () => {
    if (await still().catch(() => false)) response.write(': alive\n\n')
    else stop.abort(new VestryError('UNAUTHORIZED'))
  }
  const timer = setInterval(() => void look(), ALIVE_MS)
  const late = setTimeout(() => stop.abort(new VestryError('TIMEOUT')), LONGEST_MS)
  try {
    response.writeHead(200, {
      ...SAFE_HEADERS,
      ...headers,
      'content-type': 'text/event-stream',
      'cache-control': 'no-store, no-transform',
    })
    response.write(`retry: ${RETRY_MS}\n\n`)
    await stream(sinkOf(response, stop.signal))
  } catch {
    // The client comes again, and hears what is wrong.
  } finally {
    clearInterval(timer)
    clearTimeout(late)
    response.off('close', onClose)
    streams.delete(stop)
    response.end()
    // What is not taken by then is lost.
    response.setTimeout(UNREAD_MS, () => response.destroy())
  }
}

function refusal(open: number, draining: boolean): VestryError | undefined {
  if (draining) return new VestryError('SHUTTING_DOWN')
  if (open < MAX_STREAMS) return undefined
  return new VestryError('RATE_LIMITED', `${MAX_STREAMS} streams are open`, {
    hint: 'Close one, or look now and then instead',
  })
}

function sinkOf(response: ServerResponse, signal: AbortSignal): EventSink {
  return {
    signal,
    send: async ({ id, event, data }) => {
      signal.throwIfAborted()
      const text = `id: ${id}\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`
      if (response.write(text)) return
      const unread = AbortSignal.any([signal, AbortSignal.timeout(UNREAD_MS)])
      await once(response, 'drain', { signal: unread }).catch((error: unknown) => {
        response.destroy()
        throw error
      })
    },
  }
}
