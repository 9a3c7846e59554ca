/** How a request reaches the gateway and its answer comes back. The HTTP one is here; see mock-transport.ts. */
import type { HeaderSource } from './correlation.ts'
import { GatewayNetworkError } from './errors.ts'

export interface WireRequest {
  method: 'GET' | 'POST'
  /** From `/api`, without query. */
  path: string
  headers: Readonly<Record<string, string>>
  /** JSON text. */
  body?: string
}

export interface WireAnswer {
  status: number
  headers: HeaderSource
  text: string
}

/** Rejects with the signal's own reason, or with a GatewayNetworkError when there is no whole answer. */
export type Transport = (request: WireRequest, signal: AbortSignal) => Promise<WireAnswer>

export type Fetch = typeof globalThis.fetch

/** @param baseUrl Without a trailing slash; a path prefix is kept. */
export function httpTransport(baseUrl: string, given: Fetch | undefined): Transport {
  return async ({ method, path, headers, body }, signal) => {
    const fetch = given ?? globalThis.fetch
    try {
      const answer = await fetch(`${baseUrl}${path}`, {
        method,
        headers,
        // The gateway never redirects; whatever does must not be shown the token.
        redirect: 'manual',
        signal,
        ...(body !== undefined && { body }),
      })
      return { status: answer.status, headers: answer.headers, text: await answer.text() }
    } catch (cause) {
      signal.throwIfAborted()
      const code = codeOf(cause)
      throw new GatewayNetworkError(
        `There was no answer from the gateway${code === undefined ? '' : ` (${code})`}`,
        {
          cause,
          correlationId: headers['X-Correlation-Id'],
          maybeSent: !failedBeforeSending(cause),
        },
      )
    }
  }
}

/** While the name is looked up or the connection is made, no byte of the request has left. */
function failedBeforeSending(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  if (error instanceof AggregateError && error.errors.length > 0) {
    return error.errors.every(failedBeforeSending)
  }
  const { code, syscall } = error as { code?: unknown; syscall?: unknown }
  if (syscall === 'connect' || syscall === 'getaddrinfo') return true
  if (code === 'UND_ERR_CONNECT_TIMEOUT' || code === 'ECONNREFUSED') return true
  return failedBeforeSending(error.cause)
}

function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined
  const { code } = error as { code?: unknown }
  return typeof code === 'string' ? code : codeOf(error.cause)
}
