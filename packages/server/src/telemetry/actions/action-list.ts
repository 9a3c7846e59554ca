/** `list_actions`: the tools that a claimed caller may use, as policy says now. */

import { principalOf } from '../../call/perform.ts'
import type { Gateway } from '../../gateway/gateway.ts'
import type { JsonObject, Tool, ToolAction } from '../../gateway/tools/tool.ts'
import type { Decision } from '../../policy/decision.ts'
import { permissionWords } from '../../policy/permission-words.ts'
import { TOOL_RANKS } from '../../policy/tool-ranks.ts'
import type { Claimed } from './claimed-caller.ts'

interface ListedAction {
  readonly name: string
  readonly description: string
  /** `staged`: an operator is asked first. */
  readonly tier: 'immediate' | 'staged'
  readonly scope: 'external'
  readonly action_type: 'read' | 'write'
  readonly params: readonly Readonly<Record<string, unknown>>[]
}

/** Refusals that hang on what is asked for: with the right parameters the call may go through. */
const HANGS_ON_PARAMS: ReadonlySet<number> = new Set([
  TOOL_RANKS.intentMismatch,
  TOOL_RANKS.intentRequired,
  TOOL_RANKS.params,
  TOOL_RANKS.requestSize,
  TOOL_RANKS.domainBlocked,
  TOOL_RANKS.domainNotAllowed,
  TOOL_RANKS.guard,
])

export function listActions(
  gateway: Pick<Gateway, 'tools' | 'stations' | 'now'>,
  claimed: Claimed,
): ListedAction[] {
  const listed: ListedAction[] = []
  for (const tool of gateway.tools.list()) {
    for (const action of tool.actions.values()) {
      const decision = decide(gateway, claimed, tool, action)
      if (!decision.allow && !HANGS_ON_PARAMS.has(decision.rank)) continue
      listed.push({
        name: `${tool.name}:${action.name}`,
        description: action.description,
        tier: decision.obligations.approve.length > 0 ? 'staged' : 'immediate',
        scope: 'external',
        action_type: action.permission,
        params: paramsOf(action.schema),
      })
    }
  }
  return listed
}

function decide(
  { stations, now }: Pick<Gateway, 'stations' | 'now'>,
  { caller, claim }: Claimed,
  tool: Tool,
  action: ToolAction,
): Decision {
  return stations.policy.decide({
    principal: principalOf(caller),
    action: 'tool:call',
    resource: {
      kind: 'tool',
      tool: tool.name,
      action: action.name,
      digest: tool.digest,
      reviewed: false,
      permissions: permissionWords(tool.name, action.name, action.permission),
      costMicros: action.costMicros,
    },
    context: {
      nowMs: now(),
      transport: 'unix',
      hasReason: true,
      tokenTools: ['*'],
      tokenPermissions: claim.capabilities,
      args: {},
      nums: {},
      holds: [],
    },
    unpermittedRank: TOOL_RANKS.unpermitted,
  })
}

function paramsOf(schema: JsonObject): Readonly<Record<string, unknown>>[] {
  const { properties, required } = schema
  if (typeof properties !== 'object' || properties === null || Array.isArray(properties)) return []
  const needed = new Set(Array.isArray(required) ? required : [])
  return Object.entries(properties).map(([name, about]) => {
    const facts = typeof about === 'object' && about !== null && !Array.isArray(about) ? about : {}
    return {
      name,
      required: needed.has(name),
      ...(facts['type'] !== undefined && { type: facts['type'] }),
      ...(facts['description'] !== undefined && { description: facts['description'] }),
    }
  })
}
