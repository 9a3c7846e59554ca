/**
 * The life of one request of the runtime API: its path, who sends it, its body, the route's function, the answer.
 * Every request gets exactly one answer, and within 25 seconds: clients give up after 30 and send it again.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { asVestryError, VestryError } from '@vestry/contract/errors'
import { newRequestId, newTxn } from '@vestry/contract/ids'
import { newCaller, type Principal } from '../../identity/caller.ts'
import { ONLY_PROTO, readStrictJson } from '../../json/strict-json.ts'
import { type BodyMemory, type HeldBody, readBody } from '../../llm/wire/request-body.ts'
import type { ClientAddress } from './client-address.ts'
import { corsHeaders, PREFLIGHT_HEADERS } from './cors.ts'
import { type Identified, type IdentifyDeps, identify } from './identify.ts'
import { type Outgoing, outgoing, outgoingProblem, send } from './outgoing.ts'
import { isInternal } from './problem.ts'
import type { RequestRate } from './rate.ts'
import type { RuntimeMethod, RuntimeRequest, RuntimeRoute } from './route.ts'
import { type Matched, paramsOf, type Router } from './router.ts'
import type { StoredReplies } from './stored-replies.ts'
import { type EventStreams, streamEvents } from './stream.ts'
import { parseTarget, type Target } from './target.ts'

export interface Wire {
  readonly router: Router
  readonly identify: IdentifyDeps
  /** The transaction of the run that an agent joins with this token; absent: none are joined. */
  readonly joinRun?: (txnToken: string, agentId: string) => Promise<string>
  readonly rate: RequestRate
  readonly clientAddress: ClientAddress
  readonly replies: StoredReplies
  readonly bodies: BodyMemory
  readonly corsOrigins: readonly string[]
  readonly sealed: () => boolean
  readonly draining: () => boolean
  readonly now: () => number
  /** Other times than {@link TIMES}. */
  readonly times?: Partial<Times>
  /** Requests under way, each with what ends it. */
  readonly underWay: Set<AbortController>
  readonly streams: EventStreams['streams']
  readonly metrics: { request(route: string, status: number, ms: number): void }
  /** Counts refusals, for the record of them. */
  readonly refused: (actor: string, scope: string) => void
  readonly onInternalError: (requestId: string, error: unknown) => void
}

interface Times {
  /** From arrival to the signal … */
  readonly answerMs: number
  /** … after which handlers may still say what they have. */
  readonly lastWordMs: number
  readonly bodyMs: number
}

const TIMES: Times = { answerMs: 24_000, lastWordMs: 800, bodyMs: 20_000 }
const MAX_BODY_BYTES = 4_194_304
const BODYLESS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS'])
const CLIENT_LEFT = 499
/** Checked every few seconds by load balancers and supervisors. */
const UNLIMITED = /^health(?:\/|$)/

interface Exchange {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly requestId: string
  readonly address: string
  /** Whose limit counts: first the address, then the key. */
  who: string
  limited: boolean
  /** Of who was identified. */
  keyId: string | undefined
  route: string
  /** The time is over, or the daemon stops. */
  readonly late: AbortController
  readonly gone: AbortController
}

/** Answers; never throws. */
export async function handle(
  wire: Wire,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const startedMs = performance.now()
  const address = wire.clientAddress(
    request.socket.remoteAddress ?? '',
    request.headersDistinct['x-forwarded-for']?.join(','),
  )
  const exchange: Exchange = {
    request,
    response,
    requestId: newRequestId(),
    address,
    who: `ip:${address}`,
    limited: false,
    keyId: undefined,
    route: 'unknown',
    late: new AbortController(),
    gone: new AbortController(),
  }
  // A client that goes away is noticed where it matters; its errors must not end the process.
  request.on('error', () => undefined)
  response.on('error', () => undefined)
  wire.underWay.add(exchange.late)
  let reply: Outgoing
  try {
    reply = await withinTime(exchange, { ...TIMES, ...wire.times }, () => answer(wire, exchange))
  } catch (error) {
    if (isInternal(error)) wire.onInternalError(exchange.requestId, error)
    reply = outgoingProblem(error, exchange.requestId)
  } finally {
    wire.underWay.delete(exchange.late)
  }
  const extra = {
    ...corsHeaders(request.headers.origin, wire.corsOrigins),
    ...(exchange.limited && wire.rate.headers(exchange.who)),
  }
  if (reply.stream !== undefined && request.method !== 'HEAD') {
    const headers = { ...extra, ...reply.headers, 'x-request-id': exchange.requestId }
    const still = () => isStill(wire, exchange)
    await streamEvents(wire, request, response, { stream: reply.stream, headers, still })
    wire.metrics.request(exchange.route, reply.status, performance.now() - startedMs)
    return
  }
  const close = wire.draining()
  await send(request, response, reply, { requestId: exchange.requestId, extra, close }).catch(() =>
    response.destroy(),
  )
  const status = response.headersSent ? reply.status : CLIENT_LEFT
  wire.metrics.request(exchange.route, status, performance.now() - startedMs)
}

/** The signal comes first, so that who can answers for itself. */
async function withinTime(
  { late, gone, response }: Exchange,
  { answerMs, lastWordMs }: Times,
  work: () => Promise<Outgoing>,
): Promise<Outgoing> {
  const { promise: ended, reject } = Promise.withResolvers<never>()
  const signal = AbortSignal.any([late.signal, gone.signal])
  let lastWord: NodeJS.Timeout | undefined
  const onEnd = () => {
    lastWord = setTimeout(() => reject(signal.reason), lastWordMs)
  }
  signal.addEventListener('abort', onEnd, { once: true })
  const timer = setTimeout(
    () => late.abort(new VestryError('TIMEOUT', 'No answer within the time for it')),
    answerMs,
  )
  const onClose = () => gone.abort(new VestryError('CANCELLED', 'The client left'))
  response.once('close', onClose)
  try {
    return await Promise.race([work(), ended])
  } catch (error) {
    // Whoever only passes on that it was stopped does not know why.
    throw signal.aborted && !(error instanceof VestryError) ? signal.reason : error
  } finally {
    clearTimeout(timer)
    clearTimeout(lastWord)
    signal.removeEventListener('abort', onEnd)
    response.off('close', onClose)
  }
}

async function answer(wire: Wire, exchange: Exchange): Promise<Outgoing> {
  const { request } = exchange
  if (request.httpVersion === '1.1' && request.headers.host === undefined)
    throw new VestryError('VALIDATION_ERROR', 'The Host header is missing')
  const target = parseTarget(request.url ?? '')
  const matched = target && wire.router.match(target.segments)
  if (target === undefined || matched === undefined) {
    limit(wire, exchange)
    throw new VestryError('ROUTE_NOT_FOUND')
  }
  const route = routeOf(matched, request.method ?? '')
  if (route === undefined) {
    limit(wire, exchange)
    if (isPreflight(wire, request)) return { status: 200, headers: PREFLIGHT_HEADERS, text: '{}' }
    throw new VestryError('METHOD_NOT_ALLOWED', undefined, {
      context: { allow: [...matched.methods.keys()].sort().join(', ') },
    })
  }
  exchange.route = `${route.method} ${route.path}`
  if (route.whileSealed !== true) assertReady(wire)
  return served(wire, exchange, { route, target, values: matched.values })
}

function routeOf({ methods }: Matched, method: string): RuntimeRoute | undefined {
  const own = methods.get(method as RuntimeMethod)
  if (own !== undefined || method !== 'HEAD') return own
  // The answer to HEAD is that to GET without its body.
  const read = methods.get('GET')
  return read?.takes === true ? undefined : read
}

interface Found {
  readonly route: RuntimeRoute
  readonly target: Target
  readonly values: readonly string[]
}

async function served(wire: Wire, exchange: Exchange, found: Found): Promise<Outgoing> {
  const { request, requestId } = exchange
  const { route, target, values } = found
  const isPublic = route.access === 'public' || route.isPublic?.(values.at(-1) ?? '') === true
  const who = await known(wire, exchange, route, isPublic)
  const method = request.method ?? ''
  // Held until the work has ended, also if the answer went out before.
  using body = BODYLESS.has(method) ? NO_BODY : await bodyOf(wire, exchange, route)
  const raw = body.bytes
  const txn = await txnOf(wire, request, who?.principal)
  const idempotencyKey = headerOf(request, 'idempotency-key')
  if (method !== 'POST' || idempotencyKey === undefined || who === undefined) {
    const signal = AbortSignal.any([exchange.late.signal, exchange.gone.signal])
    return outgoing(
      await route.handle(
        requestOf(wire, exchange, found, { principal: who?.principal, txn, raw, signal }),
      ),
    )
  }
  // Its client may leave and ask again for what came of it.
  const { signal } = exchange.late
  // What was read in one run is not handed out again in another, which would not be known to have read it.
  const run = headerOf(request, 'txn-token') === undefined ? '' : `#${txn}`
  const url = `/${target.segments.join('/')}?${target.query.toString()}${run}`
  const keyed = { keyId: who.keyId, idempotencyKey, method, url, route: route.path, raw, requestId }
  const asked = requestOf(wire, exchange, found, { principal: who.principal, txn, raw, signal })
  return wire.replies.once(keyed, signal, async () => outgoing(await route.handle(asked)))
}

/**
 * The run that an agent joins, so that what it has read in one request is known in the next; or one of its own.
 * @throws VestryError TXN_INVALID, TXN_EXPIRED, RUN_CLOSED, IDENTITY_TXN_MISMATCH
 */
async function txnOf(
  { joinRun }: Wire,
  { headersDistinct }: IncomingMessage,
  principal: Principal | undefined,
): Promise<string> {
  const [token, ...more] = headersDistinct['txn-token'] ?? []
  if (token === undefined || principal?.kind !== 'agent' || joinRun === undefined) return newTxn()
  if (more.length > 0)
    throw new VestryError('TXN_INVALID', 'There is more than one Txn-Token header')
  return joinRun(token, principal.agent.id)
}

const NO_BODY: HeldBody = { bytes: Buffer.alloc(0), [Symbol.dispose]: () => undefined }

/** @returns undefined on a public route. @throws VestryError UNAUTHORIZED, RATE_LIMITED, ADMIN_REQUIRED … */
async function known(
  wire: Wire,
  exchange: Exchange,
  route: RuntimeRoute,
  isPublic: boolean,
): Promise<Identified | undefined> {
  if (isPublic) {
    if (!UNLIMITED.test(route.path)) limit(wire, exchange)
    return undefined
  }
  let who: Identified
  try {
    who = await identify(wire.identify, exchange.request)
  } catch (error) {
    if (asVestryError(error).status === 401) {
      wire.refused('anonymous', 'runtime.unauthenticated')
      limit(wire, exchange)
    }
    throw error
  }
  exchange.keyId = who.keyId
  if (who.keyId !== 'anonymous') exchange.who = `key:${who.keyId}`
  limit(wire, exchange)
  assertAccess(who.principal, route, exchange.request.method ?? '')
  return who
}

/** Owners and admins administer, approvers approve; other operators look; agents have their own objects. */
function assertAccess(principal: Principal, { access, takes }: RuntimeRoute, method: string): void {
  const role = principal.kind === 'operator' ? principal.operator.role : undefined
  if (role === 'owner' || role === 'admin') return
  if (access === 'approve' && role === 'approver') return
  if (access === 'admin' || access === 'approve') throw new VestryError('ADMIN_REQUIRED')
  const onlyReads = (method === 'GET' || method === 'HEAD') && takes !== true
  if (role !== undefined && !onlyReads) {
    throw new VestryError('ADMIN_REQUIRED', undefined, {
      hint: `A key of role ${role} does not change this`,
    })
  }
}

/** Whether who asked may still look. */
async function isStill(wire: Wire, { request, keyId }: Exchange): Promise<boolean> {
  if (wire.sealed()) return false
  const now = await identify(wire.identify, request).catch(() => undefined)
  return now !== undefined && now.keyId === keyId
}

function limit(wire: Wire, exchange: Exchange): void {
  exchange.limited = true
  try {
    wire.rate.take(exchange.who)
  } catch (error) {
    wire.refused(exchange.who, 'runtime.requests')
    throw error
  }
}

function assertReady(wire: Wire): void {
  if (wire.draining()) throw new VestryError('SHUTTING_DOWN')
  if (wire.sealed()) throw new VestryError('NOT_READY', 'The vault is sealed')
}

async function bodyOf(wire: Wire, { request }: Exchange, route: RuntimeRoute): Promise<HeldBody> {
  const coding = request.headers['content-encoding']
  if (coding !== undefined && coding !== 'identity')
    throw new VestryError('UNSUPPORTED_VALUE', 'Content-Encoding: bodies must not be compressed')
  return readBody(request, {
    maxBytes: route.maxBodyBytes ?? MAX_BODY_BYTES,
    timeoutMs: wire.times?.bodyMs ?? TIMES.bodyMs,
    memory: wire.bodies,
  })
}

function isPreflight({ corsOrigins }: Wire, { method, headers }: IncomingMessage): boolean {
  return (
    method === 'OPTIONS' &&
    headers['access-control-request-method'] !== undefined &&
    corsHeaders(headers.origin, corsOrigins) !== undefined
  )
}

function requestOf(
  wire: Wire,
  { request, requestId, address }: Exchange,
  { route, target, values }: Found,
  {
    principal,
    txn,
    raw,
    signal,
  }: { principal: Principal | undefined; txn: string; raw: Buffer; signal: AbortSignal },
): RuntimeRequest {
  const peer = { transport: 'http' as const, address }
  const from = { principal: principal ?? NOBODY, peer, txn }
  return {
    caller: newCaller(from, headerOf(request, 'traceparent')),
    scope:
      principal?.kind === 'agent'
        ? { agentName: principal.agent.name, agentId: principal.agent.id }
        : undefined,
    requestId,
    nowMs: wire.now(),
    params: paramsOf(route, values),
    query: Object.fromEntries(target.query),
    queryAll: (name) => target.query.getAll(name),
    header: (name) => headerOf(request, name.toLowerCase()),
    raw,
    json: () => jsonObject(raw),
    remoteAddress: address,
    signal,
  }
}

function headerOf({ headers }: IncomingMessage, name: string): string | undefined {
  const value = headers[name]
  return typeof value === 'string' && value !== '' ? value : undefined
}

/** On public routes. No role permits it anything. */
const NOBODY: Principal = {
  kind: 'operator',
  operator: { id: '', name: 'anonymous', role: 'auditor', status: 'revoked', createdAt: 0 },
}

/** @throws VestryError INVALID_JSON */
function jsonObject(raw: Buffer): Record<string, unknown> {
  if (raw.length === 0) return {}
  let value: unknown
  try {
    value = readStrictJson(raw, ONLY_PROTO)
  } catch (error) {
    throw new VestryError('INVALID_JSON', asVestryError(error).message)
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value))
    return value as Record<string, unknown>
  throw new VestryError('INVALID_JSON')
}
