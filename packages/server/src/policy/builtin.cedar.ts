/**
 * Policies that are always in force. Operators are permitted by role; what a proof carries only ever
 * narrows; a credential's own host list binds whatever the rules say, and so does the operator's list of
 * domains for fetching. Agents are permitted what a registered run was granted, and to run themselves.
 * `builtin-json.ts` holds the compiled form; a test keeps the two equal.
 */
import { ACTIONS, AGENT_RUN, MCP_CALL, TOOL_CALL, withGroups } from './actions.ts'
import { MODEL_RANKS } from './model-ranks.ts'
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

/** Whoever administers may try out what they set up. */
function operatorsRun(role: string): string {
  return `
@id("builtin:${role}-runs")
permit (
  principal is Operator in Role::"${role}",
  action in [Action::"mcp:*", Action::"agent:*", Action::"workflow:*", Action::"knowledge:*"],
  resource
);

@id("builtin:${role}-requests")
permit (
  principal is Operator in Role::"${role}",
  action == Action::"${TOOL_CALL}",
  resource in Tool::"http"
);
`
}

const RUN_ITSELF = `
@id("builtin:run-itself")
@description("the key of an agent starts that agent")
@clauses("itself")
permit (principal is Agent, action == Action::"${AGENT_RUN}", resource is Agent)
when { principal == resource };
`

const OWN_KNOWLEDGE = `
@id("builtin:own-knowledge")
@clauses("own")
permit (principal is Agent, action in Action::"knowledge:*", resource is Knowledge)
when { resource has owner && resource.owner == principal };

// What has a label takes a policy that says who may read it.
@id("builtin:shared-knowledge")
@clauses("shared,unlabelled")
permit (principal is Agent, action == Action::"knowledge:search", resource is Knowledge)
when { !(resource has owner) }
when { resource.labels.isEmpty() };

@id("builtin:others-knowledge")
@reason("not_yours")
@clauses("others")
@description("it is the own knowledge of another agent")
forbid (principal is Agent, action in Action::"knowledge:*", resource is Knowledge)
when { resource has owner && resource.owner != principal };
`

/** Stands in a decision as `run:<id>`: registering the run was the grant. */
export const RUN_GRANT = 'builtin:run'

const RUNS = `
@id("${RUN_GRANT}")
@clauses("run,models")
permit (principal is Agent, action in Action::"llm:*", resource is Model)
when { context has run && context has run_models }
when { context.run_models.contains(resource.ref) };
`

const MODEL_FORBIDS: readonly Forbid[] = [
  {
    name: 'run-scope',
    rank: MODEL_RANKS.scope,
    reason: 'scope_not_allowed',
    description: 'the run has no scope for calling models',
    when: 'context.holds.contains("scope_missing")',
  },
  {
    name: 'run-providers',
    rank: MODEL_RANKS.provider,
    reason: 'provider_not_allowed',
    description: 'the run is not permitted to use this provider',
    when: 'context has run_providers && !context.run_providers.contains(resource.provider)',
  },
  {
    name: 'run-category',
    rank: MODEL_RANKS.category,
    reason: 'category_not_allowed',
    description: 'the category is not one that this route serves',
    when: 'context.holds.contains("category_unknown")',
  },
  {
    name: 'run-models',
    rank: MODEL_RANKS.model,
    reason: 'model_not_allowed',
    description: 'the run is not permitted to use this model for this category',
    when: '!(context has run_models && context.run_models.contains(resource.ref))',
  },
]

interface Forbid {
  name: string
  rank: number
  reason: string
  description: string
  when: string
}

const TOKEN_FORBIDS: readonly Forbid[] = [
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
]

const TOOL_FORBIDS: readonly Forbid[] = [
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

const ON_TOOLS = `action == Action::"${TOOL_CALL}", resource`
/** What a token covers binds wherever it is shown. */
const ON_ALL_TOOLS = `action in [Action::"${TOOL_CALL}", Action::"${MCP_CALL}"], resource is Tool`
const ON_MODELS = 'action in Action::"llm:*", resource is Model'

function forbidOn(scope: string): (forbid: Forbid) => string {
  return ({ name, rank, reason, description, when }) => `
@id("builtin:${name}")
@rank("${rank}")
@reason("${reason}")
@clauses("${name}")
@description("${description}")
forbid (principal, ${scope})
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
  ...['owner', 'admin'].map(operatorsRun),
  RUN_ITSELF,
  OWN_KNOWLEDGE,
  ...TOKEN_FORBIDS.map(forbidOn(ON_ALL_TOOLS)),
  ...TOOL_FORBIDS.map(forbidOn(ON_TOOLS)),
  RUNS,
  ...MODEL_FORBIDS.map(forbidOn(ON_MODELS)),
  ...ACTIONS.map(scopeForbid),
].join('')
