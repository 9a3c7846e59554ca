/**
 * Obligations: what a permit asks of those who carry it out, written as annotations. Checked when a
 * policy is loaded: an unknown annotation is an error, so a misspelt limit can never be a missing one.
 */
import { VestryError } from '@vestry/contract/errors'
import { LinearPattern } from './text-pattern/linear-pattern.ts'

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
  /** Numeric parameters by name: a larger value is lowered to this one. */
  caps: Record<string, number>
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
  caps: readonly (readonly [name: string, most: number])[]
}

export type NumberName = keyof typeof NUMBERS
export type FlagName = keyof typeof FLAGS
export type ListName = keyof typeof LISTS

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

const ANY_TEXT = /./s
/** Marks a pattern among the texts of `@block`. */
const PATTERN_PREFIX = 're:'

/** Annotation → the form of each member. */
const LISTS = {
  redact: ANY_TEXT,
  /** `field:length` */
  truncate: /^.+:\d{1,15}$/s,
  pii: /^(?:email|phone|ssn|credit_card)$/,
  block: ANY_TEXT,
  approve: /^[A-Za-z][A-Za-z0-9_-]*$/,
  on_reflection: /^block$/,
  response_headers: /^[a-z0-9!#$%&'*+.^_`|~-]+$/,
  pin_sha256: /^[0-9a-f]{64}$/,
} as const

const OTHERS = ['rate', 'quota', 'cap']

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
  const duties: Duties = { numbers: {}, flags: {}, lists: {}, rates: [], quotas: [], caps: [] }
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
    else if (name === 'cap') duties.caps = parseCaps(value, refuse)
    else if (name === 'rate') duties.rates = parseRates(policy, value, refuse)
    else duties.quotas = parseQuotas(policy, value, refuse)
  }
  for (const text of duties.lists.block ?? []) checkBlockPattern(policy, text)
  return duties
}

/** A pattern that could not be run would withhold every reply. */
function checkBlockPattern(policy: string, text: string): void {
  if (text.startsWith(PATTERN_PREFIX))
    inPolicyOf(policy, () => new LinearPattern(text.slice(PATTERN_PREFIX.length)))
}

function inPolicyOf(policy: string, check: () => unknown): void {
  try {
    check()
  } catch (cause) {
    if (!(cause instanceof VestryError)) throw cause
    throw new VestryError('POLICY_INVALID', `Policy "${policy}": @block: ${cause.message}`, {
      ...(cause.hint !== undefined && { hint: cause.hint }),
      context: { policy, annotation: 'block' },
      cause,
    })
  }
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
  const list = value.split(',').map((part) => unescaped(part.trim()))
  for (const part of list) if (!form.test(part)) throw refuse(`cannot hold "${part}"`)
  return [...new Set(list)]
}

/** A member of a comma list that may hold commas itself. */
export function listMember(text: string): string {
  const plain = text.replaceAll('%', '%25').replaceAll(',', '%2C')
  // A space at either end would be taken for one between members.
  return plain.replace(/^\s+|\s+$/g, encodeURIComponent)
}

/** What is no escape stands for itself. */
function unescaped(member: string): string {
  return member.replace(/(?:%[0-9A-Fa-f]{2})+/g, (octets) => {
    try {
      return decodeURIComponent(octets)
    } catch {
      return octets
    }
  })
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

function parseCaps(value: string, refuse: Refuse): [string, number][] {
  return value.split(',').map((part) => {
    const match = /^([a-z][a-z0-9_]{0,63}) (\d{1,15})$/.exec(part.trim())
    const [, name = '', most = ''] = match ?? []
    if (match === null) throw refuse(`cannot hold "${part.trim()}"`, 'Write "max_tokens 500".')
    return [name, Number(most)]
  })
}

function isKnown(name: string): boolean {
  return isNumber(name) || isFlag(name) || isList(name) || OTHERS.includes(name)
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
  return [NUMBERS, FLAGS, LISTS].flatMap((table) => Object.keys(table)).concat(OTHERS)
}
