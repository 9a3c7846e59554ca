/**
 * Several gateway policies as one (wire contract gateway §9.4): of what can be said once the later policy
 * wins, lists are united, quotas add up. Remembers who said what, so that a refusal names its policy.
 */
import type {
  GatewayFilters,
  GatewayGuards,
  GatewayQuota,
  GatewaySpec,
  TimeWindow,
} from './gateway-spec.ts'

export interface GatewaySource {
  /** `gateway:<uuid>` */
  id: string
  spec: GatewaySpec
  /** Zone of time windows that name none. */
  timezone: string
}

export interface MergedGateway {
  spec: GatewaySpec
  quotas: readonly { quota: GatewayQuota; from: string }[]
  /** Which policy said it last, by the path in the spec; of a list, who added to it last. */
  from: ReadonlyMap<string, string>
  /** Ids, in the order in which they were merged. */
  sources: readonly string[]
}

/** @param sources Policies of the role first, then those of the agent itself: what is nearer wins. */
export function mergeGateway(sources: readonly GatewaySource[]): MergedGateway {
  let spec: GatewaySpec = { scopes: [] }
  const quotas: { quota: GatewayQuota; from: string }[] = []
  const from = new Map<string, string>()
  for (const { id, spec: next, timezone } of sources) {
    const { scopes, guards, quotas: counted, responseFilters, ...single } = withZone(next, timezone)
    spec = {
      ...spec,
      ...single,
      scopes: [...new Set([...spec.scopes, ...scopes])],
      ...(guards && { guards: mergeGuards(spec.guards, guards) }),
      ...(counted && { quotas: [...(spec.quotas ?? []), ...counted] }),
      ...(responseFilters && {
        responseFilters: mergeFilters(spec.responseFilters, responseFilters),
      }),
    }
    quotas.push(...(counted ?? []).map((quota) => ({ quota, from: id })))
    // Whoever granted it first: a later policy that repeats it adds nothing.
    for (const scope of scopes) if (!from.has(`scopes.${scope}`)) from.set(`scopes.${scope}`, id)
    for (const path of paths({ ...single, guards, responseFilters })) from.set(path, id)
  }
  return { spec, quotas, from, sources: sources.map(({ id }) => id) }
}

/** Who said what stands at a path of the merged spec. */
export function fromOf({ from, sources }: MergedGateway, path: string): string {
  return from.get(path) ?? sources.at(-1) ?? 'gateway:'
}

function withZone(spec: GatewaySpec, zone: string): GatewaySpec {
  const window = spec.guards?.timeWindow
  if (window === undefined || window.timezone !== undefined) return spec
  const timeWindow: TimeWindow = { ...window, timezone: zone }
  return { ...spec, guards: { ...spec.guards, timeWindow } }
}

/** The blocks of single tools are merged like the guards around them, member by member. */
function mergeGuards(before: GatewayGuards | undefined, next: GatewayGuards): GatewayGuards {
  if (before === undefined) return next
  const { http_fetch: fetch, openai, gmail_send: mail } = before
  return {
    ...before,
    ...next,
    allowedDomains: united(before.allowedDomains, next.allowedDomains),
    blockedDomains: united(before.blockedDomains, next.blockedDomains),
    piiFilters: united(before.piiFilters, next.piiFilters),
    ...(fetch && {
      http_fetch: {
        ...fetch,
        ...next.http_fetch,
        allowedDomains: united(fetch.allowedDomains, next.http_fetch?.allowedDomains),
      },
    }),
    ...(openai && { openai: { ...openai, ...next.openai } }),
    ...(mail && {
      gmail_send: {
        ...mail,
        ...next.gmail_send,
        allowedDomains: united(mail.allowedDomains, next.gmail_send?.allowedDomains),
      },
    }),
  }
}

function mergeFilters(before: GatewayFilters | undefined, next: GatewayFilters): GatewayFilters {
  if (before === undefined) return next
  const [cuts, more] = [before.truncateFields, next.truncateFields]
  return {
    redactFields: united(before.redactFields, next.redactFields),
    blockPatterns: united(before.blockPatterns, next.blockPatterns),
    truncateFields: cuts === undefined ? more : [...cuts, ...(more ?? [])],
  }
}

/** A list that neither has stays absent; one without members is still a list. */
function united<T>(a: readonly T[] | undefined, b: readonly T[] | undefined): T[] | undefined {
  if (a === undefined && b === undefined) return undefined
  return [...new Set([...(a ?? []), ...(b ?? [])])]
}

/** `intent`, `guards.maxRequestSize`, `guards.http_fetch.timeoutMs` … */
function paths({ guards, responseFilters, ...single }: Partial<GatewaySpec>): string[] {
  const { http_fetch, openai, gmail_send, ...plain } = guards ?? {}
  const blocks = { http_fetch, openai, gmail_send }
  return [
    ...Object.keys(single),
    ...Object.keys(plain).map((name) => `guards.${name}`),
    ...Object.entries(blocks).flatMap(([tool, block]) =>
      Object.keys(block ?? {}).map((name) => `guards.${tool}.${name}`),
    ),
    ...Object.keys(responseFilters ?? {}).map((name) => `responseFilters.${name}`),
  ]
}
