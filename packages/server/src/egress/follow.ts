/**
 * Takes a request through its hops: each is authorised, resolved, vetted and pinned before a byte is sent, and the
 * credential goes where the first one went.
 */
import { asVestryError, VestryError } from '@vestry/contract/errors'
import { ConnectFailure } from './connector.ts'
import { type Exchange, type ExchangeRequest, exchange } from './exchange.ts'
import type { Injection } from './injection.ts'
import { type Hop, isRedirect, nextHop } from './redirect.ts'
import type { HeaderPairs } from './request-headers.ts'
import { vet } from './resolve.ts'
import type { Scrubber } from './scrub.ts'
import type { EgressDeps, Grant, Outbound } from './send.ts'
import { canonicalPin } from './trust.ts'

const MAX_REDIRECTS = 3

/** More of a redirect's body is not worth keeping its connection for. */
const MAX_REDIRECT_BODY = 64 * 1024

export interface Progress {
  /** A byte of the request may have left. */
  sent: boolean
}

/** One request on its way through its hops. */
export interface Journey {
  request: Outbound
  deps: EgressDeps
  /** Every hop so far; grows by one with each redirect. */
  visited: Hop[]
  scrubber: Scrubber
  progress: Progress
  signal: AbortSignal
}

/** Sends, and goes where the redirects lead. */
export async function follow(journey: Journey): Promise<{ reply: Exchange; bytesOut: number }> {
  const { request, deps, visited, signal } = journey
  let bytesOut = 0
  for (;;) {
    const hop = last(visited)
    const grant = await authorized(request, hop, visited.length - 1)
    const addresses = await vet(hop.target, deps, signal, request.onLookup)
    const isFirst = visited.length === 1
    if (isFirst) await announce(request)
    signal.throwIfAborted()
    const body = hop.sendsBody ? request.body : undefined
    const reply = await dispatch(journey, {
      target: hop.target,
      secretQuery: isFirst ? secretQuery(request) : undefined,
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
    visited.push(hopAfter(journey, reply.status, location))
  }
}

/** What the caller throws besides our errors is a fault of ours, not of the upstream. */
async function announce({ onSend }: Outbound): Promise<void> {
  try {
    await onSend?.()
  } catch (error) {
    throw asVestryError(error)
  }
}

async function dispatch({ deps, visited, progress }: Journey, request: ExchangeRequest) {
  progress.sent = true
  try {
    return await exchange(deps.pool, request)
  } catch (error) {
    // No connection, no byte; on a later hop the first one has long been sent.
    if (error instanceof ConnectFailure && visited.length === 1) progress.sent = false
    throw error
  }
}

function hopAfter({ request, deps, visited, scrubber }: Journey, status: number, location: string) {
  // Some upstreams repeat the whole query; as part of a target the credential would be told to policy and audit.
  if (request.injection?.place === 'query' && scrubber.text(location, 'url') !== location) {
    throw new VestryError('REDIRECT_BLOCKED', 'The redirect repeats the credential', {
      hint: 'Use the URL that the upstream redirects to.',
    })
  }
  return nextHop(visited, status, location, {
    carriesCredential: request.injection !== undefined,
    maxRedirects: request.maxRedirects ?? MAX_REDIRECTS,
    rules: deps.rules,
  })
}

/** Policy's answer, and the rules that no policy can lift. */
async function authorized(request: Outbound, planned: Hop, hop: number): Promise<Grant> {
  const grant = await ask(request, planned, hop)
  const { host, scheme, exactOnly } = planned.target
  if (exactOnly !== undefined && !grant.exactHost) {
    throw new VestryError('SSRF_BLOCKED', `Host "${host}" is not allowed: ${exactOnly}`, {
      hint: 'An operator can list this very host in a policy.',
      context: { host },
    })
  }
  if (grant.pinSha256?.length === 0) {
    throw new VestryError('ACCESS_DENIED', 'The policies name no key in common', {
      hint: 'An operator can list one key in all of them: pin_sha256.',
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
async function ask(request: Outbound, planned: Hop, hop: number): Promise<Grant> {
  try {
    return await request.authorize(planned.target, hop, planned)
  } catch (error) {
    throw asVestryError(error)
  }
}

function headersFor(request: Outbound, visited: readonly Hop[]): HeaderPairs {
  const headers = headersAt(request, visited)
  const { injection } = request
  return injection?.place === 'header' ? [...headers, [injection.name, textOf(injection)]] : headers
}

function secretQuery({ injection }: Outbound): string | undefined {
  return injection?.place === 'query' ? `${injection.name}=${textOf(injection)}` : undefined
}

/** The secret becomes a string here, for as long as the library needs to write it out: it takes no bytes. */
function textOf({ value }: Injection): string {
  const { buffer, byteOffset, length } = value.bytes
  return Buffer.from(buffer, byteOffset, length).toString('latin1')
}

/** Away from where the agent addressed them its logins stay behind, and with the body goes what describes it. */
function headersAt({ headers }: Outbound, visited: readonly Hop[]): HeaderPairs {
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

export function last(visited: readonly Hop[]): Hop {
  const hop = visited.at(-1)
  if (hop === undefined) throw new VestryError('INTERNAL_ERROR', 'no hop')
  return hop
}
