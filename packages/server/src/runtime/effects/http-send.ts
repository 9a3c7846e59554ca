/** Sends a request that was decided, decides each redirect again, and holds the reply to what all decisions ask for. */
import { VestryError } from '@vestry/contract/errors'
import { principalOf } from '../../call/perform.ts'
import { type CountedUse, chargePolicy } from '../../call/policy-limits.ts'
import type { Injection } from '../../egress/injection.ts'
import { recordsLookups } from '../../egress/lookup-record.ts'
import type { Hop } from '../../egress/redirect.ts'
import { type Grant, send } from '../../egress/send.ts'
import type { Target } from '../../egress/url.ts'
import { actorOf } from '../../identity/caller.ts'
import { TOOL_CALL } from '../../policy/actions.ts'
import type { Decision, PolicyContext } from '../../policy/engine.ts'
import { isExactHost, parseHostPattern } from '../../policy/host.ts'
import type { PolicyRequest } from '../../policy/policy-request.ts'
import type { HttpEffectDeps, HttpRequest } from './http.ts'
import { recordBlocked, recordReflection } from './http-record.ts'
import { type FilteredReply, filteredReply } from './http-reply.ts'

/** The name under which policies speak of it: `http:get`, `http:post` … No other tool may have it. */
export const HTTP_TOOL = 'http'

/** One request on its way, and all that was decided of it so far. */
export interface Trip {
  readonly target: Target
  readonly context: PolicyContext
  readonly decisions: Decision[]
  /** A connection was asked for: the other side may hear of it. */
  began: boolean
}

/** What a request carries, and who else is asked where it may go. */
export interface Carried {
  readonly poolPath: string
  readonly version?: number
  readonly injection?: Injection
  /** What the owner of the credential says of a hop. */
  readonly grant?: (hop: Hop, isFirst: boolean) => Promise<Grant> | Grant
}

const MAX_REDIRECTS = 5
const RECEIVED_ROOM = 65_536

export async function sendAsked(
  deps: HttpEffectDeps,
  asked: HttpRequest,
  trip: Trip,
  { poolPath, version = 0, injection, grant }: Carried,
): Promise<FilteredReply> {
  const { caller } = asked
  const duties = trip.decisions.map(({ obligations }) => obligations)
  const most = Math.min(
    asked.maxResponseBytes,
    ...duties.flatMap(({ maxResponseBytes: max }) => (max === undefined ? [] : [max])),
  )
  // The decision on the credential, where there is one, has the last word on what it may come with.
  const last = duties.at(-1)
  try {
    const result = await send(
      {
        url: asked.url,
        method: asked.method,
        headers: asked.headers,
        ...(asked.body !== undefined && { body: asked.body }),
        ...(injection !== undefined && { injection }),
        timeoutMs: asked.timeoutMs,
        maxResponseBytes: most,
        maxReceivedBytes: most + RECEIVED_ROOM,
        onOverflow: 'refuse',
        followRedirects: asked.followRedirects,
        maxRedirects: MAX_REDIRECTS,
        ...(last?.responseHeaders !== undefined && { responseHeadersAllow: last.responseHeaders }),
        ...(duties.some(({ onReflection }) => onReflection === 'block') && {
          onReflection: 'block' as const,
        }),
        allowAgentAuth: last?.allowAgentAuth ?? false,
        poolKey: { path: poolPath, version },
        authorize: async (_target, at, hop) => {
          const decision = at === 0 ? trip.decisions[0] : await hopDecision(deps, asked, trip, hop)
          const own = grantOf(decision, hop.target, injection !== undefined)
          return grant === undefined ? own : both(own, await grant(hop, at === 0))
        },
        onSend: () => {
          trip.began = true
        },
        onLookup: recordsLookups(deps.stations.audit, { caller, requestId: asked.requestId }),
        signal: asked.signal,
      },
      deps.egress,
    )
    if (result.redactions.count > 0) await recordReflection(deps, asked, result)
    return filteredReply(result, trip.decisions)
  } catch (error) {
    await recordBlocked(deps, asked, error)
    throw error
  }
}

function hopDecision(
  deps: HttpEffectDeps,
  asked: HttpRequest,
  trip: Trip,
  { target, method, sendsBody }: Hop,
): Promise<Decision> {
  return decideHop(deps, asked, trip, {
    action: TOOL_CALL,
    resource: toolResource(method),
    context: hopContext(trip.context, { target, method, sendsBody }),
  })
}

export function hopContext(context: PolicyContext, { target, method, sendsBody }: Hop) {
  return {
    ...context,
    target,
    method,
    requestBytes: sendsBody ? (context.requestBytes ?? 0) : 0,
    redirect: true,
  }
}

/**
 * A later hop is a question of its own. What its permits ask for is carried out like that of the first, but nobody can
 * be asked half-way.
 *
 * @throws VestryError REDIRECT_BLOCKED, RATE_LIMITED, LEASE_EXHAUSTED
 */
export async function decideHop(
  { stations }: Pick<HttpEffectDeps, 'stations'>,
  { caller }: Pick<HttpRequest, 'caller'>,
  { decisions }: Trip,
  question: Pick<PolicyRequest, 'action' | 'resource' | 'context'>,
  use?: CountedUse,
): Promise<Decision> {
  const decision = stations.policy.decide({ principal: principalOf(caller), ...question })
  if (!decision.allow) throw blocked(question, decision)
  const { obligations } = decision
  const known = new Set(decisions.flatMap(({ permits }) => permits))
  const isNew = ({ policy }: { readonly policy: string }) => !known.has(policy)
  if (obligations.approve.some(isNew) || obligations.requireReason)
    throw blocked(question, decision, 'it takes an approval or a reason of its own')
  await using charge = await chargePolicy(
    stations.limits,
    actorOf(caller.principal),
    {
      ...obligations,
      rates: obligations.rates.filter(isNew),
      quotas: obligations.quotas.filter(isNew),
      ...(obligations.uses !== undefined && { uses: obligations.uses.filter(isNew) }),
    },
    use,
  )
  await charge?.commit()
  decisions.push(decision)
  return decision
}

/** Cleartext is for requests without a secret, unless a permit says otherwise. */
function grantOf(decision: Decision | undefined, target: Target, hasSecret: boolean): Grant {
  if (decision === undefined) throw new VestryError('INTERNAL_ERROR', 'nothing was decided')
  const { hostPatterns, obligations } = decision
  return {
    exactHost: hostPatterns.some((text) => isExactHost(parseHostPattern(text), target)),
    allowHttp: !hasSecret || obligations.allowHttp === true,
    followRedirects: true,
    ...(obligations.pinSha256 !== undefined && { pinSha256: obligations.pinSha256 }),
  }
}

/** The tool says where, the credential how: in the clear and after a redirect is its to allow. */
function both(tool: Grant, credential: Grant): Grant {
  const { pinSha256: pins } = tool
  const { pinSha256: own } = credential
  const common = pins === undefined ? own : own === undefined ? pins : shared(pins, own)
  return {
    exactHost: tool.exactHost || credential.exactHost,
    allowHttp: credential.allowHttp,
    followRedirects: credential.followRedirects,
    ...(common !== undefined && { pinSha256: common }),
  }
}

function shared(one: readonly string[], other: readonly string[]): readonly string[] {
  return one.filter((pin) => other.includes(pin))
}

function blocked(
  { action, context }: Pick<PolicyRequest, 'action' | 'context'>,
  { id, reason, reasonCode }: Decision,
  why = reason,
): VestryError {
  const host = context.target?.host ?? ''
  return new VestryError('REDIRECT_BLOCKED', `The redirect leads to "${host}": ${why}`, {
    hint: `"vestry why ${id}" explains the decision`,
    context: { host, action, reason_code: reasonCode, decision: id },
  })
}

export function toolResource(method: string): PolicyRequest['resource'] {
  const action = method.toLowerCase()
  return {
    kind: 'tool',
    tool: HTTP_TOOL,
    action,
    digest: '',
    // It is a part of the program, not somebody's description.
    reviewed: true,
    permissions: [`${HTTP_TOOL}:${action}`],
    costMicros: 0,
  }
}
