/**
 * One outbound request on an agent's behalf, buffered: each hop is authorised, resolved, vetted and pinned
 * before a byte is sent; the reply is read within bounds, scrubbed, and only then cut to size
 * (wire contract §7.7, 8). No secret leaves here in a result or in an error.
 */
import { isUtf8 } from 'node:buffer'
import { asVestryError, VestryError } from '@vestry/contract/errors'
import { type Exchange, exchange } from './exchange.ts'
import { timeoutError, upstreamError } from './failure.ts'
import type { Injection } from './injection.ts'
import { Needles } from './needles.ts'
import type { EgressPool, PoolKey } from './pool.ts'
import { type Hop, isRedirect, nextHop } from './redirect.ts'
import { codingOf, readReply } from './reply-body.ts'
import { type HeaderPairs, requestHeaders } from './request-headers.ts'
import { type ResolveDeps, vet } from './resolve.ts'
import { responseHeaders } from './response-headers.ts'
import { type Redactions, Scrubber } from './scrub.ts'
import { canonicalPin } from './trust.ts'
import { parseTarget, type Target } from './url.ts'

export const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'] as const

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

export interface EgressRequest {
  /** Absolute http or https URL, as the agent wrote it. */
  url: string
  method: string
  headers: HeaderPairs
  body?: Uint8Array
  /** Borrowed. Without it nothing is injected or scrubbed. */
  injection?: Injection
  /** For everything: DNS, every hop, the body. */
  timeoutMs: number
  /** After decompression and scrubbing. */
  maxResponseBytes: number
  followRedirects: boolean
  /** Sensitive reply headers that the rule lets through. */
  responseHeadersAllow?: readonly string[]
  /** `block`: a reply that holds the secret becomes an error. */
  onReflection?: 'block'
  allowAgentAuth?: boolean
  poolKey: PoolKey
  authorize: Authorize
  signal?: AbortSignal
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

/** Scrubbing may shorten a reply; reading a little more than asked for fills it up again. */
const READ_AHEAD = 64 * 1024

/** More of a redirect's body is not worth keeping its connection for. */
const MAX_REDIRECT_BODY = 64 * 1024

/**
 * @throws VestryError `INVALID_PARAMS`, `ACCESS_DENIED`, `SSRF_BLOCKED`, `REDIRECT_BLOCKED`, `UPSTREAM_ERROR`,
 *   `UPSTREAM_TIMEOUT`; the reason of `request.signal` if that ended it.
 */
export async function send(request: EgressRequest, deps: EgressDeps): Promise<EgressResult> {
  const startedMs = deps.now()
  const scrubber = new Scrubber(request.injection?.needles ?? Needles.none())
  const first = firstHop(request)
  const headers = requestHeaders(request.headers, {
    slot: request.injection?.header,
    allowAgentAuth: request.allowAgentAuth ?? false,
    userAgent: deps.userAgent,
  })
  const deadline = new AbortController()
  const timer = setTimeout(() => deadline.abort(), request.timeoutMs)
  const signal =
    request.signal === undefined
      ? deadline.signal
      : AbortSignal.any([request.signal, deadline.signal])
  const visited = [first]
  try {
    const { reply, bytesOut } = await follow({ ...request, headers }, deps, visited, signal)
    const result = await render(request, reply, last(visited), scrubber)
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

function firstHop({ method, url, body }: EgressRequest): Hop {
  if (!METHODS.some((known) => known === method)) {
    throw new VestryError('INVALID_PARAMS', 'This method is not allowed', {
      hint: `Use one of ${METHODS.join(', ')}.`,
    })
  }
  return { target: parseTarget(url), method, sendsBody: body !== undefined }
}

/** Sends, and goes where the redirects lead; `visited` grows by one hop each. */
async function follow(
  request: EgressRequest,
  deps: EgressDeps,
  visited: Hop[],
  signal: AbortSignal,
): Promise<{ reply: Exchange; bytesOut: number }> {
  let bytesOut = 0
  for (;;) {
    const hop = last(visited)
    const grant = await authorized(request, hop, visited.length - 1)
    const addresses = await vet(hop.target, deps, signal)
    const body = hop.sendsBody ? request.body : undefined
    const reply = await exchange(deps.pool, {
      target: hop.target,
      addresses,
      pins: (grant.pinSha256 ?? []).map(canonicalPin),
      poolKey: request.poolKey,
      method: hop.method,
      headers: headersFor(request, visited),
      body,
      signal,
    })
    bytesOut += body?.length ?? 0
    const location = locationOf(reply)
    const goesOn = request.followRedirects && grant.followRedirects && location !== undefined
    if (!goesOn || !isRedirect(reply.status)) return { reply, bytesOut }
    await reply.body.dump({ limit: MAX_REDIRECT_BODY, signal })
    const policy = { carriesCredential: request.injection !== undefined, rules: deps.rules }
    visited.push(nextHop(visited, reply.status, location, policy))
  }
}

/** Policy's answer, and the rules that no policy can lift. */
async function authorized(request: EgressRequest, planned: Hop, hop: number): Promise<Grant> {
  const grant = await ask(request, planned, hop)
  const { host, scheme, exactOnly } = planned.target
  if (exactOnly !== undefined && !grant.exactHost) {
    throw new VestryError('SSRF_BLOCKED', `Host "${host}" is not allowed: ${exactOnly}`, {
      hint: 'An operator can list this very host in a policy.',
      context: { host },
    })
  }
  if (scheme === 'http' && !grant.allowHttp) {
    throw new VestryError('ACCESS_DENIED', `Host "${host}" may be reached over https only`, {
      hint: 'An operator can set allow_http in the rule.',
      context: { host },
    })
  }
  return grant
}

/** Whatever policy throws besides our errors is a fault of ours, not of the upstream. */
async function ask(request: EgressRequest, planned: Hop, hop: number): Promise<Grant> {
  try {
    return await request.authorize(planned.target, hop, planned)
  } catch (error) {
    throw asVestryError(error)
  }
}

/** The secret becomes a string here, for as long as the library needs to write it out: it takes no bytes. */
function headersFor(request: EgressRequest, visited: readonly Hop[]): HeaderPairs {
  const headers = headersAt(request, visited)
  if (request.injection === undefined) return headers
  const { header, value } = request.injection
  const { buffer, byteOffset, length } = value.bytes
  return [...headers, [header, Buffer.from(buffer, byteOffset, length).toString('latin1')]]
}

/** Away from where the agent addressed them its logins stay behind, and with the body goes what describes it. */
function headersAt({ headers }: EgressRequest, visited: readonly Hop[]): HeaderPairs {
  const [first] = visited
  const hop = last(visited)
  const left = first !== undefined && first.target.host !== hop.target.host
  const moved = left || first?.target.port !== hop.target.port
  return headers.filter(([name]) => {
    const lower = name.toLowerCase()
    if (moved && (lower === 'authorization' || lower === 'cookie')) return false
    return hop.sendsBody || first?.sendsBody !== true || !lower.startsWith('content-')
  })
}

function locationOf({ headers }: Exchange): string | undefined {
  const found = headers.find(([name]) => name.toLowerCase() === 'location')
  return found === undefined ? undefined : Buffer.from(found[1], 'latin1').toString('utf8')
}

type Rendered = Omit<EgressResult, 'redirects' | 'elapsedMs' | 'bytesOut'>

/** The order is the point: read, decompress, scrub, and only then truncate. */
async function render(
  request: EgressRequest,
  reply: Exchange,
  hop: Hop,
  scrubber: Scrubber,
): Promise<Rendered> {
  const coding = codingFor(reply, hop.method)
  const read = await readReply(reply.body, coding, request.maxResponseBytes + READ_AHEAD)
  const scrubbed = scrubber.body(read.bytes, read.complete)
  const body = truncate(scrubbed, request.maxResponseBytes)
  const { headers, dropped } = responseHeaders(
    reply.headers,
    scrubber,
    request.responseHeadersAllow ?? [],
  )
  const altered = read.decoded || body.length !== read.bytes.length
  if (read.decoded) delete headers['content-encoding']
  // It no longer fits the body, and the difference would tell how long the secret is.
  if (altered) delete headers['content-length']
  const { target } = hop
  const url = scrubber.text(target.href, 'url')
  const { redactions } = scrubber
  const result: Rendered = {
    status: reply.status,
    headers,
    headersDropped: dropped,
    body,
    truncated: !read.complete || body.length < scrubbed.length,
    url,
    bytesIn: read.received,
    target: {
      scheme: target.scheme,
      host: scrubber.text(target.host, 'url'),
      port: target.port,
      path: scrubber.text(target.path, 'url'),
      queryNames: target.queryNames.map((name) => scrubber.text(name, 'url')),
    },
    redactions,
  }
  if (request.onReflection === 'block' && redactions.count > 0) {
    throw new VestryError('UPSTREAM_ERROR', 'The reply held the credential and was withheld', {
      hint: 'The rule says on_reflection: block.',
      context: { redactions: redactions.count, places: redactions.places },
    })
  }
  return result
}

/** Replies without a body may name any coding. */
function codingFor({ status, headers, body }: Exchange, method: string) {
  if (method === 'HEAD' || status === 204 || status === 304) return 'identity'
  const values = headers.filter(([name]) => name.toLowerCase() === 'content-encoding')
  try {
    return codingOf(values.map(([, value]) => value).join(','))
  } catch (error) {
    body.destroy()
    throw error
  }
}

/** Cuts text between characters, so that it stays text. */
function truncate(bytes: Uint8Array, max: number): Uint8Array {
  if (bytes.length <= max) return bytes
  const cut = bytes.subarray(0, max)
  for (let less = 0; less < 4; less += 1) {
    const shorter = cut.subarray(0, max - less)
    if (isUtf8(shorter)) return shorter
  }
  return cut
}

function last(visited: readonly Hop[]): Hop {
  const hop = visited.at(-1)
  if (hop === undefined) throw new VestryError('INTERNAL_ERROR', 'no hop')
  return hop
}
