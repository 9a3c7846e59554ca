/**
 * Policies that are always in force. Operators are permitted by role; what a proof carries only ever
 * narrows; a credential's own host list binds whatever the rules say. Nothing here permits an agent.
 * `builtin-json.ts` holds the compiled form; a test keeps the two equal.
 */
import { ACTIONS, withGroups } from './actions.ts'

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

export const BUILTIN_CEDAR = ROLES_AND_HOSTS + ACTIONS.map(scopeForbid).join('')
