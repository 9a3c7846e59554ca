/** The gateway's tools for MCP clients: the same stations as over its own wire. */
import { hash } from 'node:crypto'
import { canonicalJson } from '@vestry/contract/canonical'
import { VestryError } from '@vestry/contract/errors'
import { effectiveIntent } from '../../gateway/call/intent.ts'
import { runCall } from '../../gateway/call/run-call.ts'
import { prepareCall } from '../../gateway/call/tool-call.ts'
import type { Gateway } from '../../gateway/gateway.ts'
import type { JsonObject, Tool, ToolAction } from '../../gateway/tools/tool.ts'
import { TOOL_CALL } from '../../policy/actions.ts'
import type { PolicyRequest } from '../../policy/engine.ts'
import { permissionWords } from '../../policy/permission-words.ts'
import type { ToolResult } from '../hub.ts'
import type { TokenProof } from './client.ts'
import type { ServedCall } from './served-tool.ts'

export interface GatewayAction {
  readonly tool: Tool
  readonly action: ToolAction
}

/** What policy is asked about the action before anybody says what for. */
export function gatewayQuestion({
  tool,
  action,
}: GatewayAction): Pick<PolicyRequest, 'action' | 'resource'> {
  return {
    action: TOOL_CALL,
    resource: {
      kind: 'tool',
      tool: tool.name,
      action: action.name,
      digest: tool.digest,
      reviewed: false,
      permissions: permissionWords(tool.name, action.name, action.permission),
      costMicros: action.costMicros,
    },
  }
}

/** A key of the agent covers all that policy permits the agent. */
export const WHOLE_KEY: Omit<TokenProof, 'intent'> = {
  id: 'none',
  tools: ['*'],
  permissions: ['*'],
}

/** @throws VestryError as gateway contract §4.3 lists them. */
export async function callGatewayTool(
  gateway: Gateway,
  { tool, action }: GatewayAction,
  { caller, client, requestId, args, reason, intent, signal }: ServedCall,
): Promise<ToolResult> {
  if (gateway.draining()) throw new VestryError('SHUTTING_DOWN')
  signal.throwIfAborted()
  const { principal } = client
  if (principal.kind !== 'agent')
    throw new VestryError('ACCESS_DENIED', 'Tools of the gateway are for agents', {
      hint: 'Use a key of an agent: vestry key add --agent AGENT',
    })
  const { agent } = principal
  const params = args as JsonObject // parsed from JSON
  const { token } = client
  admit(gateway, agent.id)
  const asked = {
    requestId,
    correlationId: requestId,
    caller,
    agentId: agent.id,
    agentName: agent.displayName,
    tool: tool.name,
    action: action.name,
    params,
    intent: effectiveIntent({
      body: intent,
      header: undefined,
      params: params['intent'],
      token: token?.intent,
    }),
    reason,
    token: token ?? WHOLE_KEY,
    idempotencyKey: undefined,
  }
  const { data } = await runCall(gateway, prepareCall(gateway, asked), {
    key: undefined,
    fingerprint: hash('sha256', canonicalJson([tool.name, action.name, params])),
    explicit: undefined,
  })
  const text = typeof data === 'string' ? data : JSON.stringify(data)
  return { content: [{ type: 'text', text }], structuredContent: objectOf(data), isError: false }
}

function objectOf(data: unknown): Readonly<Record<string, unknown>> | undefined {
  return typeof data === 'object' && data !== null && !Array.isArray(data)
    ? (data as Record<string, unknown>)
    : undefined
}

/** The same bucket as over the gateway's own wire. */
function admit({ stations, requestRate }: Gateway, agentId: string): void {
  if (requestRate === undefined) return
  stations.limits.take({
    kind: 'bucket',
    key: `gateway:${agentId}`,
    scope: 'agent',
    ...requestRate,
  })
}
