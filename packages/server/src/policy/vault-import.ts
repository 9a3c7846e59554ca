/**
 * Translates one vault rule to one Cedar policy. Principal, resource and action become the scope, so
 * the policy is found by index; each condition becomes its own `when`, in a fixed order and named by
 * `@clauses`, so a refusal can say which one failed; limits and duties become annotations.
 */
import { OPERATIONS } from './actions.ts'
import { cedarString } from './cedar/expression.ts'
import type { VaultRule } from './vault-rule.ts'
import { formatWindow } from './window.ts'

export const VAULT_PREFIX = 'vault:'

/** Cedar text of the policy `vault:<name>`. */
export function vaultRuleToCedar(rule: VaultRule): string {
  const clauses = clausesOf(rule)
  const notes: [string, string][] = [['id', `${VAULT_PREFIX}${rule.name}`]]
  if (rule.description !== undefined) notes.push(['description', rule.description])
  if (clauses.length > 0) notes.push(['clauses', clauses.map(({ name }) => name).join(',')])
  if (rule.effect === 'allow') notes.push(...obligationsOf(rule))
  else notes.push(['reason', 'denied_by_rule'])
  return [
    ...notes.map(([name, value]) => `@${name}(${cedarString(value)})`),
    `${rule.effect === 'allow' ? 'permit' : 'forbid'} (`,
    `  principal in AgentGlob::${cedarString(rule.principals.join(','))},`,
    `  action in [${cedarActions(rule.actions).map(action).join(', ')}],`,
    `  resource in PathGlob::${cedarString(rule.resources.join(','))}`,
    ')',
    ...clauses.map(({ test }) => `when { ${test} }`),
  ]
    .join('\n')
    .concat(';\n')
}

/**
 * The Cedar actions of a rule's list. `use` covers what never reveals the secret; together with
 * `retrieve`, which reveals it anyway, it also covers `http_header`.
 */
export function cedarActions(actions: readonly string[]): string[] {
  const named = actions.map((name) => `vault:${name}`)
  if (actions.includes('use') && actions.includes('retrieve')) named.push('vault:use:http_header')
  return [...new Set(named)].sort()
}

interface Clause {
  name: string
  test: string
}

/** Only what the rule states. The order is the order in which failures count as closer. */
function clausesOf(rule: VaultRule): Clause[] {
  const clauses: Clause[] = []
  const add = (name: string, test: string): void => {
    clauses.push({ name, test })
  }
  const { types, tags } = rule.selectors
  if (types.length > 0) add('selectors', `resource has type && ${oneOf('resource.type', types)}`)
  if (tags.length > 0) add('selectors', `resource.tags.containsAll(${set(tags)})`)

  if (rule.notBeforeMs !== undefined) add('period', `context.now >= ${datetime(rule.notBeforeMs)}`)
  if (rule.notAfterMs !== undefined) add('period', `context.now < ${datetime(rule.notAfterMs)}`)
  if (rule.expiresAtMs !== undefined && rule.effect === 'allow') {
    add('expiry', `context.now < ${datetime(rule.expiresAtMs)}`)
  }
  if (rule.hours.length > 0) {
    const windows = rule.hours.map((hours) => `Window::${cedarString(formatWindow(hours))}`)
    add('hours', `context.clock in [${windows.join(', ')}]`)
  }
  if (rule.transports.length > 0) add('transport', known('transport', rule.transports))
  if (rule.sourceCidrs.length > 0) {
    const ranges = rule.sourceCidrs.map((cidr) => `context.source_ip.isInRange(ip("${cidr}"))`)
    add('source', `context has source_ip && (${ranges.join(' || ')})`)
  }
  clauses.push(...operationClauses(rule))
  return clauses
}

const SENDS = ['http_request']
const USES_HEADER = ['http_request', 'http_header']
const CRYPTO = OPERATIONS.filter((operation) => !USES_HEADER.includes(operation))

/** Limits that hold for some operations only: each clause is true for every other action. */
function operationClauses(rule: VaultRule): Clause[] {
  const clauses: Clause[] = []
  const covered = cedarActions(rule.actions)
  const add = (name: string, operations: readonly string[], test: string): void => {
    const concerned = operations.filter((operation) => covers(covered, operation))
    if (concerned.length === 0) return
    const actions = concerned.map((operation) => action(`vault:use:${operation}`))
    const guard = `!(action in [${actions.join(', ')}])`
    clauses.push({ name, test: `${guard} || (${test})` })
  }
  if (rule.hosts.length > 0) {
    const hosts = cedarString(rule.hosts.join(','))
    add('host', SENDS, `context has host && context.host in HostGlob::${hosts}`)
  } else if (rule.effect === 'allow') {
    // Without a list on the rule the credential must bind the destination itself.
    const bound = 'context has credential_hosts && context.credential_hosts == "match"'
    add('host', SENDS, bound)
  }
  if (rule.effect === 'allow') {
    if (!rule.allowHttp)
      add('cleartext', SENDS, 'context has host && context.host.scheme == "https"')
    if (!rule.allowRedirects) add('redirect', SENDS, '!(context has redirect && context.redirect)')
  }
  if (rule.methods.length > 0) add('method', SENDS, known('method', rule.methods))
  if (rule.headerTypes.length > 0)
    add('header', USES_HEADER, known('header_type', rule.headerTypes))
  if (rule.headerNames.length > 0)
    add('header', USES_HEADER, known('header_name', rule.headerNames))
  if (rule.contentTypes.length > 0) {
    // A request without a body has no content type to object to.
    const empty = 'context has request_bytes && context.request_bytes == 0'
    add('content_type', SENDS, `(${empty}) || (${known('content_type', rule.contentTypes)})`)
  }
  if (rule.maxRequestBytes !== undefined) {
    add(
      'size',
      SENDS,
      `context has request_bytes && context.request_bytes <= ${rule.maxRequestBytes}`,
    )
  }
  if (rule.maxDataBytes !== undefined) {
    add('size', CRYPTO, `context has data_bytes && context.data_bytes <= ${rule.maxDataBytes}`)
  }
  if (rule.algorithms.length > 0) add('algorithm', CRYPTO, known('algorithm', rule.algorithms))
  return clauses
}

function covers(actions: readonly string[], operation: string): boolean {
  if (actions.includes(`vault:use:${operation}`)) return true
  if (actions.includes('vault:*') || actions.includes('vault:use:*')) return true
  return operation !== 'http_header' && actions.includes('vault:use')
}

function obligationsOf(rule: VaultRule): [string, string][] {
  const notes: [string, string][] = []
  const add = (name: string, value: string | number | boolean | undefined): void => {
    if (value !== undefined) notes.push([name, String(value)])
  }
  add('max_ttl', rule.maxTtl)
  add('default_ttl', rule.defaultTtl)
  add('max_lifetime', rule.maxLifetime)
  add('max_uses', rule.maxUses)
  add('renewable', rule.renewable)
  add('rate', rule.rate && formatRate(rule.rate))
  add('require_reason', rule.requireReason || undefined)
  add('approve', rule.requireApproval)
  add('max_response_bytes', rule.maxResponseBytes)
  add('response_headers', rule.responseHeaders?.join(','))
  add('on_reflection', rule.onReflection)
  add('pin_sha256', rule.pinSha256?.join(','))
  add('allow_agent_auth', rule.allowAgentAuth || undefined)
  add('allow_http', rule.allowHttp || undefined)
  add('allow_redirects', rule.allowRedirects || undefined)
  return notes
}

function formatRate(rate: NonNullable<VaultRule['rate']>): string {
  const parts: string[] = []
  if (rate.perSecond !== undefined) {
    const burst = rate.burst === undefined ? '' : ` burst ${rate.burst}`
    // toFixed: a tiny rate must not be written as 1e-7.
    parts.push(`${rate.perSecond.toFixed(9).replace(/\.?0+$/, '')}/s${burst}`)
  }
  if (rate.perDay !== undefined) parts.push(`${rate.perDay}/d`)
  return parts.join(', ')
}

function known(attribute: string, values: readonly string[]): string {
  return `context has ${attribute} && ${oneOf(`context.${attribute}`, values)}`
}

function oneOf(expression: string, values: readonly string[]): string {
  const [only] = values
  if (values.length === 1 && only !== undefined) return `${expression} == ${cedarString(only)}`
  return `${set(values)}.contains(${expression})`
}

function set(values: readonly string[]): string {
  return `[${values.map(cedarString).join(', ')}]`
}

function action(name: string): string {
  return `Action::${cedarString(name)}`
}

function datetime(ms: number): string {
  return `datetime("${new Date(ms).toISOString()}")`
}
