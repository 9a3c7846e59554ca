/**
 * What a vault rule may not say (wire contract §13.5), and the checked form of one that may stand. Pure; all
 * problems of a rule are found at once.
 */
import { VestryError } from '@vestry/contract/errors'
import { OPERATION_ALIASES, OPERATIONS } from './actions.ts'
import { parseIp } from './cedar/ip.ts'
import { CedarError } from './cedar/value.ts'
import { parseGlob } from './glob.ts'
import { type HostPattern, parseHostPattern } from './host.ts'
import type { VaultRuleInput as Input, VaultRule } from './vault-rule.ts'
import { DAYS, parseInstant, weekly } from './window.ts'

export interface RuleLimits {
  /** Seconds; no rule may grant a lease for longer. */
  maxTtl: number
  /** The operator confirmed that `*` among actions or hosts is meant. */
  understood: boolean
  /** Whether some credential under these globs lists hosts of its own. Absent: none does. */
  hostsSupplied?: (resources: readonly string[]) => boolean
}

export interface Problem {
  /** Where in the rule, e.g. `['conditions', 'hours', 'tz']`. */
  path: (string | number)[]
  message: string
}

/** What a deny rule cannot say, because only an allow rule could carry it out. */
const ALLOW_ONLY = [
  'allow_http',
  'allow_redirects',
  'allow_agent_auth',
  'max_response_bytes',
  'response_headers_allow',
  'on_reflection',
  'pin_sha256',
  'require_approval',
  'max_ttl',
  'max_lease_ttl',
  'default_ttl',
  'max_lifetime',
  'max_uses',
  'renewable',
  'rate',
] as const satisfies (keyof Input)[]

/**
 * Checks one parsed rule.
 *
 * @returns Every problem at once, and warnings: things that are legal and probably not meant.
 */
export function checkRule(
  input: Input,
  limits: RuleLimits,
): { rule?: VaultRule; problems: Problem[]; warnings: Problem[] } {
  const problems: Problem[] = []
  const warnings: Problem[] = []
  /** Runs a parser and files its refusal under the field it came from. */
  const at = <T>(path: Problem['path'], parse: () => T): T | undefined => {
    try {
      return parse()
    } catch (error) {
      if (!(error instanceof VestryError)) throw error
      problems.push({
        path,
        message: error.hint ? `${error.message} (${error.hint})` : error.message,
      })
      return undefined
    }
  }
  const refuse = (path: Problem['path'], message: string): void => {
    problems.push({ path, message })
  }

  const principals = principalsOf(input, at, refuse)
  for (const [i, resource] of input.resources.entries()) {
    at(['resources', i], () => parseGlob(resource))
  }
  const actions = actionsOf(input, limits, refuse)
  const hosts = hostsOf(input, limits, at, refuse)
  const conditions = conditionsOf(input, at)
  checkPeriod(conditions, refuse)
  checkLists(input, refuse)
  const maxTtl = alias(input, 'max_ttl', 'max_lease_ttl', refuse)
  const types = alias(input.selectors ?? {}, 'types', 'type', refuse, 'selectors')
  checkTtls(input, maxTtl, limits, refuse)
  if (input.effect === 'deny') checkDeny(input, refuse, warnings)
  else checkSending(input, actions, hosts, limits, refuse, warnings)
  if (problems.length > 0) return { problems, warnings }

  const rule: VaultRule = {
    name: input.name,
    effect: input.effect,
    enabled: input.enabled,
    principals,
    resources: input.resources,
    actions,
    selectors: { types: types ?? [], tags: input.selectors?.tags ?? [] },
    ...conditions,
    requireReason: input.conditions?.require_reason ?? false,
    hosts: input.hosts ?? [],
    methods: (input.methods ?? []).map((method) => method.toUpperCase()),
    contentTypes: (input.content_types ?? []).map((type) => type.toLowerCase()),
    allowHttp: input.allow_http ?? false,
    allowRedirects: input.allow_redirects ?? false,
    allowAgentAuth: input.allow_agent_auth ?? false,
    headerTypes: input.header_types ?? [],
    headerNames: (input.header_names ?? []).map((name) => name.toLowerCase()),
    algorithms: input.algorithms ?? [],
    ...defined({
      description: input.description,
      requireApproval: input.require_approval ? 'operator' : undefined,
      maxRequestBytes: input.max_request_bytes,
      maxResponseBytes: input.max_response_bytes,
      responseHeaders: input.response_headers_allow?.map((name) => name.toLowerCase()),
      onReflection: input.on_reflection,
      pinSha256: input.pin_sha256?.map((pin) => pin.toLowerCase()),
      maxDataBytes: input.max_data_bytes,
      maxTtl,
      defaultTtl: input.default_ttl,
      maxLifetime: input.max_lifetime,
      maxUses: input.max_uses,
      renewable: input.renewable,
      rate:
        input.rate &&
        defined({
          perSecond: input.rate.per_second,
          burst: input.rate.burst,
          perDay: input.rate.per_day,
        }),
    }),
  }
  return { rule, problems, warnings }
}

type At = <T>(path: Problem['path'], parse: () => T) => T | undefined
type Refuse = (path: Problem['path'], message: string) => void

function principalsOf(input: Input, at: At, refuse: Refuse): string[] {
  const field = input.principals === undefined ? 'principal' : 'principals'
  const listed = alias(input, 'principals', 'principal', refuse)
  if (listed === undefined) refuse(['principals'], 'is missing: name at least one agent')
  return (listed ?? []).map((principal, i) => {
    const glob = principal.startsWith('agent:') ? principal.slice('agent:'.length) : ''
    if (glob === '') {
      refuse(
        [field, i],
        `"${principal}" must be agent:<name or glob>; operators are never principals`,
      )
    } else if (glob.includes('/') || glob.includes('{{')) {
      refuse([field, i], `"${principal}" can match no agent name`)
    } else at([field, i], () => parseGlob(glob))
    return glob
  })
}

const PLAIN_ACTIONS = ['list', 'retrieve', 'use', 'use:*', 'unwrap', 'store', '*']

function actionsOf(input: Input, limits: RuleLimits, refuse: Refuse): string[] {
  const actions = input.actions.map((action, i) => {
    const op = action.startsWith('use:') ? action.slice('use:'.length) : ''
    const named = OPERATION_ALIASES[op] ?? op
    if (PLAIN_ACTIONS.includes(action)) return action
    if (op !== '' && OPERATIONS.includes(named)) return `use:${named}`
    const legal = [...PLAIN_ACTIONS, ...OPERATIONS.map((name) => `use:${name}`)]
    refuse(['actions', i], `"${action}" is not an action; use one of ${legal.join(', ')}`)
    return action
  })
  if (actions.includes('*') && input.effect === 'allow' && !limits.understood) {
    refuse(
      ['actions'],
      'grants everything with "*"; list the actions, or confirm with --i-understand',
    )
  }
  return [...new Set(actions)]
}

function hostsOf(input: Input, limits: RuleLimits, at: At, refuse: Refuse): HostPattern[] {
  return (input.hosts ?? []).flatMap((host, i) => {
    const pattern = at(['hosts', i], () => parseHostPattern(host))
    if (pattern?.match === 'any' && input.effect === 'allow' && !limits.understood) {
      refuse(
        ['hosts', i],
        'lets the secret go to any host; list the hosts, or confirm with --i-understand',
      )
    }
    return pattern ?? []
  })
}

type Conditions = Pick<VaultRule, 'hours' | 'transports' | 'sourceCidrs'> &
  Partial<Pick<VaultRule, 'notBeforeMs' | 'notAfterMs' | 'expiresAtMs'>>

function conditionsOf(input: Input, at: At): Conditions {
  const conditions = input.conditions ?? {}
  const hours = conditions.hours === undefined ? [] : [conditions.hours].flat()
  const cidrs = [
    ...(conditions.source_cidrs ?? []),
    ...(conditions.source_cidr ? [conditions.source_cidr] : []),
  ]
  const instant = (path: Problem['path'], value: string | undefined): number | undefined =>
    value === undefined ? undefined : at(path, () => parseInstant(value))
  return {
    hours: hours.flatMap(
      ({ days, from, to, tz }) =>
        at(['conditions', 'hours'], () => weekly(days ?? DAYS, from, to, tz)) ?? [],
    ),
    transports: conditions.transports ?? [],
    sourceCidrs: cidrs.flatMap(
      (cidr) => at(['conditions', 'source_cidrs'], () => checkCidr(cidr)) ?? [],
    ),
    ...defined({
      notBeforeMs: instant(['conditions', 'not_before'], conditions.not_before),
      notAfterMs: instant(['conditions', 'not_after'], conditions.not_after),
      expiresAtMs: instant(['expires_at'], input.expires_at),
    }),
  }
}

function checkPeriod({ notBeforeMs, notAfterMs, expiresAtMs }: Conditions, refuse: Refuse): void {
  if (notBeforeMs === undefined) return
  if (notAfterMs !== undefined && notAfterMs <= notBeforeMs) {
    refuse(['conditions', 'not_after'], 'is not after not_before, so the rule would never hold')
  }
  if (expiresAtMs !== undefined && expiresAtMs <= notBeforeMs) {
    refuse(['expires_at'], 'is not after not_before, so the rule would never hold')
  }
}

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']
const TOKEN = /^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/

function checkLists(input: Input, refuse: Refuse): void {
  input.methods?.forEach((method, i) => {
    if (!METHODS.includes(method.toUpperCase())) {
      refuse(['methods', i], `"${method}" is not one of ${METHODS.join(', ')}`)
    }
  })
  for (const field of ['header_names', 'response_headers_allow'] as const) {
    input[field]?.forEach((name, i) => {
      if (!TOKEN.test(name)) refuse([field, i], `"${name}" is not a header name`)
    })
  }
  input.content_types?.forEach((type, i) => {
    const [kind = '', subtype = '', ...rest] = type.split('/')
    if (!TOKEN.test(kind) || !TOKEN.test(subtype) || rest.length > 0) {
      refuse(['content_types', i], `"${type}" is not a media type such as application/json`)
    }
  })
  input.pin_sha256?.forEach((pin, i) => {
    if (!/^[0-9a-fA-F]{64}$/.test(pin)) refuse(['pin_sha256', i], 'must be 64 hex digits')
  })
}

function checkTtls(
  input: Input,
  maxTtl: number | undefined,
  limits: RuleLimits,
  refuse: Refuse,
): void {
  const field = input.max_ttl === undefined ? 'max_lease_ttl' : 'max_ttl'
  if (maxTtl !== undefined && maxTtl > limits.maxTtl) {
    refuse([field], `is above the global maximum of ${limits.maxTtl} seconds`)
  }
  const ceiling = Math.min(maxTtl ?? limits.maxTtl, limits.maxTtl)
  if (input.default_ttl !== undefined && input.default_ttl > ceiling) {
    refuse(['default_ttl'], `is above the maximum of ${ceiling} seconds`)
  }
  if (input.rate && input.rate.per_second === undefined && input.rate.per_day === undefined) {
    refuse(['rate'], 'needs per_second or per_day')
  }
  if (input.rate?.burst !== undefined && input.rate.per_second === undefined) {
    refuse(['rate', 'burst'], 'needs per_second')
  }
}

function checkDeny(input: Input, refuse: Refuse, warnings: Problem[]): void {
  for (const field of ALLOW_ONLY) {
    if (input[field] !== undefined) refuse([field], 'has no meaning on a deny rule')
  }
  if (input.conditions?.require_reason !== undefined) {
    refuse(['conditions', 'require_reason'], 'has no meaning on a deny rule')
  }
  if (input.expires_at !== undefined) {
    warnings.push({
      path: ['expires_at'],
      message: 'is ignored: a deny rule stays in force until it is removed',
    })
  }
}

/**
 * A request needs a host list on the rule or on the credential. Only a rule that says `http_request`
 * outright is refused for want of one: `use` on a signing key never meant to send anything.
 */
function checkSending(
  input: Input,
  actions: readonly string[],
  hosts: readonly HostPattern[],
  limits: RuleLimits,
  refuse: Refuse,
  warnings: Problem[],
): void {
  const grants = ['use:http_request', 'use', 'use:*', '*'].find((action) =>
    actions.includes(action),
  )
  const warn = (message: string): void => {
    warnings.push({ path: ['hosts'], message })
  }
  if (grants === undefined) {
    if (hosts.length > 0) warn('has no effect: no action of this rule sends a request')
  } else if (input.hosts === undefined) {
    if (grants !== 'use:http_request') {
      warn(
        `is missing: http_request (part of "${grants}") works only where a credential lists hosts`,
      )
    } else if (limits.hostsSupplied?.(input.resources)) {
      warn('is missing: only hosts that a credential itself allows can be reached')
    } else {
      refuse(['hosts'], 'is missing, and no credential under these resources lists hosts either')
    }
  }
  if (hosts.some((host) => host.port === 80) && !input.allow_http) {
    warn('names port 80, which needs allow_http: true')
  }
}

/** @throws VestryError `POLICY_INVALID` for anything but an address or `address/bits`. */
function checkCidr(text: string): string {
  const range = parseIp(text)
  if (range instanceof CedarError) {
    throw new VestryError('POLICY_INVALID', `"${text}" is not an address range`, {
      hint: 'Write 10.0.0.0/8 or fd00::/8.',
    })
  }
  return text
}

/** The one of two spellings that was used; using both is a contradiction waiting to happen. */
function alias<T extends object, A extends keyof T & string, B extends keyof T & string>(
  input: T,
  name: A,
  other: B,
  refuse: Refuse,
  parent?: string,
): T[A] | T[B] | undefined {
  if (input[name] !== undefined && input[other] !== undefined) {
    refuse(parent ? [parent, other] : [other], `is another name for ${name}; give only one of them`)
  }
  return input[name] ?? input[other]
}

/** Leaves out what is undefined, so that an absent field is absent. */
function defined<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  const kept = Object.entries(fields).filter(([, value]) => value !== undefined)
  return Object.fromEntries(kept) as { [K in keyof T]?: Exclude<T[K], undefined> } // kept only those
}
