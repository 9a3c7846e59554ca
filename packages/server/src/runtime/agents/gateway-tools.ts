/** The gateway's tools for agents that run here: the same stations as over its wire, without a token. */

import { hash } from 'node:crypto'
import { canonicalJson } from '@vestry/contract/canonical'
import { asVestryError, VestryError } from '@vestry/contract/errors'
import { effectiveIntent } from '../../gateway/call/intent.ts'
import { runCall } from '../../gateway/call/run-call.ts'
import { prepareCall, type ToolCall } from '../../gateway/call/tool-call.ts'
import type { Gateway } from '../../gateway/gateway.ts'
import type { JsonObject, Tool, ToolAction } from '../../gateway/tools/tool.ts'
import type { SourceTool, ToolAnswer, ToolInvocation } from './tool-source.ts'

export function gatewayTools(gateway: Gateway): readonly SourceTool[] {
  return gateway.tools
    .list()
    .flatMap((tool) =>
      [...tool.actions.values()].map((action) => sourceTool(gateway, tool, action)),
    )
}

function sourceTool(gateway: Gateway, tool: Tool, action: ToolAction): SourceTool {
  return {
    id: `${tool.name}:${action.name}`,
    names: [`${tool.name}__${action.name}`, `${tool.name}:${action.name}`],
    bare: undefined,
    group: tool.name,
    description: [tool.description, action.description].filter(Boolean).join(': '),
    parameters: action.schema,
    call: (invocation) => call(gateway, { tool: tool.name, action: action.name }, invocation),
  }
}

async function call(
  gateway: Gateway,
  named: { readonly tool: string; readonly action: string },
  { caller, requestId, args, signal }: ToolInvocation,
): Promise<ToolAnswer> {
  if (gateway.draining()) throw new VestryError('SHUTTING_DOWN')
  signal.throwIfAborted()
  const { principal } = caller
  if (principal.kind !== 'agent')
    throw new VestryError('INTERNAL_ERROR', 'tools are called by agents')
  const { agent } = principal
  const params = args as JsonObject // parsed from JSON
  const asked: ToolCall = {
    requestId,
    correlationId: requestId,
    caller,
    agentId: agent.id,
    agentName: agent.displayName,
    ...named,
    params,
    intent: effectiveIntent({
      body: undefined,
      header: undefined,
      params: params['intent'],
      token: undefined,
    }),
    reason: undefined,
    // The definition of the agent lists the tool: it may ask for this much, and policy says the rest.
    token: {
      id: 'none',
      tools: [named.tool],
      permissions: [`${named.tool}:${named.action}`],
    },
    idempotencyKey: undefined,
  }
  try {
    const identity = {
      key: undefined,
      fingerprint: hash('sha256', canonicalJson([named.tool, named.action, params])),
      explicit: undefined,
    }
    const { data } = await runCall(gateway, prepareCall(gateway, asked), identity, signal)
    return { text: typeof data === 'string' ? data : JSON.stringify(data), isError: false }
  } catch (error) {
    throw withDetails(error)
  }
}

/** A model mends its arguments better when it hears of all that is wrong with them. */
function withDetails(error: unknown): unknown {
  const { code, message, context, cause } = asVestryError(error)
  const { details } = context
  if (!Array.isArray(details) || details.length < 2) return error
  return new VestryError(code, `${message}; ${details.slice(1).join('; ')}`, { context, cause })
}
