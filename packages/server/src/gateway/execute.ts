/**
 * Carries one decided tool call out: from the cache, from the mock, or from the provider, with the credential
 * put in by egress and every wait bounded (gateway contract §12). Decides nothing about permission but what each
 * redirect hop needs.
 */
import { setTimeout as wait } from 'node:timers/promises'
import { VestryError } from '@vestry/contract/errors'
import type { Note } from '../call/perform.ts'
import { principalOf } from '../call/perform.ts'
import { wasSent } from '../egress/failure.ts'
import { buildInjection, type Injection } from '../egress/injection.ts'
import type { Borrowed } from '../egress/kept-injections.ts'
import { type EgressResult, type Grant, send } from '../egress/send.ts'
import type { Target } from '../egress/url.ts'
import type { Caller } from '../identity/caller.ts'
import type { Decision, PolicyContext, PolicyRequest } from '../policy/engine.ts'
import { hostMatches, isExactHost, parseHostPattern } from '../policy/host.ts'
import { filterReply } from './filters/response-filters.ts'
import type { Gateway } from './gateway.ts'
import { isMocked } from './mode.ts'
import { providerError } from './provider-error.ts'
import type { Breaker, BreakerPass } from './resilience/breaker.ts'
import { type RetryReason, retryDelay, retryReason } from './resilience/retry.ts'
import type { Json, JsonObject, RequestContext, Tool, ToolAction } from './tools/tool.ts'

const SEND_LIMIT = 5

export interface Execution {
  readonly gateway: Gateway
  readonly caller: Caller
  readonly tool: Tool
  readonly action: ToolAction
  readonly params: JsonObject
  readonly decision: Decision
  /** The question that was decided: asked again about each redirect. */
  readonly resource: PolicyRequest['resource']
  readonly context: PolicyContext
  /** Facts about a target that policy is told besides the target itself. */
  readonly holdsFor: (target: Target) => readonly string[]
  readonly request: RequestContext
  /** No attempt begins after this moment (epoch ms). */
  readonly retryUntilMs: number
  readonly signal: AbortSignal | undefined
  /** Awaited before anything goes out. */
  readonly onSend: () => Promise<void>
  readonly progress: Progress
  readonly note: Note
}

/** How far a call came, whatever ended it. */
export interface Progress {
  /** The provider may have heard of it. */
  contacted: boolean
  /** The reply came from elsewhere than was asked. */
  redirected: boolean
}

export interface Executed {
  readonly data: Json
  readonly cached: boolean
}

/**
 * @throws VestryError CIRCUIT_OPEN, UPSTREAM_*, RESPONSE_TOO_LARGE, SSRF_BLOCKED, REDIRECT_BLOCKED, ACCESS_DENIED for
 *   a reply or a redirect that policy refuses.
 */
export async function execute(execution: Execution): Promise<Executed> {
  const { gateway, tool, action, decision } = execution
  const params = capped(execution.params, decision.obligations.caps ?? {})
  const caches = gateway.settings.cache_enabled && action.cacheMs > 0
  const key = caches ? gateway.cache.key(tool.digest, tool.name, action.name, params) : undefined
  const hit = key === undefined ? undefined : gateway.cache.get(key, gateway.now())
  if (caches) gateway.metrics.cache(tool.name, action.name, hit !== undefined)
  const raw = hit ?? (await produce({ ...execution, params }))
  // Another agent may not go where a redirect led this one; and once sealed, nothing stays in memory.
  const keeps = !execution.progress.redirected && gateway.seal.state === 'unsealed'
  if (key !== undefined && hit === undefined && keeps)
    gateway.cache.set(key, raw, action.cacheMs, gateway.now())
  execution.note({ cached: hit !== undefined })
  return { data: filtered(execution, raw), cached: hit !== undefined }
}

async function produce(execution: Execution): Promise<Json> {
  const { gateway, tool, action, params, request } = execution
  if (await isMocked(gateway, tool)) {
    await execution.onSend()
    execution.progress.contacted = true
    await gateway.chaos.beforeCall(tool.name, 'mock', execution.signal)
    execution.note({ mock: true, attempts: 1 })
    return action.mock(params, request)
  }
  return throughBreaker(execution)
}

/** One logical call counts once with the breaker, whatever its attempts were. */
async function throughBreaker(execution: Execution): Promise<Json> {
  const { gateway, tool, signal } = execution
  const { breaker, bulkhead } = gateway.breakers.of(tool.name)
  using pass = enterBreaker(execution, breaker)
  using _permit = await bulkhead.enter(signal)
  try {
    const data = await attempts(execution)
    pass.succeeded(gateway.now())
    return data
  } catch (error) {
    const verdict = verdictOf(error)
    if (verdict === 'failed') pass.failed(gateway.now())
    if (verdict === 'succeeded') pass.succeeded(gateway.now())
    throw error
  }
}

/** @throws VestryError CIRCUIT_OPEN, which is counted. */
function enterBreaker({ gateway, tool }: Execution, breaker: Breaker): BreakerPass {
  try {
    return breaker.enter(gateway.now())
  } catch (error) {
    gateway.metrics.fastFailed(tool.name)
    throw error
  }
}

const FAULTS: ReadonlySet<string> = new Set([
  'UPSTREAM_ERROR',
  'UPSTREAM_TIMEOUT',
  'UPSTREAM_FAILED',
  'UPSTREAM_RATE_LIMITED',
])
/** The provider is well; it is the call that it did not like. */
const ANSWERS: ReadonlySet<string> = new Set(['UPSTREAM_REJECTED', 'UPSTREAM_AUTH'])

/** What an error says about the provider: refusals of our own say nothing. */
function verdictOf(error: unknown): 'failed' | 'succeeded' | undefined {
  if (!(error instanceof VestryError)) return undefined
  if (FAULTS.has(error.code)) return 'failed'
  return ANSWERS.has(error.code) ? 'succeeded' : undefined
}

async function attempts(execution: Execution): Promise<Json> {
  const { gateway, tool, action, note, signal } = execution
  const endsAtMs = gateway.now() + action.timeoutMs
  for (let attempt = 1; ; attempt += 1) {
    note({ attempts: attempt })
    let sending = false
    const onSend = async () => {
      sending = true
      await execution.onSend()
    }
    try {
      return await once({ ...execution, onSend }, Math.max(1, endsAtMs - gateway.now()))
    } catch (error) {
      // Once an attempt may have arrived, no later one can make it undone.
      if (sending && wasSent(error)) execution.progress.contacted = true
      const reason = action.repeatable ? retryReason(error) : undefined
      const delayMs = reason && pause(execution, attempt, error, endsAtMs)
      if (reason === undefined || delayMs === undefined) throw error
      gateway.metrics.retried(tool.name, action.name, reason satisfies RetryReason)
      await wait(delayMs, undefined, { ...(signal !== undefined && { signal }) })
    }
  }
}

function pause(
  { gateway, retryUntilMs }: Execution,
  attempt: number,
  error: unknown,
  endsAtMs: number,
): number | undefined {
  const { settings } = gateway
  return retryDelay(
    { attempt, error, nowMs: gateway.now(), deadlineMs: Math.min(retryUntilMs, endsAtMs) },
    {
      maxRetries: settings.retry_max_retries,
      baseMs: settings.retry_base_delay_ms,
      maxMs: settings.retry_max_delay_ms,
      jitter: settings.retry_jitter_factor,
    },
  )
}

/** One exchange with the provider, its reply turned into the tool's result. */
async function once(execution: Execution, leftMs: number): Promise<Json> {
  const { gateway, tool, action, params, request, note } = execution
  const planned = action.request(params, request)
  await gateway.chaos.beforeCall(tool.name, 'live', execution.signal)
  using opened = await openCredential(execution)
  const reply = await send(
    {
      url: planned.url,
      method: planned.method,
      headers: planned.headers,
      ...(planned.body !== undefined && { body: planned.body }),
      ...(opened !== undefined && { injection: opened.injection }),
      timeoutMs: Math.min(planned.timeoutMs, leftMs),
      maxResponseBytes: planned.maxResponseBytes,
      maxReceivedBytes: planned.maxResponseBytes + 65_536,
      onOverflow: 'refuse',
      followRedirects: planned.followRedirects,
      maxRedirects: SEND_LIMIT,
      // The tool decides what of them the agent sees.
      responseHeadersAllow: ['retry-after', 'etag', 'cache-control'],
      poolKey: { path: opened?.path ?? `tool:${tool.name}`, version: opened?.version ?? 0 },
      authorize: (target, hop) => authorize(execution, opened, target, hop),
      onSend: execution.onSend,
      ...(execution.signal !== undefined && { signal: execution.signal }),
    },
    gateway.egress,
  )
  execution.progress.contacted = true
  note(upstreamFacts(reply, opened))
  if (reply.redirects > 0) execution.progress.redirected = true
  const { status, headers, body, url } = reply
  try {
    const data = action.result({ status, headers, body, url }, params, request)
    const usage = action.usage?.(data)
    if (usage !== undefined) note({ usage })
    return data
  } catch (error) {
    throw providerError(error)
  }
}

interface OpenedCredential extends Borrowed {
  readonly path: string
  readonly version: number
  readonly hosts: readonly string[]
}

/** Used here and given back: nothing of it leaves but in the request itself. */
async function openCredential({ gateway, tool }: Execution): Promise<OpenedCredential | undefined> {
  const { credential } = tool
  if (credential === undefined) return undefined
  const { path } = credential
  const found = await gateway.credentials.find(path)
  if (found === undefined || found.version === 0) throw notConfigured(tool)
  void gateway.seal.keys // what is kept must not outlive the open vault either
  const { version, settings } = found
  const key = `${tool.digest} ${path} ${version}`
  const borrowed =
    gateway.injections.borrow(key) ??
    gateway.injections.keep(key, await inject(gateway, tool, version))
  return {
    injection: borrowed.injection,
    path,
    version,
    hosts: settings.allowed_hosts ?? [],
    [Symbol.dispose]: () => borrowed[Symbol.dispose](),
  }
}

async function inject(gateway: Gateway, tool: Tool, version: number): Promise<Injection> {
  const { credential } = tool
  if (credential === undefined) throw notConfigured(tool)
  const opened = await gateway.credentials
    .open(credential.path, version)
    .catch((cause: unknown) => {
      const absent = cause instanceof VestryError && cause.code === 'CREDENTIAL_NOT_FOUND'
      throw absent ? notConfigured(tool, cause) : cause
    })
  using secret = opened.secret
  const injection = buildInjection(credential.inject, secret) // with copies of its own
  return injection
}

export function notConfigured({ name, credential }: Tool, cause?: unknown): VestryError {
  const path = credential?.path ?? `tools/${name}`
  return new VestryError('TOOL_NOT_CONFIGURED', `tool '${name}' has no credential`, {
    hint: `Ask an operator to add it: vestry cred add ${path} --value-stdin`,
    context: { tool: name },
    ...(cause !== undefined && { cause }),
  })
}

/** The first hop was decided before anything happened; every later one is a question of its own. */
function authorize(
  execution: Execution,
  opened: OpenedCredential | undefined,
  target: Target,
  hop: number,
): Grant {
  const { gateway, tool, caller, resource, context, holdsFor } = execution
  if (opened !== undefined && !bindsTo(opened.hosts, target)) {
    throw new VestryError(
      'TOOL_NOT_CONFIGURED',
      `the credential of '${tool.name}' may not go there`,
      {
        hint: 'Ask an operator to correct the hosts of the credential, or the address of the tool',
        context: { tool: tool.name },
      },
    )
  }
  // Operators wrote the addresses of tools; what callers name was listed by policy.
  if (tool.opensTarget !== true) return { exactHost: true, allowHttp: true, followRedirects: false }
  const decision = hop === 0 ? execution.decision : decideHop(execution, target)
  const exactHost =
    decision.hostPatterns.length === 0 ||
    decision.hostPatterns.some((pattern) => isExactHost(parseHostPattern(pattern), target))
  return { exactHost, allowHttp: true, followRedirects: true }

  function decideHop({ note }: Execution, next: Target): Decision {
    const asked = { ...context, target: next, redirect: true, holds: holdsFor(next) }
    const answer = gateway.stations.policy.decide({
      principal: principalOf(caller),
      action: 'tool:call',
      resource,
      context: asked,
    })
    if (answer.allow) return answer
    note({ redirect_denied: next.host })
    throw deniedByPolicy(
      execution,
      answer.reasonCode,
      'a redirect leads where policy does not allow',
    )
  }
}

function bindsTo(hosts: readonly string[], target: Target): boolean {
  return hosts.length === 0 || hosts.some((text) => hostMatches(parseHostPattern(text), target))
}

/** A denial that is only known once the tool has run, or is on its way. */
function deniedByPolicy(
  { tool, action, decision }: Execution,
  reasonCode: string,
  reason: string,
  more: Readonly<Record<string, unknown>> = {},
): VestryError {
  return new VestryError('ACCESS_DENIED', reason, {
    hint: `"vestry why ${decision.id}" explains the decision`,
    context: {
      tool: `${tool.name}:${action.name}`,
      reason_code: reasonCode,
      decision: decision.id,
      ...more,
    },
  })
}

/** What policy lets through of a reply; cached and replayed replies pass here too. */
function filtered(execution: Execution, raw: Json): Json {
  const { obligations } = execution.decision
  const outcome = filterReply(raw, obligations)
  if ('refused' in outcome) {
    const words =
      outcome.refused === 'RESPONSE_TOO_LARGE'
        ? 'the reply is larger than the agent may receive'
        : 'the reply holds what the agent may not receive'
    throw deniedByPolicy(execution, outcome.refused, words, { executed: true })
  }
  if (outcome.redactions > 0) execution.note({ filtered: outcome.redactions })
  return outcome.value
}

/** Numeric params lowered to what policy allows at most. */
function capped(params: JsonObject, caps: Readonly<Record<string, number>>): JsonObject {
  let lowered = params
  for (const [name, most] of Object.entries(caps)) {
    const value = params[name]
    if (typeof value === 'number' && value > most) lowered = { ...lowered, [name]: most }
  }
  return lowered
}

function upstreamFacts(
  { status, bytesIn, bytesOut, redirects, redactions, target, elapsedMs }: EgressResult,
  opened: OpenedCredential | undefined,
): Record<string, unknown> {
  return {
    status,
    upstream: { host: target.host, path: target.path, ms: elapsedMs, redirects },
    bytes_in: bytesIn,
    bytes_out: bytesOut,
    ...(redactions.count > 0 && { redactions: redactions.count }),
    ...(opened !== undefined && { credential: opened.path, version: opened.version }),
  }
}
