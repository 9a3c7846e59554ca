/**
 * Requests of providers that fire triggers. Nothing is read from a request, and nothing is run, before its signature
 * is known to be good; and one delivery is run once, however often it comes.
 */
import { asVestryError, VestryError } from '@vestry/contract/errors'
import { newTimeOrderedId } from '@vestry/contract/ids'
import { formatTraceparent, newTrace, type Trace } from '../../identity/traceparent.ts'
import { ONLY_PROTO, readStrictJson } from '../../json/strict-json.ts'
import type { Buckets } from '../../limits/bucket.ts'
import type { SecretResolver } from '../../secrets/resolver.ts'
import type { DeliveryStore } from './delivery-store.ts'
import type { Deployments } from './deployments.ts'
import { at, deliveryOf, eventOf, type InboundEvent } from './event.ts'
import { endBody, type Invocations, inTime } from './invocation.ts'
import type { Hook, Live } from './live.ts'
import { isSigned } from './signature.ts'

export interface HooksDeps {
  readonly deployments: Deployments
  readonly invocations: Invocations
  readonly deliveries: DeliveryStore
  readonly secrets: SecretResolver
  readonly buckets: Buckets
  /** Whether there is an execution of this id. */
  readonly hasRun: (executionId: string) => Promise<boolean>
  readonly record: (fact: HookRecord) => Promise<void>
  /** Counts refusals that are too many for a record of each. */
  readonly refused: (actor: string, scope: string) => void
  /** Epoch ms. */
  readonly now: () => number
}

export interface HookRecord {
  readonly action: 'trigger.fire' | 'trigger.refuse'
  readonly agent: string
  readonly requestId: string
  /** Of the execution, where there is one. */
  readonly txn: string | undefined
  readonly trace: Trace
  readonly data: Readonly<Record<string, unknown>>
}

export interface HookRequest {
  /** Below the prefix of the API. */
  readonly path: string
  readonly header: (name: string) => string | undefined
  readonly body: Buffer
  readonly requestId: string
  readonly remoteAddress: string
}

export interface HookReply {
  readonly status: number
  readonly body: Record<string, unknown>
}

const MAX_CHECKS = 64
const EVENTS = { perSecond: 10, burst: 100 }
const REFUSALS = { perSecond: 0.1, burst: 20 }
const MAX_FIELDS = 1_000
/** What a program may see of a request: nothing by which its sender shows who it is. */
const SHOWN = [
  'content-type',
  'user-agent',
  'x-github-event',
  'x-github-delivery',
  'x-gitlab-event',
  'x-gitlab-event-uuid',
  'x-slack-request-timestamp',
  'x-slack-retry-num',
  'x-event',
  'x-delivery-id',
  'idempotency-key',
]

export class Hooks {
  readonly #deps: HooksDeps
  #checks = 0

  constructor(deps: HooksDeps) {
    this.#deps = deps
  }

  /** @throws VestryError ROUTE_NOT_FOUND, UNAUTHORIZED, RATE_LIMITED, INVALID_JSON, and what the start of the agent throws. */
  async receive(request: HookRequest): Promise<HookReply> {
    const found = this.#deps.deployments.byPath(request.path)
    if (found === undefined) throw new VestryError('ROUTE_NOT_FOUND')
    const { live, hook } = found
    const trace = newTrace(request.header('traceparent'))
    await this.#verify(request, live, hook, trace)
    this.#limit(live)
    const payload = payloadOf(request)
    const inbound: InboundEvent = { provider: hook.provider, header: request.header, payload }
    const event = eventOf(inbound)
    if (hook.provider === 'slack' && event === 'url_verification')
      return { status: 200, body: { challenge: String(at(payload, 'challenge') ?? '') } }
    if (hook.provider === 'github' && event === 'ping')
      return { status: 200, body: { status: 'pong' } }
    if (!hook.fires(event, inbound)) return { status: 200, body: { status: 'ignored' } }
    return this.#fire(request, live, hook, { inbound, event, trace })
  }

  async #fire(
    request: HookRequest,
    live: Live,
    hook: Hook,
    { inbound, event, trace }: { inbound: InboundEvent; event: string; trace: Trace },
  ): Promise<HookReply> {
    const { deliveries, invocations, hasRun, record, now } = this.#deps
    const { id, config, facts } = live.deployment
    const delivery = deliveryOf(inbound)
    let executionId = newTimeOrderedId('exe', now())
    if (delivery !== undefined) {
      const { path } = hook
      const named = { path, provider: hook.provider, delivery, deploymentId: id, executionId }
      const reserved = await deliveries.reserve(named)
      executionId = reserved.executionId
      if (reserved.known && (await hasRun(executionId))) return repeated(executionId)
    }
    await record({
      action: 'trigger.fire',
      agent: facts.agentName,
      requestId: request.requestId,
      txn: executionId,
      trace,
      data: { deployment: id, trigger: hook.name, provider: hook.provider, event },
    })
    let started: Awaited<ReturnType<Invocations['start']>>
    try {
      started = await invocations.start(live, {
        input: inputOf(inbound.payload),
        trigger: `hook:${id}/${hook.name}`,
        requestId: request.requestId,
        traceparent: formatTraceparent(trace),
        remoteAddress: request.remoteAddress,
        executionId,
        ...(hook.actions !== undefined && { actions: hook.actions }),
        inbound: {
          trigger: hook.name,
          provider: hook.provider,
          event,
          headers: shown(request),
          contentType: request.header('content-type') ?? '',
          body: request.body.toString('base64'),
        },
      })
    } catch (error) {
      // The same delivery, twice at once: the other one has started it.
      if (await hasRun(executionId)) return repeated(executionId)
      throw error
    }
    if (config.response !== 'wait') return accepted(executionId)
    const end = await inTime(started.ended)
    if (end === undefined) return accepted(executionId)
    return { status: 200, body: { ...endBody(end), execution_id: executionId } }
  }

  /** A missing secret is refused as a bad signature is. @throws VestryError UNAUTHORIZED, RATE_LIMITED */
  async #verify(request: HookRequest, live: Live, hook: Hook, trace: Trace): Promise<void> {
    if (this.#checks >= MAX_CHECKS) throw tooMany(1_000)
    this.#checks += 1
    let isGood = false
    try {
      using secret = await this.#deps.secrets.resolve(hook.secret, live.deployment.facts.agentName)
      const { header, body } = request
      const nowMs = this.#deps.now()
      isGood = isSigned({ provider: hook.provider, header, body, nowMs }, secret.bytes)
    } catch (error) {
      // What is only unreachable now is told as such: the provider comes again.
      if (asVestryError(error).status >= 500) throw error
    } finally {
      this.#checks -= 1
    }
    if (isGood) return
    await this.#refuse(request, live, hook, trace)
    throw new VestryError('UNAUTHORIZED', 'The signature is missing or wrong')
  }

  /** Whoever knocks without end fills no log. */
  async #refuse(
    { requestId }: HookRequest,
    { deployment }: Live,
    hook: Hook,
    trace: Trace,
  ): Promise<void> {
    const { buckets, refused, record } = this.#deps
    refused('anonymous', 'runtime.trigger')
    const key = `hook-refusal:${deployment.id}`
    if (buckets.take({ kind: 'bucket', key, scope: 'hook-refusal', ...REFUSALS }) > 0) return
    await record({
      action: 'trigger.refuse',
      agent: deployment.facts.agentName,
      requestId,
      txn: undefined,
      trace,
      data: { deployment: deployment.id, trigger: hook.name, provider: hook.provider },
    })
  }

  /** Only of what is signed: nobody else can use up what a provider may send. @throws VestryError RATE_LIMITED */
  #limit({ deployment: { id } }: Live): void {
    const bucket = { kind: 'bucket', key: `hook:${id}`, scope: 'hook', ...EVENTS } as const
    const waitMs = this.#deps.buckets.take(bucket)
    if (waitMs > 0) throw tooMany(waitMs)
  }
}

function accepted(executionId: string): HookReply {
  return { status: 202, body: { status: 'accepted', execution_id: executionId } }
}

function repeated(executionId: string): HookReply {
  return { status: 200, body: { status: 'already_accepted', execution_id: executionId } }
}

function tooMany(ms: number): VestryError {
  return new VestryError('RATE_LIMITED', 'Too many events at once', {
    context: { retry_after_ms: ms },
  })
}

/** @throws VestryError INVALID_JSON */
function payloadOf({ body, header }: HookRequest): unknown {
  if (body.length === 0) return {}
  const [type = ''] = (header('content-type') ?? '').split(';')
  if (type.trim().toLowerCase() === 'application/x-www-form-urlencoded') return formOf(body)
  return parsed(body)
}

function parsed(body: Buffer): unknown {
  try {
    return readStrictJson(body, ONLY_PROTO)
  } catch (error) {
    throw new VestryError('INVALID_JSON', asVestryError(error).message)
  }
}

/** Of a form whose one field is `payload`, what that holds. */
function formOf(body: Buffer): unknown {
  const fields = [...new URLSearchParams(body.toString('utf8'))]
  if (fields.length > MAX_FIELDS)
    throw new VestryError('VALIDATION_ERROR', `A form has at most ${MAX_FIELDS} fields`)
  const [[name, value] = ['', '']] = fields
  if (fields.length === 1 && name === 'payload') return parsed(Buffer.from(value))
  return Object.fromEntries(fields)
}

function inputOf(payload: unknown): Readonly<Record<string, unknown>> {
  const isObject = typeof payload === 'object' && payload !== null && !Array.isArray(payload)
  return isObject ? (payload as Record<string, unknown>) : { payload }
}

function shown({ header }: HookRequest): Record<string, string> {
  return Object.fromEntries(
    SHOWN.flatMap((name) => {
      const value = header(name)
      return value === undefined ? [] : [[name, value]]
    }),
  )
}
