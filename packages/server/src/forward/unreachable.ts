/**
 * The one answer a forwarder gives of itself: the gateway cannot be reached. It is given only once the
 * request has been read, because a client that is still writing would see a broken pipe instead.
 */
import { randomUUID } from 'node:crypto'
import type { Socket } from 'node:net'
import { RequestEnd } from './request-end.ts'

export interface AnswerLimits {
  readonly maxHeadBytes: number
  readonly maxBodyBytes: number
  /** Until the request is complete. */
  readonly readMs: number
  /** Until the client has taken the answer and closed. */
  readonly lingerMs: number
}

/** Settles once the client's connection is closed. */
export function answerUnreachable(client: Socket, limits: AnswerLimits): Promise<void> {
  const request = new RequestEnd(limits)
  return new Promise((resolve) => {
    let answered = false
    let timer = setTimeout(() => answer(), limits.readMs)
    const answer = (): void => {
      if (answered) return
      answered = true
      clearTimeout(timer)
      client.end(unreachable(request.path, `req_${randomUUID().replaceAll('-', '')}`))
      timer = setTimeout(() => client.destroy(), limits.lingerMs)
    }
    client.on('data', (bytes: Buffer) => {
      // What still arrives afterwards is read and dropped, else the answer would be lost in a reset.
      if (!answered && request.push(bytes) !== 'more') answer()
    })
    client.on('end', () => {
      if (request.hasBegun) answer()
      else client.end()
    })
    client.on('error', () => client.destroy())
    client.on('close', () => {
      clearTimeout(timer)
      resolve()
    })
    client.resume()
  })
}

/** The whole response. @param path Decides the shape of the error: `/v1/messages` has Anthropic's. */
export function unreachable(path: string | undefined, requestId: string): string {
  const message = 'The gateway cannot be reached.'
  const isNative = path === '/v1/messages' || path?.startsWith('/v1/messages/') === true
  const body = JSON.stringify(
    isNative
      ? { type: 'error', error: { type: 'overloaded_error', message }, request_id: requestId }
      : {
          error: {
            message,
            type: 'overloaded_error',
            code: 'gateway_overloaded',
            param: null,
            request_id: requestId,
          },
        },
  )
  return (
    'HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nCache-Control: no-store\r\n' +
    `X-Request-Id: ${requestId}\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`
  )
}
