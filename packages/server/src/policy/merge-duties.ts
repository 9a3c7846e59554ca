/** The obligations of a decision: those of all satisfied permits together, the narrowest value winning. */
import type {
  Duties,
  FlagName,
  ListName,
  NumberName,
  Obligations,
  UseObligation,
} from './obligations.ts'

/** @param satisfied The duties of every permit that holds, with its policy id. */
export function mergeDuties(satisfied: readonly { id: string; duties: Duties }[]): Obligations {
  const all = satisfied.map(({ duties }) => duties)
  const min = (name: NumberName): number | undefined => {
    const values = all.flatMap(({ numbers }) => numbers[name] ?? [])
    return values.length === 0 ? undefined : Math.min(...values)
  }
  const any = (name: FlagName): boolean => all.some(({ flags }) => flags[name] === true)
  const union = (name: ListName): string[] => [
    ...new Set(all.flatMap(({ lists }) => lists[name] ?? [])),
  ]
  const merged: Obligations = {
    renewable: all.every(({ flags }) => flags.renewable !== false),
    rates: all.flatMap(({ rates }) => rates),
    quotas: all.flatMap(({ quotas }) => quotas),
    approve: satisfied.flatMap(({ id, duties }) =>
      (duties.lists.approve ?? []).map((by) => ({ policy: id, by })),
    ),
    requireReason: any('require_reason'),
    redact: union('redact'),
    truncate: union('truncate'),
    pii: union('pii'),
    block: union('block'),
    caps: lowestCaps(all.flatMap(({ caps }) => caps)),
  }
  const maxTtl = min('max_ttl')
  if (maxTtl !== undefined) merged.maxTtl = maxTtl
  const defaultTtl = min('default_ttl')
  if (defaultTtl !== undefined) merged.defaultTtl = defaultTtl
  const maxLifetime = min('max_lifetime')
  if (maxLifetime !== undefined) merged.maxLifetime = maxLifetime
  const maxUses = min('max_uses')
  if (maxUses !== undefined) {
    merged.maxUses = maxUses
    merged.uses = satisfied.flatMap(({ id, duties }) => usesOf(id, duties))
  }
  const maxResponseBytes = min('max_response_bytes')
  if (maxResponseBytes !== undefined) merged.maxResponseBytes = maxResponseBytes
  // A permit that lists no header lets none through; one that pins no key accepts any.
  const responseHeaders = intersection(all, 'response_headers', [])
  if (responseHeaders !== undefined) merged.responseHeaders = responseHeaders
  const pins = intersection(all, 'pin_sha256', undefined)
  if (pins !== undefined) merged.pinSha256 = pins
  if (union('on_reflection').includes('block')) merged.onReflection = 'block'
  if (all.length > 0 && all.every(({ flags }) => flags.allow_agent_auth === true)) {
    merged.allowAgentAuth = true
  }
  if (any('allow_http')) merged.allowHttp = true
  if (any('allow_redirects')) merged.allowRedirects = true
  return merged
}

function lowestCaps(all: Duties['caps']): Record<string, number> {
  const caps: Record<string, number> = {}
  for (const [name, most] of all) caps[name] = Math.min(caps[name] ?? most, most)
  return caps
}

function usesOf(policy: string, { numbers }: Duties): UseObligation[] {
  const { max_uses: limit, max_lifetime: lifetime } = numbers
  if (limit === undefined) return []
  return [{ policy, limit, ...(lifetime !== undefined && { lifetime }) }]
}

/** @param absent What a permit without the list stands for; undefined: it does not take part. */
function intersection(
  all: readonly Duties[],
  name: ListName,
  absent: readonly string[] | undefined,
): string[] | undefined {
  if (all.every(({ lists }) => lists[name] === undefined)) return undefined
  let common: string[] | undefined
  for (const { lists } of all) {
    const list = lists[name] ?? absent
    if (list === undefined) continue
    common = common === undefined ? [...list] : common.filter((member) => list.includes(member))
  }
  return common
}
