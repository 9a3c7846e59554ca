/** The actions policies speak of, and which groups hold them. Must agree with the Cedar schema. */

/** Operations of `use` that never hand the secret to the caller (wire contract §7.1). */
export const SAFE_OPERATIONS = [
  'http_request',
  'sign',
  'verify',
  'encrypt',
  'decrypt',
  'rewrap',
  'jwt',
  'aws_sigv4',
] as const

/** The one operation whose result is the secret. */
export const REVEALING_OPERATIONS = ['http_header'] as const

export const OPERATIONS: readonly string[] = [...SAFE_OPERATIONS, ...REVEALING_OPERATIONS]

/** Older spellings (wire contract §7.1). */
export const OPERATION_ALIASES: Readonly<Record<string, string>> = { sign_payload: 'sign' }

/** The one action on tools; which one, and what of it, is the resource. */
export const TOOL_CALL = 'tool:call'

/** The one action on tools of MCP servers; a tool there is `mcp/<server>:<tool>`. */
export const MCP_CALL = 'mcp:call'

/** Starting an agent; which one is the resource. */
export const AGENT_RUN = 'agent:run'

/** Starting a workflow; which one is the resource. */
export const WORKFLOW_RUN = 'workflow:run'

/** The actions on knowledge: a class of items that have one owner, one kind of source and the same labels. */
export const KNOWLEDGE_ACTIONS = ['knowledge:search', 'knowledge:write'] as const

/** The actions on models. */
export const LLM_ACTIONS = ['llm:chat', 'llm:embed'] as const

/** Each action with its direct parent group. */
export const ACTION_GROUPS: ReadonlyMap<string, string> = new Map([
  ['vault:use:*', 'vault:*'],
  ['vault:use', 'vault:use:*'],
  ...['vault:list', 'vault:retrieve', 'vault:store', 'vault:unwrap'].map(inGroup('vault:*')),
  ...SAFE_OPERATIONS.map((op) => `vault:use:${op}`).map(inGroup('vault:use')),
  ...REVEALING_OPERATIONS.map((op) => `vault:use:${op}`).map(inGroup('vault:use:*')),
  ...[TOOL_CALL].map(inGroup('tool:*')),
  ...[MCP_CALL].map(inGroup('mcp:*')),
  ...[AGENT_RUN].map(inGroup('agent:*')),
  ...[WORKFLOW_RUN].map(inGroup('workflow:*')),
  ...KNOWLEDGE_ACTIONS.map(inGroup('knowledge:*')),
  ...LLM_ACTIONS.map(inGroup('llm:*')),
  ...['admin:read', 'admin:write', 'admin:approve', 'admin:seal'].map(inGroup('admin:*')),
])

/** Actions a request can carry: everything that is not itself a group. */
export const ACTIONS: readonly string[] = [...ACTION_GROUPS.keys()].filter(
  (action) => ![...ACTION_GROUPS.values()].includes(action),
)

/** An action and every group above it. */
export function withGroups(action: string): string[] {
  const all = [action]
  for (
    let group = ACTION_GROUPS.get(action);
    group !== undefined;
    group = ACTION_GROUPS.get(group)
  ) {
    all.push(group)
  }
  return all
}

function inGroup(group: string): (action: string) => [string, string] {
  return (action) => [action, group]
}
