/**
 * Tells a person why a decision was what it was, from what was recorded when it was made: nothing is
 * decided anew. Raw inputs were not kept, so only what the record holds is shown.
 */
import { cedarString } from './cedar/expression.ts'

/** The parts of an audit record that this reads. */
export interface DecisionRecord {
  /** Epoch milliseconds. */
  timestamp: number
  actor: string
  action: string
  detail: string
  data?: Readonly<Record<string, unknown>> | undefined
  decision: RecordedDecision
  outcome?: { code: string } | undefined
}

export interface RecordedDecision {
  id: string
  allow: boolean
  policies: readonly string[]
  reason: string
  reason_code?: unknown
  /** `{policy, clause}` */
  closest?: unknown
  policy_set: string
}

/** The nearest change, by reason code, that would turn the answer round. */
const CHANGES: Readonly<Record<string, string>> = {
  no_matching_rule: 'a rule that names this agent, this path and this action',
  host_not_allowed: 'the host among the rule’s hosts, or among the credential’s allowed hosts',
  outside_hours: 'asking within the rule’s hours, or wider hours',
  outside_period: 'asking between not_before and not_after, or a longer period',
  rule_expired: 'a later expires_at',
  transport_not_allowed: 'connecting over a transport the rule lists',
  source_not_allowed: 'connecting from an address the rule lists',
  cleartext_not_allowed: 'https, or allow_http: true on the rule',
  redirect_not_allowed: 'not following redirects, or allow_redirects: true on the rule',
  method_not_allowed: 'a method the rule lists',
  header_not_allowed: 'a header type and name the rule lists',
  content_type_not_allowed: 'a content type the rule lists',
  too_large: 'a smaller request, or a higher limit on the rule',
  algorithm_not_allowed: 'an algorithm the rule lists',
  outside_scope: 'a key or token that covers this action',
  model_not_allowed: 'a run registered with this model for this category',
  provider_not_allowed: 'a run registered with this provider among its allowed_providers',
  category_not_allowed: 'a category that this route serves',
  scope_not_allowed: 'a run registered with the scope for calling models',
  SCOPE_NOT_ALLOWED: 'a policy whose scopes cover this tool and action, for this agent or its role',
  TOKEN_SCOPE: 'a token for this tool',
  TOKEN_PERMISSION: 'a token with a permission for this action',
  INTENT_MISMATCH: 'an intent the policy lists, named once',
  INTENT_REQUIRED: 'naming an intent',
  REQUEST_TOO_LARGE: 'smaller parameters, or a larger maxRequestSize',
  DOMAIN_BLOCKED: 'another domain, or a shorter list of blocked domains',
  DOMAIN_NOT_ALLOWED: 'a domain the policy and the tool allow, or longer lists',
  TIME_WINDOW: 'asking within the time window, or a wider one',
  SCHEDULE: 'asking on the days and hours of the schedule, or a wider one',
  policy_error: 'mending or removing the policy that could not be evaluated',
}

/**
 * @param policies The set that decided, by `PolicyStore.policySet`; undefined when it is not known here.
 * @returns Lines of plain text, the answer first.
 */
export function explainRecord(
  record: DecisionRecord,
  policies: readonly { id: string; text: string }[] | undefined,
): string {
  const { decision } = record
  const closest = closestOf(decision.closest)
  const lines = [
    `${decision.allow ? 'ALLOWED' : 'DENIED'}  ${record.actor}  ${record.detail}`,
    `  ${decision.reason}`,
    '',
    `decision    ${decision.id}`,
    `time        ${new Date(record.timestamp).toISOString()}`,
    `event       ${record.action}`,
    ...Object.entries(record.data ?? {}).map(
      ([name, value]) => `${name.padEnd(11)} ${plain(value)}`,
    ),
    ...(record.outcome === undefined ? [] : [`outcome     ${record.outcome.code}`]),
    `policy set  ${decision.policy_set}`,
    '',
    ...matched(decision),
  ]
  if (closest !== undefined) {
    lines.push(`nearest     "${closest.policy}": its condition "${closest.clause}" did not hold`)
  }
  if (!decision.allow) lines.push(`to change   ${change(decision, closest)}`)
  const shown = [...decision.policies, ...(closest === undefined ? [] : [closest.policy])]
  for (const id of new Set(shown)) {
    const text = policies && cedarOf(id, policies)
    if (text !== undefined) lines.push('', ...text.split('\n').map((line) => `    ${line}`))
  }
  if (policies === undefined)
    lines.push('', 'The policies of that time are not kept in this store.')
  return `${lines.join('\n')}\n`
}

/** A policy's own text, or its part of the text of the gateway policy it was made of. */
function cedarOf(
  id: string,
  policies: readonly { id: string; text: string }[],
): string | undefined {
  const whole = policies.find((policy) => policy.id === id)
  if (whole !== undefined) return whole.text
  const { text } = policies.find((policy) => id.startsWith(`${policy.id}/`)) ?? {}
  return text?.split('\n\n').find((part) => part.startsWith(`@id(${cedarString(id)})`)) ?? text
}

function matched({ allow, policies }: RecordedDecision): string[] {
  if (policies.length === 0) return ['matched     no policy']
  return policies.map((id) => `${allow ? 'permitted by' : 'forbidden by'} "${id}"`)
}

function change(decision: RecordedDecision, closest: { policy: string } | undefined): string {
  const code = typeof decision.reason_code === 'string' ? decision.reason_code : ''
  const [forbid] = decision.policies
  const known = CHANGES[code]
  if (forbid !== undefined && (known === undefined || code === 'no_matching_rule')) {
    return `narrow or remove "${forbid}"`
  }
  const where = closest === undefined ? '' : ` (policy "${closest.policy}")`
  return `${known ?? 'meet the condition, or change it'}${where}`
}

function closestOf(value: unknown): { policy: string; clause: string } | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  if (!('policy' in value && 'clause' in value)) return undefined
  const { policy, clause } = value
  return typeof policy === 'string' && typeof clause === 'string' ? { policy, clause } : undefined
}

function plain(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value)
}
