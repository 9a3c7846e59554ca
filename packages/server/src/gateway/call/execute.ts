/**
 * Carries one decided tool call out: from the cache, from the mock, or from the provider. Policy's caps lower what
 * goes in, and its filters what comes back.
 */

import { filterReply } from '../filters/response-filters.ts'
import { isMocked } from '../mode.ts'
import type { Json, JsonObject } from '../tools/tool.ts'
import { type DecidedCall, deniedByPolicy } from './decided-call.ts'
import { callProvider } from './provider-call.ts'

interface Executed {
  readonly data: Json
  readonly cached: boolean
}

/**
 * @throws VestryError CIRCUIT_OPEN, UPSTREAM_*, RESPONSE_TOO_LARGE, SSRF_BLOCKED, REDIRECT_BLOCKED, ACCESS_DENIED for
 *   a reply or a redirect that policy refuses.
 */
export async function execute(call: DecidedCall): Promise<Executed> {
  const { gateway, tool, action, decision } = call
  const params = capped(call.params, decision.obligations.caps ?? {})
  const caches = gateway.settings.cache_enabled && action.cacheMs > 0
  const key = caches ? gateway.cache.key(tool.digest, tool.name, action.name, params) : undefined
  const hit = key === undefined ? undefined : gateway.cache.get(key, gateway.now())
  if (caches) gateway.metrics.cache(tool.name, action.name, hit !== undefined)
  const raw = hit ?? (await produce({ ...call, params }))
  // Another agent may not go where a redirect led this one; and once sealed, nothing stays in memory.
  const keeps = !call.progress.redirected && gateway.seal.state === 'unsealed'
  if (key !== undefined && hit === undefined && keeps)
    gateway.cache.set(key, raw, action.cacheMs, gateway.now())
  call.note({ cached: hit !== undefined })
  return { data: filtered(call, raw), cached: hit !== undefined }
}

async function produce(call: DecidedCall): Promise<Json> {
  const { gateway, tool, action, params, request } = call
  if (await isMocked(gateway, tool)) {
    await call.onSend()
    call.progress.contacted = true
    await gateway.chaos.beforeCall(tool.name, 'mock', call.signal)
    call.note({ mock: true, attempts: 1 })
    return action.mock(params, request)
  }
  return callProvider(call)
}

/** What policy lets through of a reply; cached and replayed replies pass here too. */
function filtered(call: DecidedCall, raw: Json): Json {
  const { obligations } = call.decision
  const outcome = filterReply(raw, obligations)
  if ('refused' in outcome) {
    const words =
      outcome.refused === 'RESPONSE_TOO_LARGE'
        ? 'the reply is larger than the agent may receive'
        : 'the reply holds what the agent may not receive'
    throw deniedByPolicy(call, outcome.refused, words, { executed: true })
  }
  if (outcome.redactions > 0) call.note({ filtered: outcome.redactions })
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
