/**
 * Policies that are always in force. Operators are permitted by role; what a proof carries only ever
 * narrows; a credential's own host list binds whatever the rules say, and so does the operator's list of
 * domains for fetching. Nothing here permits an agent.
 * `builtin-json.ts` holds the compiled form; a test keeps the two equal.
 */
import { ACTIONS, TOOL_CALL, withGroups } from './actions.ts'
import { TOOL_RANKS } from './tool-ranks.ts'

const ROLES_AND_HOSTS = `
@id("builtin:owner")
permit (principal is Operator in Role::"owner", action in Action::"admin:*", resource is System);

// No seal slots, no root key.
@id("builtin:admin")
permit (
  principal is Operator in Role::"admin",
  action in [Action::"admin:read", Action::"admin:write", Action::"admin:approve"],
  resource is System
);

@id("builtin:auditor")
permit (principal is Operator in Role::"auditor", action == Action::"admin:read", resource is System);

@id("builtin:approver")
permit (
  principal is Operator in Role::"approver",
  action == Action::"admin:approve",
  resource is System
);

@id("builtin:credential-hosts")
@reason("host_not_allowed")
@clauses("host")
@description("the credential lists the hosts it may be sent to, and this is none of them")
forbid (principal, action == Action::"vault:use:http_request", resource)
when { context has credential_hosts && context.credential_hosts == "mismatch" };
`

interface ToolForbid {
  name: string
  rank: number
  reason: string
  description: string
  when: string
}

const TOOL_FORBIDS: readonly ToolForbid[] = [
  {
    name: 'token-tools',
    rank: TOOL_RANKS.tokenTools,
    reason: 'TOKEN_SCOPE',
    description: 'the presented token does not cover this tool',
    when: 'context has token_tools && !(context.token_tools.contains(resource.tool) || context.token_tools.contains("*"))',
  },
  {
    name: 'token-permissions',
    rank: TOOL_RANKS.tokenPermissions,
    reason: 'TOKEN_PERMISSION',
    description: 'the presented token does not carry a permission for this action',
    when: 'context has token_permissions && !context.token_permissions.containsAny(resource.permissions)',
  },
  {
    name: 'intent-conflict',
    rank: TOOL_RANKS.intentMismatch,
    reason: 'INTENT_MISMATCH',
    description: 'the call names two intents that differ',
    when: 'context.holds.contains("intent_conflict")',
  },
  {
    name: 'domain-off-list',
    rank: TOOL_RANKS.domainNotAllowed,
    reason: 'DOMAIN_NOT_ALLOWED',
    description: 'the tool may not fetch from this domain',
    when: 'context.holds.contains("domain_off_list")',
  },
]

function toolForbid({ name, rank, reason, description, when }: ToolForbid): string {
  return `
@id("builtin:${name}")
@rank("${rank}")
@reason("${reason}")
@clauses("${name}")
@description("${description}")
forbid (principal, action == Action::"${TOOL_CALL}", resource)
when { ${when} };
`
}

/** Cedar cannot ask for an action's name, so each action has its own copy of the same sentence. */
function scopeForbid(action: string): string {
  const covered = withGroups(action).map((name) => JSON.stringify(name))
  return `
@id("builtin:scope:${action}")
@reason("outside_scope")
@clauses("scope")
@description("the presented key or token does not cover this action")
forbid (principal, action == Action::"${action}", resource)
when { context has scope && !context.scope.containsAny([${covered.join(', ')}]) };
`
}

export const BUILTIN_CEDAR = [
  ROLES_AND_HOSTS,
  ...TOOL_FORBIDS.map(toolForbid),
  ...ACTIONS.map(scopeForbid),
].join('')
