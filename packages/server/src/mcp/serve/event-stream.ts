/** The stream on which a client hears of changes. A client that does not read loses it, and may open another. */
import type { ServerResponse } from 'node:http'
import type { SessionStream } from './sessions.ts'

const ALIVE_MS = 20_000
/** Nothing that is sent here is long. */
const MAX_UNREAD_BYTES = 65_536

export function openStream(
  response: ServerResponse,
  who: Pick<SessionStream, 'client' | 'caller' | 'isStill'>,
  headers: Readonly<Record<string, string>>,
): SessionStream {
  response.writeHead(200, {
    'content-type': 'text/event-stream',
    'cache-control': 'no-store, no-transform',
    'x-content-type-options': 'nosniff',
    ...headers,
  })
  response.flushHeaders()
  const write = (text: string): void => {
    if (response.writableLength > MAX_UNREAD_BYTES) response.destroy()
    else if (!response.destroyed) response.write(text)
  }
  const timer = setInterval(() => write(': alive\n\n'), ALIVE_MS)
  timer.unref()
  response.once('close', () => clearInterval(timer))
  return {
    ...who,
    send: (message) => write(`event: message\ndata: ${JSON.stringify(message)}\n\n`),
    end: () => {
      clearInterval(timer)
      response.end()
    },
  }
}
