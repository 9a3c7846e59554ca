/**
 * Requests of providers that fire triggers. Nothing is read from a request, and nothing is run, before its signature
 * is known to be good; and one delivery is run once, however often it comes.
 */
import { randomBytes } from 'node:crypto'
import { asVestryError, VestryError } from '@vestry/contract/errors'
import { newRequestId, newTimeOrderedId } from '@vestry/contract/ids'
import { formatTraceparent, newTrace, type Trace } from '../../identity/traceparent.ts'
import type { Buckets } from '../../limits/bucket.ts'
import type { SecretResolver } from '../../secrets/resolver.ts'
import type { DeliveryStore } from './delivery-store.ts'
import type { Deployments } from './deployments.ts'
import { at, deliveryOf, eventOf, type InboundEvent } from './event.ts'
import { endBody, type Invocations, inTime } from './invocation.ts'
import type { Hook, Live } from './live.ts'
import { inputOf, payloadOf, shown } from './payload.ts'
import type { Reached } from './serving.ts'
import { hasSignature, isSigned } from './signature.ts'
import { becomes } from './within.ts'

export interface HooksDeps {
  readonly deployments: Deployments
  readonly invocations: Invocations
  readonly deliveries: DeliveryStore
  readonly secrets: SecretResolver
  readonly buckets: Buckets
  readonly runState: (executionId: string) => Promise<RunState>
  readonly record: (fact: HookRecord) => Promise<void>
  readonly warn: (line: string) => void
  /** Counts refusals that are too many for a record of each. */
  readonly refused: (actor: string, scope: string) => void
  /** Who waits for the end of a run waits no longer. */
  readonly answerMs?: number
  /** Epoch ms. */
  readonly now: () => number
}

/** `accepting`: on its way, or lost and not told as such yet. `lost`: told as interrupted before anything of it began. */
export type RunState = 'none' | 'accepting' | 'accepted' | 'lost'

export interface HookRecord {
  readonly action: 'trigger.fire' | 'trigger.fail' | 'trigger.refuse'
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
const ACCEPTING_MS = 2_000
const RETRY_MS = 5_000
/** In place of a trigger that nobody serves. */
const NOBODY = {
  provider: 'github',
  secret: 'secret://webhook/nobody',
  owner: 'nobody',
  secretBytes: 32,
} as const
/** Of signed requests to nobody, so many look like any other in the time they take; more fill no log. */
const KNOCKS = { kind: 'bucket', key: 'hook-nobody', scope: 'hook-nobody', ...REFUSALS } as const

export class Hooks {
  readonly #deps: HooksDeps
  #checks = 0

  constructor(deps: HooksDeps) {
    this.#deps = deps
  }

  /**
   * What no deployment serves is answered as a wrong signature is: nobody learns by asking which triggers there are.
   *
   * @throws VestryError UNAUTHORIZED, RATE_LIMITED, INVALID_JSON, NOT_READY, and what the start of the agent throws.
   */
  async receive(request: HookRequest): Promise<HookReply> {
    const found = this.#deps.deployments.byPath(request.path)
    const trace = newTrace(request.header('traceparent'))
    if (!(await this.#isGood(request, found))) {
      this.#refuse(request, found, trace)
      throw new VestryError('UNAUTHORIZED', 'The signature is missing or wrong')
    }
    if (found === undefined) throw new VestryError('UNAUTHORIZED') // never: nobody has that secret
    const { live, hook } = found
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
    const { invocations, record } = this.#deps
    const { id, config, facts } = live.deployment
    const { executionId, isRepeated } = await this.#reserve(live, hook, deliveryOf(inbound))
    if (isRepeated) return repeated(executionId)
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
        // Of its own: in a trace, records of one id are one call.
        requestId: newRequestId(),
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
      if ((await this.#settled(executionId)) === 'accepted') return repeated(executionId)
      throw error
    }
    if (config.response !== 'wait') return accepted(executionId)
    const end = await inTime(started.ended, this.#deps.answerMs)
    if (end === undefined) return accepted(executionId)
    return { status: 200, body: { ...endBody(end), execution_id: executionId } }
  }

  /** Which execution is this delivery's; one of before that was lost gives way to a new one. */
  async #reserve(
    { deployment }: Live,
    { path, provider }: Hook,
    delivery: string | undefined,
  ): Promise<{ readonly executionId: string; readonly isRepeated: boolean }> {
    const { deliveries, now } = this.#deps
    const minted = newTimeOrderedId('exe', now())
    if (delivery === undefined) return { executionId: minted, isRepeated: false }
    const deploymentId = deployment.id
    const named = { path, provider, delivery, deploymentId, executionId: minted }
    const { executionId, known } = await deliveries.reserve(named)
    if (!known) return { executionId, isRepeated: false }
    const state = await this.#settled(executionId)
    if (state !== 'lost') return { executionId, isRepeated: state === 'accepted' }
    const again = await deliveries.reserve(named, executionId)
    // Somebody else's by now, who starts it.
    return { executionId: again.executionId, isRepeated: again.known }
  }

  /** @throws VestryError NOT_READY: the sender asks again later. */
  async #settled(executionId: string): Promise<RunState> {
    let state: RunState = 'accepting'
    const isSettled = async () => {
      state = await this.#deps.runState(executionId)
      return state !== 'accepting'
    }
    if (await becomes(isSettled, ACCEPTING_MS)) return state
    throw new VestryError('NOT_READY', 'Whether this delivery was accepted is not known yet', {
      context: { retry_after_ms: RETRY_MS },
    })
  }

  /**
   * A missing secret is refused as a bad signature is, and what nobody serves with as much work.
   * @throws VestryError RATE_LIMITED, and BACKEND_UNAVAILABLE and the like
   */
  async #isGood({ header, body }: HookRequest, found: Reached | undefined): Promise<boolean> {
    // Opening a secret is recorded, so whoever does not even sign opens none.
    if (!hasSignature(header, found?.hook.provider)) return false
    if (this.#checks >= MAX_CHECKS) throw tooMany(1_000)
    this.#checks += 1
    const { secrets, now } = this.#deps
    const { provider, secret: reference } = found?.hook ?? NOBODY
    const owner = found?.live.deployment.facts.agentName ?? NOBODY.owner
    const signed = { provider, header, body, nowMs: now() }
    try {
      if (found === undefined && this.#deps.buckets.take(KNOCKS) > 0)
        throw new VestryError('SECRET_NOT_FOUND')
      using secret = await secrets.resolve(reference, owner)
      const isRight = isSigned(signed, secret.bytes)
      return isRight && found !== undefined
    } catch (error) {
      // What is only unreachable now is told as such: the provider comes again.
      if (found !== undefined && asVestryError(error).status >= 500) throw error
      isSigned(signed, randomBytes(NOBODY.secretBytes))
      return false
    } finally {
      this.#checks -= 1
    }
  }

  /** Whoever knocks without end fills no log, and nobody waits until it is written. */
  #refuse({ requestId }: HookRequest, found: Reached | undefined, trace: Trace): void {
    const { buckets, refused, record, warn } = this.#deps
    refused('anonymous', 'runtime.trigger')
    if (found === undefined) return
    const { deployment } = found.live
    const key = `hook-refusal:${deployment.id}`
    if (buckets.take({ kind: 'bucket', key, scope: 'hook-refusal', ...REFUSALS }) > 0) return
    record({
      action: 'trigger.refuse',
      agent: deployment.facts.agentName,
      requestId,
      txn: undefined,
      trace,
      data: {
        deployment: deployment.id,
        trigger: found.hook.name,
        provider: found.hook.provider,
      },
    }).catch((error: unknown) => warn(`trigger.refuse: ${asVestryError(error).code}`))
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
