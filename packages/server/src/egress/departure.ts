/** Where a request begins: its first hop and its headers are checked, and what leaves is watched from the start. */
import { VestryError } from '@vestry/contract/errors'
import { markUnsent } from './failure.ts'
import type { Journey, Progress } from './follow.ts'
import { Needles } from './needles.ts'
import type { Hop } from './redirect.ts'
import { requestHeaders } from './request-headers.ts'
import { Scrubber } from './scrub.ts'
import type { EgressDeps, Outbound } from './send.ts'
import { parseTarget } from './url.ts'

export const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'] as const

export interface DepartOptions {
  signal: AbortSignal
  progress: Progress
  /** `Accept-Encoding`; what the reply reader can undo, unless told. */
  acceptEncoding?: string
}

/** @throws VestryError `INVALID_PARAMS`, `SSRF_BLOCKED` for what may not be asked at all. Nothing was sent. */
export function depart(request: Outbound, deps: EgressDeps, options: DepartOptions): Journey {
  const { injection } = request
  const first = firstHop(request)
  const headers = requestHeaders(request.headers, {
    slot: injection?.place === 'header' ? injection.name : undefined,
    allowAgentAuth: injection === undefined || (request.allowAgentAuth ?? false),
    userAgent: request.userAgent ?? deps.userAgent,
    ...(options.acceptEncoding !== undefined && { acceptEncoding: options.acceptEncoding }),
  })
  return {
    request: { ...request, headers },
    deps,
    visited: [first],
    scrubber: new Scrubber(injection?.needles ?? Needles.none()),
    progress: options.progress,
    signal: options.signal,
  }
}

/** Runs `go`; what it throws before a byte may have left is marked so, for `wasSent` in failure.ts. */
export async function watched<T>(
  signal: AbortSignal | undefined,
  go: (progress: Progress) => Promise<T>,
): Promise<T> {
  const progress: Progress = { sent: false }
  try {
    return await go(progress)
  } catch (error) {
    // The reason of a signal may end other requests too, which were sent.
    const shared = signal?.aborted === true && error === signal.reason
    throw progress.sent || shared ? error : markUnsent(error)
  }
}

function firstHop({ method, url, body, injection }: Outbound): Hop {
  if (!METHODS.some((known) => known === method)) {
    throw new VestryError('INVALID_PARAMS', 'This method is not allowed', {
      hint: `Use one of ${METHODS.join(', ')}.`,
    })
  }
  const target = parseTarget(url)
  const slot = injection?.place === 'query' ? injection.name.toLowerCase() : undefined
  if (target.queryNames.some((name) => name.toLowerCase() === slot)) {
    throw new VestryError('INVALID_PARAMS', `The URL fills "${slot}", the credential's parameter`)
  }
  return { target, method, sendsBody: body !== undefined }
}
