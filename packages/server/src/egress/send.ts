/**
 * One outbound request on an agent's behalf, buffered: each hop is authorised, resolved, vetted and pinned
 * before a byte is sent; the reply is read within bounds, scrubbed, and only then cut to size
 * (wire contract §7.7, 8). No secret leaves here in a result or in an error.
 */
import { depart, watched } from './departure.ts'
import { timeoutError, upstreamError } from './failure.ts'
import { follow, last, type Progress } from './follow.ts'
import type { Injection } from './injection.ts'
import type { EgressPool, PoolKey } from './pool.ts'
import type { Hop } from './redirect.ts'
import { renderReply } from './render-reply.ts'
import type { HeaderPairs } from './request-headers.ts'
import type { OnLookup, ResolveDeps } from './resolve.ts'
import type { Redactions } from './scrub.ts'
import type { Target } from './url.ts'

/** What policy says about one hop. */
export interface Grant {
  /** Policy lists this very host, not a pattern that happens to cover it. */
  exactHost: boolean
  allowHttp: boolean
  followRedirects: boolean
  /** SHA-256 of public keys, hex or base64; one of leaf or issuers must match. */
  pinSha256?: readonly string[]
}

/**
 * Asked before every hop, the first included (`hop` 0); `planned` says what would be sent there.
 *
 * @throws VestryError `ACCESS_DENIED` where policy does not allow the target.
 */
export type Authorize = (target: Target, hop: number, planned: Hop) => Promise<Grant> | Grant

/** What leaves, on whose behalf, and who is asked about it. */
export interface Outbound {
  /** Absolute http or https URL, as the agent wrote it. */
  url: string
  method: string
  headers: HeaderPairs
  body?: Uint8Array
  /** Borrowed. Without it nothing is injected or scrubbed. */
  injection?: Injection
  followRedirects: boolean
  /** 3 unless told. */
  maxRedirects?: number
  /** Instead of the one in {@link EgressDeps}. */
  userAgent?: string
  allowAgentAuth?: boolean
  poolKey: PoolKey
  authorize: Authorize
  /**
   * Awaited once, when the first hop is authorised and vetted, before any connection is made or used for it.
   * When it throws, nothing is sent.
   */
  onSend?: () => void | Promise<void>
  /** Hears of each name that is resolved for this request. */
  onLookup?: OnLookup
  signal?: AbortSignal
}

export interface EgressRequest extends Outbound {
  /** For everything: DNS, every hop, the body. */
  timeoutMs: number
  /** After decompression and scrubbing. */
  maxResponseBytes: number
  /** What becomes of a longer reply, or of a decompression bomb: cut (the default), or `RESPONSE_TOO_LARGE`. */
  onOverflow?: 'truncate' | 'refuse'
  /** Body bytes over the wire; 4 MiB unless told. */
  maxReceivedBytes?: number
  /** Sensitive reply headers that the rule lets through. */
  responseHeadersAllow?: readonly string[]
  /** `block`: a reply that holds the secret becomes an error. */
  onReflection?: 'block'
}

export interface EgressDeps extends ResolveDeps {
  pool: EgressPool
  /** Default `User-Agent`. */
  userAgent: string
  now: () => number
}

export interface EgressResult {
  status: number
  headers: Record<string, string>
  headersDropped: number
  body: Uint8Array
  truncated: boolean
  /** The last hop's URL. */
  url: string
  /** Redirects followed. */
  redirects: number
  elapsedMs: number
  redactions: Redactions
  /** Body bytes received from the last hop, as sent. */
  bytesIn: number
  /** Body bytes sent, all hops together. */
  bytesOut: number
  /** The last hop, for the audit: names of query parameters only. */
  target: Pick<Target, 'scheme' | 'host' | 'port' | 'path' | 'queryNames'>
}

/**
 * @throws VestryError `INVALID_PARAMS`, `ACCESS_DENIED`, `SSRF_BLOCKED`, `REDIRECT_BLOCKED`, `UPSTREAM_ERROR`,
 *   `UPSTREAM_TIMEOUT`, `RESPONSE_TOO_LARGE`; the reason of `request.signal` if that ended it. `wasSent` in
 *   failure.ts tells of each whether the upstream may have heard of the request.
 */
export function send(request: EgressRequest, deps: EgressDeps): Promise<EgressResult> {
  return watched(request.signal, (progress) => sendWatched(request, deps, progress))
}

async function sendWatched(
  request: EgressRequest,
  deps: EgressDeps,
  progress: Progress,
): Promise<EgressResult> {
  const startedMs = deps.now()
  const deadline = new AbortController()
  const signal =
    request.signal === undefined
      ? deadline.signal
      : AbortSignal.any([request.signal, deadline.signal])
  const journey = depart(request, deps, { signal, progress })
  const { visited, scrubber } = journey
  const timer = setTimeout(() => deadline.abort(), request.timeoutMs)
  try {
    const { reply, bytesOut } = await follow(journey)
    const result = await renderReply(request, reply, last(visited), scrubber)
    return {
      ...result,
      redirects: visited.length - 1,
      elapsedMs: deps.now() - startedMs,
      bytesOut,
    }
  } catch (error) {
    const { host } = last(visited).target
    if (request.signal?.aborted) throw request.signal.reason
    if (deadline.signal.aborted) throw timeoutError(host, request.timeoutMs, scrubber)
    throw upstreamError(error, host, scrubber)
  } finally {
    clearTimeout(timer)
  }
}
