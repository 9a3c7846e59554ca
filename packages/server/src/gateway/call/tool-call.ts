/**
 * One tool call as the chain of stations needs it: who asks, for which tool, with which params; and the question
 * that policy is asked about it. What is wrong with the call itself is held back until policy has spoken, so that
 * a caller without the right learns nothing of a tool (RULINGS 7).
 */
import { VestryError } from '@vestry/contract/errors'
import type { ProtectedCall } from '../../call/perform.ts'
import { parseTarget, type Target } from '../../egress/url.ts'
import type { Caller } from '../../identity/caller.ts'
import type { WindowLimit } from '../../limits/window.ts'
import type { PolicyContext, PolicyRequest } from '../../policy/engine.ts'
import { hostMatches, parseHostPattern } from '../../policy/host.ts'
import { permissionWords } from '../../policy/permission-words.ts'
import { TOOL_RANKS } from '../../policy/tool-ranks.ts'
import { isVisible, MAX_VALUES, openData } from '../open-data.ts'
import type { GatewaySettings } from '../settings.ts'
import type { ToolCatalogue } from '../tools/catalogue.ts'
import { InvalidToolParams, type JsonObject, type Tool, type ToolAction } from '../tools/tool.ts'
import { withoutKeys } from './idempotency.ts'
import type { Intent } from './intent.ts'

export interface ToolCall {
  readonly requestId: string
  readonly correlationId: string
  readonly caller: Caller
  readonly agentId: string
  /** As people know the agent. */
  readonly agentName: string
  readonly tool: string
  readonly action: string
  /** As given. */
  readonly params: JsonObject
  readonly intent: Intent
  /** Why, in the caller's words. */
  readonly reason: string | undefined
  readonly token: TokenClaims
  readonly idempotencyKey: string | undefined
}

/** What the presented token covers. */
export interface TokenClaims {
  /** Registry id. */
  readonly id: string
  readonly tools: readonly string[]
  readonly permissions: readonly string[]
}

/** A call made ready: what is asked of policy, and what would be done. */
export interface PreparedCall {
  readonly call: ToolCall
  /** Undefined: there is no such tool, or no such action. */
  readonly found: { readonly tool: Tool; readonly action: ToolAction } | undefined
  /** Normalised; empty when they were refused. */
  readonly params: JsonObject
  readonly resource: PolicyRequest['resource']
  readonly context: PolicyContext
  readonly held: NonNullable<ProtectedCall<unknown>['held']> | undefined
  readonly holdsFor: (target: Target) => readonly string[]
  /** Names and numbers for the record; no values. */
  readonly data: Readonly<Record<string, unknown>>
}

interface PrepareDeps {
  readonly tools: ToolCatalogue
  readonly settings: GatewaySettings
  readonly now: () => number
}

export function prepareCall(deps: PrepareDeps, call: ToolCall): PreparedCall {
  const { tool, action } = call
  const found = deps.tools.find(tool, action)
  const given = withoutKeys(call.params)
  const read = readParams(found?.action, given)
  const { params, facts } = read
  const located = locate(found?.tool, facts.url)
  const held = found === undefined ? unknownTool(tool, action) : (read.held ?? located.held)
  const { target } = located
  const intentHolds = call.intent.conflict ? ['intent_conflict'] : []
  const holdsFor = (to: Target) => [...intentHolds, ...listHolds(deps.settings, to)]
  let data: ReturnType<typeof openData> | undefined
  const open = () => {
    data ??= openData(params, facts.lengths)
    return data
  }
  const digest = found?.tool.digest ?? ''
  return {
    call,
    found,
    params,
    held,
    holdsFor,
    resource: {
      kind: 'tool',
      tool,
      action,
      digest,
      reviewed: false,
      permissions: permissionWords(tool, action, found?.action.permission ?? 'read'),
      costMicros: found?.action.costMicros ?? 0,
    },
    context: {
      nowMs: deps.now(),
      transport: call.caller.peer.transport,
      ...(call.caller.peer.address !== undefined && { sourceIp: call.caller.peer.address }),
      hasReason: call.reason !== undefined,
      ...(call.intent.intent !== undefined && { intent: call.intent.intent }),
      tokenTools: call.token.tools,
      tokenPermissions: call.token.permissions,
      requestBytes: Buffer.byteLength(JSON.stringify(given)),
      args: () => open().args,
      nums: () => open().nums,
      ...(facts.recipients !== undefined && { recipients: facts.recipients }),
      ...(target !== undefined && { target, method: action.toUpperCase() }),
      holds: target === undefined ? intentHolds : holdsFor(target),
    },
    data: {
      tool,
      action,
      ...(digest !== '' && { digest }),
      correlation_id: call.correlationId,
      token: call.token.id,
      ...(call.intent.intent !== undefined && { intent: call.intent.intent }),
      ...(target !== undefined && {
        target: { scheme: target.scheme, host: target.host, port: target.port, path: target.path },
      }),
      ...(found !== undefined &&
        found.action.costMicros > 0 && { cost_micros: found.action.costMicros }),
    },
  }
}

/** One agent's calls; not limited where nobody set a limit and development lifts the default. */
export function requestLimit(
  { rate_limit_points, rate_limit_duration_s }: GatewaySettings,
  { dev, agentId }: { dev: boolean; agentId: string },
): WindowLimit[] {
  const points = rate_limit_points ?? (dev ? undefined : DEFAULT_POINTS)
  if (points === undefined) return []
  return [
    {
      kind: 'window',
      key: `gateway:${agentId}`,
      scope: 'gateway.rate_limit',
      limit: points,
      lengthMs: rate_limit_duration_s * 1_000,
      mode: 'sliding',
    },
  ]
}

const DEFAULT_POINTS = 5

type Held = NonNullable<PreparedCall['held']>

interface ReadParams {
  readonly params: JsonObject
  readonly facts: ReturnType<ToolAction['facts']>
  readonly held: Held | undefined
}

function readParams(action: ToolAction | undefined, given: JsonObject): ReadParams {
  if (action === undefined) return { params: {}, facts: {}, held: undefined }
  try {
    const params = action.normalise(given)
    if (!isVisible(params)) {
      const held = invalidParams([`params: more than ${MAX_VALUES} values`])
      return { params: {}, facts: {}, held }
    }
    return { params, facts: action.facts(params), held: undefined }
  } catch (error) {
    if (!(error instanceof InvalidToolParams)) throw error
    return { params: {}, facts: {}, held: invalidParams(error.details) }
  }
}

function invalidParams(details: readonly string[]): Held {
  const error = new VestryError('INVALID_PARAMS', details[0] ?? 'params: not valid', {
    context: { details },
  })
  return { rank: TOOL_RANKS.params, error }
}

function unknownTool(tool: string, action: string): Held {
  const error = new VestryError('UNKNOWN_TOOL', 'there is no such tool or action', {
    context: { unknown: `${tool}:${action}` },
  })
  return { rank: TOOL_RANKS.unknownTool, error }
}

/** The canonical target of a tool that goes where the caller says. */
function locate(tool: Tool | undefined, url: string | undefined): { target?: Target; held?: Held } {
  if (tool?.opensTarget !== true || url === undefined) return {}
  try {
    return { target: parseTarget(url) }
  } catch (error) {
    if (!(error instanceof VestryError)) throw error
    // A host that is never allowed is refused like one that policy blocks.
    if (error.code === 'SSRF_BLOCKED') return { held: { rank: TOOL_RANKS.domainBlocked, error } }
    return { held: invalidParams([`url: ${error.message}`]) }
  }
}

/** Where a target stands on the list of hosts that the tool may reach at all. */
function listHolds(
  { http_fetch_allowed_domains: domains }: GatewaySettings,
  target: Target,
): string[] {
  if (domains.length === 0) return []
  const listed = domains.some((domain) => hostMatches(parseHostPattern(`.${domain}`), target))
  return [listed ? 'domain_listed' : 'domain_off_list']
}
