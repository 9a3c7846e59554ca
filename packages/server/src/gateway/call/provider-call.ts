/**
 * One call of a provider: through the breaker and the bulkhead, in as many attempts as the action may have, every
 * wait bounded (gateway contract §12). Decides nothing about permission but what each redirect hop needs.
 */
import { setTimeout as wait } from 'node:timers/promises'
import { VestryError } from '@vestry/contract/errors'
import { principalOf } from '../../call/perform.ts'
import { wasSent } from '../../egress/failure.ts'
import { recordsLookups } from '../../egress/lookup-record.ts'
import { type EgressResult, type Grant, send } from '../../egress/send.ts'
import type { Target } from '../../egress/url.ts'
import type { Decision } from '../../policy/engine.ts'
import { isExactHost, parseHostPattern } from '../../policy/host.ts'
import type { BreakerPass } from '../resilience/breaker.ts'
import { type RetryReason, retryDelay, retryReason } from '../resilience/retry.ts'
import type { Json } from '../tools/tool.ts'
import { type DecidedCall, deniedByPolicy } from './decided-call.ts'
import { providerError } from './provider-error.ts'
import { bindsTo, type OpenedCredential, openCredential } from './tool-credential.ts'

const MAX_REDIRECTS = 5

/** One logical call counts once with the breaker, whatever its attempts were. */
export async function callProvider(call: DecidedCall): Promise<Json> {
  const { gateway, tool, signal } = call
  using pass = enterBreaker(call)
  using _permit = await gateway.breakers.bulkhead(tool.name).enter(signal)
  try {
    const data = await attempts(call)
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
function enterBreaker({ gateway, tool, context }: DecidedCall): BreakerPass {
  const nowMs = gateway.now()
  const target = tool.opensTarget === true ? context.target : undefined
  const host = target && `${target.host}:${target.port}`
  try {
    return gateway.breakers.breaker(tool.name, host, nowMs).enter(nowMs)
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

async function attempts(call: DecidedCall): Promise<Json> {
  const { gateway, tool, action, note, signal } = call
  const endsAtMs = gateway.now() + action.timeoutMs
  for (let attempt = 1; ; attempt += 1) {
    note({ attempts: attempt })
    let sending = false
    const onSend = async () => {
      sending = true
      await call.onSend()
    }
    try {
      return await once({ ...call, onSend }, Math.max(1, endsAtMs - gateway.now()))
    } catch (error) {
      // Once an attempt may have arrived, no later one can make it undone.
      if (sending && wasSent(error)) call.progress.contacted = true
      const reason = action.repeatable ? retryReason(error) : undefined
      const delayMs = reason && pause(call, attempt, error, endsAtMs)
      if (reason === undefined || delayMs === undefined) throw error
      gateway.metrics.retried(tool.name, action.name, reason satisfies RetryReason)
      await wait(delayMs, undefined, { ...(signal !== undefined && { signal }) })
    }
  }
}

function pause(
  { gateway, retryUntilMs }: DecidedCall,
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
async function once(call: DecidedCall, leftMs: number): Promise<Json> {
  const { gateway, tool, action, params, request, note } = call
  const planned = action.request(params, request)
  await gateway.chaos.beforeCall(tool.name, 'live', call.signal)
  using opened = await openCredential(call)
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
      maxRedirects: MAX_REDIRECTS,
      // The tool decides what of them the agent sees.
      responseHeadersAllow: ['retry-after', 'etag', 'cache-control'],
      poolKey: { path: opened?.path ?? `tool:${tool.name}`, version: opened?.version ?? 0 },
      authorize: (target, hop) => authorize(call, opened, target, hop),
      onSend: call.onSend,
      onLookup: recordsLookups(gateway.stations.audit, { caller: call.caller }),
      ...(call.signal !== undefined && { signal: call.signal }),
    },
    gateway.egress,
  )
  call.progress.contacted = true
  note(upstreamFacts(reply, opened))
  if (reply.redirects > 0) call.progress.redirected = true
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

/** The first hop was decided before anything happened; every later one is a question of its own. */
function authorize(
  call: DecidedCall,
  opened: OpenedCredential | undefined,
  target: Target,
  hop: number,
): Grant {
  const { gateway, tool, caller, resource, context, holdsFor } = call
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
  const decision = hop === 0 ? call.decision : decideHop(call, target)
  const exactHost =
    decision.hostPatterns.length === 0 ||
    decision.hostPatterns.some((pattern) => isExactHost(parseHostPattern(pattern), target))
  return { exactHost, allowHttp: true, followRedirects: true }

  function decideHop({ note }: DecidedCall, next: Target): Decision {
    const asked = { ...context, target: next, redirect: true, holds: holdsFor(next) }
    const answer = gateway.stations.policy.decide({
      principal: principalOf(caller),
      action: 'tool:call',
      resource,
      context: asked,
    })
    if (answer.allow) return answer
    note({ redirect_denied: next.host })
    throw deniedByPolicy(call, answer.reasonCode, 'a redirect leads where policy does not allow')
  }
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
