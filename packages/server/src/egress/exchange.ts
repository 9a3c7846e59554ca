/**
 * One HTTP exchange with a vetted target: no redirects, no buffering, no scrubbing. {@link send} builds on it;
 * so can code that streams, which then scrubs with its own {@link StreamScrubber}.
 */
import type { Dispatcher } from 'undici'
import { ConnectFailure, type Endpoint } from './connector.ts'
import type { EgressPool, PoolKey } from './pool.ts'
import type { VettedAddress } from './resolve.ts'
import type { Target } from './url.ts'

export interface ExchangeRequest {
  target: Target
  /** `name=value` of a credential, written after the target's own query. */
  secretQuery?: string | undefined
  /** Every one passed the address rules. */
  addresses: readonly VettedAddress[]
  pins: readonly string[]
  poolKey: PoolKey
  method: string
  /** In order, names as sent; values hold Latin-1 only. */
  headers: readonly (readonly [name: string, value: string])[]
  body: Uint8Array | undefined
  /** Ends the exchange, reply body included; its reason is what gets thrown. */
  signal: AbortSignal
}

export interface Exchange {
  status: number
  /** As received: order, case and repeats kept, one Latin-1 character per byte. */
  headers: [name: string, value: string][]
  /** Still encoded as the upstream encoded it. Must be read to its end or destroyed. */
  body: Dispatcher.ResponseData['body']
}

/** Tries once more, at the next address if there is one, only if no request byte was written. */
export async function exchange(pool: EgressPool, request: ExchangeRequest): Promise<Exchange> {
  const [first, second = first] = endpoints(pool, request)
  if (first === undefined || second === undefined) throw new Error('no vetted address')
  try {
    return await attempt(pool, request, first)
  } catch (error) {
    if (!(error instanceof ConnectFailure) || error.kind !== 'network') throw error
    return attempt(pool, request, second)
  }
}

/** Resolver order, but places already connected to come first. */
function endpoints(pool: EgressPool, request: ExchangeRequest): Endpoint[] {
  const { target, pins, poolKey } = request
  const all = request.addresses.map((address) => ({ target, address, pins }))
  const warm = all.filter((endpoint) => pool.has(poolKey, endpoint))
  return warm.length === 0 ? all : [...new Set([...warm, ...all])]
}

async function attempt(
  pool: EgressPool,
  request: ExchangeRequest,
  endpoint: Endpoint,
): Promise<Exchange> {
  const { method, body, signal } = request
  signal.throwIfAborted()
  const { promise: aborted, reject } = Promise.withResolvers<never>()
  const abort = () => reject(signal.reason)
  signal.addEventListener('abort', abort, { once: true })
  try {
    const reply = pool.at(request.poolKey, endpoint).request({
      method: method as Dispatcher.HttpMethod, // the type lists common ones; any token is sent
      path: pathOf(request),
      headers: request.headers.flat(),
      body: body ?? null,
      responseHeaders: 'raw',
      signal,
    })
    // A request that waits for its connection hears of the abort only when it gets one.
    const { statusCode, headers, body: stream } = await Promise.race([reply, aborted])
    // Whoever reads the body meets its error there; when nobody reads, it must not end the process.
    stream.on('error', () => {})
    return { status: statusCode, headers: pairs(headers), body: stream }
  } finally {
    signal.removeEventListener('abort', abort)
  }
}

function pathOf({ target: { path, query }, secretQuery }: ExchangeRequest): string {
  if (secretQuery === undefined) return `${path}${query}`
  return `${path}${query === '' ? '?' : `${query}&`}${secretQuery}`
}

/** With `responseHeaders: 'raw'` the library hands out a flat list, which its types do not say. */
function pairs(headers: unknown): [string, string][] {
  const flat: unknown[] = Array.isArray(headers) ? headers : []
  const list: [string, string][] = []
  for (let at = 0; at + 1 < flat.length; at += 2) {
    list.push([String(flat[at]), String(flat[at + 1])])
  }
  return list
}
