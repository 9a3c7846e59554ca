/**
 * Obligations: what a permit asks of those who carry it out, written as annotations. Checked when a
 * policy is loaded (an unknown annotation is an error, so a misspelt limit can never be a missing one)
 * and merged over all satisfied permits, the narrowest value winning.
 */
import { VestryError } from '@vestry/contract/errors'

/** What a decision asks of the stations behind it. Seconds, bytes and counts. */
export interface Obligations {
  maxTtl?: number
  defaultTtl?: number
  maxLifetime?: number
  maxUses?: number
  /** Each permit's own `max_uses`: uses are counted per permit. Absent: none has any. */
  uses?: UseObligation[]
  /** False as soon as one permit says so. */
  renewable: boolean
  rates: RateObligation[]
  quotas: QuotaObligation[]
  approve: { policy: string; by: string }[]
  requireReason: boolean
  maxResponseBytes?: number
  /** Lower-case names; absent: no permit lists any. */
  responseHeaders?: string[]
  onReflection?: 'block'
  redact: string[]
  truncate: string[]
  pii: string[]
  block: string[]
  /** Hex SHA-256 digests; every list must hold the peer's key, so an empty list accepts none. */
  pinSha256?: string[]
  /** True when every permit says so. */
  allowAgentAuth?: boolean
  /** At least one permit allows cleartext http. */
  allowHttp?: boolean
  /** At least one permit allows redirects to be followed. */
  allowRedirects?: boolean
}

export interface UseObligation {
  policy: string
  limit: number
  /** Seconds over which uses are counted; absent: the permit names no `max_lifetime`. */
  lifetime?: number
}

export interface RateObligation {
  policy: string
  perSecond?: number
  burst?: number
  perDay?: number
}

export interface QuotaObligation {
  policy: string
  limit: number
  windowSeconds: number
  sliding: boolean
}

/** The parsed annotations of one policy. */
export interface Duties {
  numbers: Partial<Record<NumberName, number>>
  flags: Partial<Record<FlagName, boolean>>
  lists: Partial<Record<ListName, readonly string[]>>
  rates: readonly RateObligation[]
  quotas: readonly QuotaObligation[]
}

type NumberName = keyof typeof NUMBERS
type FlagName = keyof typeof FLAGS
type ListName = keyof typeof LISTS

/** Annotation → what its value may be at least. The minimum over all permits binds. */
const NUMBERS = {
  max_ttl: 1,
  default_ttl: 1,
  max_lifetime: 1,
  max_uses: 1,
  max_response_bytes: 0,
} as const

const FLAGS = {
  renewable: true,
  require_reason: true,
  allow_agent_auth: true,
  allow_http: true,
  allow_redirects: true,
} as const

/** Annotation → the form of each member. */
const LISTS = {
  redact: /^\S[^,]*$/,
  truncate: /^\S[^,]*$/,
  pii: /^\S[^,]*$/,
  block: /^\S[^,]*$/,
  approve: /^[A-Za-z][A-Za-z0-9_-]*$/,
  on_reflection: /^block$/,
  response_headers: /^[a-z0-9!#$%&'*+.^_`|~-]+$/,
  pin_sha256: /^[0-9a-f]{64}$/,
} as const

/** These explain or order a policy and oblige nobody. */
const DESCRIPTIVE = new Set(['id', 'reason', 'rank', 'clauses', 'description'])

/**
 * @throws VestryError `POLICY_INVALID` for an unknown annotation, a malformed value, or an obligation
 *   on a forbid, which could never take effect.
 */
export function parseDuties(
  policy: string,
  effect: 'permit' | 'forbid',
  annotations: Readonly<Record<string, string | null>>,
): Duties {
  const duties: Duties = { numbers: {}, flags: {}, lists: {}, rates: [], quotas: [] }
  for (const [name, raw] of Object.entries(annotations)) {
    const value = raw ?? ''
    const refuse = (what: string, hint?: string): VestryError =>
      new VestryError('POLICY_INVALID', `Policy "${policy}": @${name} ${what}`, {
        ...(hint === undefined ? {} : { hint }),
        context: { policy, annotation: name },
      })
    if (name === 'rank' && !/^\d{1,6}$/.test(value)) throw refuse('must be a whole number')
    if (DESCRIPTIVE.has(name)) continue
    if (!isKnown(name)) throw refuse('is not a known annotation', `Known: ${known().join(', ')}.`)
    if (effect === 'forbid') throw refuse('has no effect on a forbid', 'Put it on a permit.')
    if (isNumber(name)) duties.numbers[name] = wholeNumber(value, NUMBERS[name], refuse)
    else if (isFlag(name)) duties.flags[name] = flag(value, refuse)
    else if (isList(name)) duties.lists[name] = members(value, LISTS[name], refuse)
    else if (name === 'rate') duties.rates = parseRates(policy, value, refuse)
    else duties.quotas = parseQuotas(policy, value, refuse)
  }
  return duties
}

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

type Refuse = (what: string, hint?: string) => VestryError

function wholeNumber(value: string, least: number, refuse: Refuse): number {
  const number = /^\d{1,15}$/.test(value) ? Number(value) : Number.NaN
  if (!(number >= least)) throw refuse(`must be a whole number of at least ${least}`)
  return number
}

function flag(value: string, refuse: Refuse): boolean {
  if (value !== 'true' && value !== 'false') throw refuse('must be "true" or "false"')
  return value === 'true'
}

function members(value: string, form: RegExp, refuse: Refuse): string[] {
  const list = value.split(',').map((part) => part.trim())
  for (const part of list) if (!form.test(part)) throw refuse(`cannot hold "${part}"`)
  return [...new Set(list)]
}

const UNIT_SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 }

function parseRates(policy: string, value: string, refuse: Refuse): RateObligation[] {
  return value.split(',').map((part) => {
    const match = /^(\d+(?:\.\d+)?)\/(s|m|h|d)(?: burst (\d+))?$/.exec(part.trim())
    const [, count = '', unit = '', burst] = match ?? []
    const amount = Number(count)
    if (match === null || !(amount > 0) || burst === '0') {
      throw refuse(`cannot hold "${part.trim()}"`, 'Write "5/s burst 20, 5000/d".')
    }
    if (unit === 'd' && burst === undefined) {
      if (!Number.isSafeInteger(amount)) throw refuse('needs a whole number per day')
      return { policy, perDay: amount }
    }
    return {
      policy,
      perSecond: amount / (UNIT_SECONDS[unit] ?? 1),
      burst: burst === undefined ? Math.max(1, Math.ceil(amount)) : Number(burst),
    }
  })
}

function parseQuotas(policy: string, value: string, refuse: Refuse): QuotaObligation[] {
  return value.split(',').map((part) => {
    const match = /^(\d{1,15})\/(\d{1,9})(s|m|h|d)(?: (sliding|fixed))?$/.exec(part.trim())
    const [, limit = '', length = '', unit = '', strategy] = match ?? []
    const windowSeconds = Number(length) * (UNIT_SECONDS[unit] ?? 1)
    if (match === null || windowSeconds === 0) {
      throw refuse(`cannot hold "${part.trim()}"`, 'Write "100/24h sliding" or "10/1h fixed".')
    }
    return { policy, limit: Number(limit), windowSeconds, sliding: strategy !== 'fixed' }
  })
}

function isKnown(name: string): boolean {
  return isNumber(name) || isFlag(name) || isList(name) || name === 'rate' || name === 'quota'
}

function isNumber(name: string): name is NumberName {
  return Object.hasOwn(NUMBERS, name)
}

function isFlag(name: string): name is FlagName {
  return Object.hasOwn(FLAGS, name)
}

function isList(name: string): name is ListName {
  return Object.hasOwn(LISTS, name)
}

function known(): string[] {
  return [NUMBERS, FLAGS, LISTS].flatMap((table) => Object.keys(table)).concat('rate', 'quota')
}
