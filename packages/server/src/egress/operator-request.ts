/**
 * One HTTP request to an address that whoever runs the program named, for the command line. No guard of addresses
 * stands here, because no caller chooses where it goes; redirects are not followed.
 */
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import { VestryError } from '@vestry/contract/errors'

export interface OperatorRequest {
  readonly method: 'GET' | 'POST' | 'DELETE'
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string
  readonly signal: AbortSignal
}

/** The caller reads the reply to its end, or destroys it. */
export type OperatorClient = Disposable & ((asked: OperatorRequest) => Promise<IncomingMessage>)

/**
 * @param url Of every request.
 * @throws VestryError DAEMON_UNREACHABLE; the reason of `signal`.
 */
export function operatorClient(url: URL, { maxSockets }: { maxSockets: number }): OperatorClient {
  const isTls = url.protocol === 'https:'
  const options = { keepAlive: true, maxSockets }
  const agent = isTls ? new HttpsAgent(options) : new HttpAgent(options)
  const send = ({ method, headers, body, signal }: OperatorRequest): Promise<IncomingMessage> => {
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
    const outgoing = (isTls ? httpsRequest : httpRequest)(url, {
      method,
      agent,
      signal,
      headers: {
        ...headers,
        ...(body !== undefined && { 'content-length': String(Buffer.byteLength(body)) }),
      },
    })
    outgoing.once('response', resolve)
    outgoing.on('error', (cause: NodeJS.ErrnoException) =>
      reject(
        signal.aborted
          ? signal.reason
          : new VestryError(
              'DAEMON_UNREACHABLE',
              `${url.host} cannot be reached${cause.code === undefined ? '' : ` (${cause.code})`}`,
              { cause },
            ),
      ),
    )
    outgoing.end(body)
    return promise
  }
  return Object.assign(send, { [Symbol.dispose]: () => agent.destroy() })
}
