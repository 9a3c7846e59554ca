/**
 * Runs one call of an MCP tool through the chain of stations, with the server as its effect. The definition that is
 * decided on is the one that is called: a tool that changes meanwhile is refused.
 */
import { asVestryError, VestryError } from '@vestry/contract/errors'
import { type ProtectedCall, perform, type Settled, type Stations } from '../../call/perform.ts'
import { isVisible, MAX_VALUES, openData } from '../../gateway/open-data.ts'
import type { JsonObject } from '../../gateway/tools/tool.ts'
import { formatTraceparent } from '../../identity/traceparent.ts'
import { MCP_CALL } from '../../policy/actions.ts'
import type { Decision } from '../../policy/engine.ts'
import { mcpToolResource } from '../../policy/mcp-resource.ts'
import { TOOL_RANKS } from '../../policy/tool-ranks.ts'
import { checkArguments } from '../connect/argument-check.ts'
import type { LiveTool, McpHub, ToolResult } from '../hub.ts'
import type { KnownTools } from '../pins/known-tools.ts'
import type { Standing } from '../pins/standing.ts'
import { unknownServer } from '../server-store.ts'
import type { McpToolCall } from './mcp-call.ts'
import { filteredError, filteredResult } from './result-filter.ts'

export interface McpCallDeps {
  readonly stations: Stations
  readonly hub: Pick<McpHub, 'server' | 'tool' | 'call'>
  readonly known: Pick<KnownTools, 'standing'>
  /** Counts calls: how each ended, and how long it took. */
  readonly counted?: (server: string, code: string, ms: number) => void
}

/**
 * @throws VestryError ACCESS_DENIED, APPROVAL_REQUIRED, RATE_LIMITED, TOOL_NOT_VERIFIED, and as {@link McpHub.call};
 *   the signal's reason.
 */
export async function callMcpTool(deps: McpCallDeps, call: McpToolCall): Promise<ToolResult> {
  const startedMs = performance.now()
  let code = 'OK'
  try {
    return await decided(deps, call)
  } catch (error) {
    code = asVestryError(error).code
    throw error
  } finally {
    // Names that callers make up are not for the metrics.
    const { server } = call
    if (deps.hub.server(server) !== undefined)
      deps.counted?.(server, code, performance.now() - startedMs)
  }
}

async function decided(deps: McpCallDeps, call: McpToolCall): Promise<ToolResult> {
  const { stations, hub, known } = deps
  const { server, tool: name, caller, args } = call
  call.signal.throwIfAborted()
  const tool = hub.tool(server, name)
  const standing = tool && (await known.standing(tool))
  const params = args as JsonObject // parsed from JSON
  const visible = isVisible(params)
  let open: ReturnType<typeof openData> | undefined
  const data = () => {
    open ??= openData(visible ? params : {})
    return open
  }
  const context: ProtectedCall<ToolResult>['context'] = {
    nowMs: stations.now(),
    transport: caller.peer.transport,
    ...(caller.peer.address !== undefined && { sourceIp: caller.peer.address }),
    hasReason: call.reason !== undefined,
    requestBytes: Buffer.byteLength(JSON.stringify(args)),
    args: () => data().args,
    nums: () => data().nums,
    holds: [],
    ...call.proof,
  }
  const resource = mcpToolResource(server, name, {
    digest: standing?.hash ?? '',
    reviewed: standing?.verified ?? false,
  })
  return perform<ToolResult>(stations, {
    caller,
    requestId: call.requestId,
    action: MCP_CALL,
    event: 'mcp.call',
    source: 'mcp',
    resource,
    context,
    unseen: () => ({
      resource: mcpToolResource(server, name, { digest: '', reviewed: false }),
      context,
    }),
    reason: call.reason,
    unpermittedRank: TOOL_RANKS.unpermitted,
    ...(!visible && { held: { rank: TOOL_RANKS.params, error: tooManyValues() } }),
    approvalParams: { server, tool: name, digest: standing?.hash ?? '', args },
    data: {
      server,
      tool: name,
      ...(standing !== undefined && { digest: standing.hash, reviewed: standing.verified }),
      ...(standing?.reviewId !== undefined && { review_id: standing.reviewId }),
    },
    exists: () => {
      if (tool === undefined) throw absent(deps, call)
      assertCallable(tool, standing)
      checkArguments(tool, args)
    },
    settle: (decision) => settled(deps, call, decision, tool),
  })
}

function settled(
  { hub, known }: McpCallDeps,
  call: McpToolCall,
  decision: Decision,
  tool: LiveTool | undefined,
): Settled<ToolResult> {
  const { server, tool: name, caller, signal, timeoutMs } = call
  const { obligations } = decision
  const args = capped(call.args, obligations.caps)
  return {
    unused: (error) => NOT_SENT.has(asVestryError(error).code),
    effect: async (note) => {
      if (tool === undefined) throw new VestryError('MCP_TOOL_NOT_FOUND')
      // Somebody may have waited for the intent, and a key may have been revoked meanwhile.
      assertCallable(tool, await known.standing(tool))
      const traceparent = formatTraceparent(caller.trace)
      const options = { signal, timeoutMs, expected: tool, meta: { traceparent } }
      let result: ToolResult
      try {
        result = await hub.call(server, name, args, options)
      } catch (error) {
        throw filteredError(error, obligations)
      }
      const { result: told, redactions } = filteredResult(result, { server, name, decision })
      note({ is_error: told.isError, ...(redactions > 0 && { filtered: redactions }) })
      return told
    },
  }
}

/** Nothing reached the tool, so what was charged for it is given back. */
const NOT_SENT: ReadonlySet<string> = new Set([
  'INVALID_PARAMS',
  'MCP_NOT_CONNECTED',
  'MCP_SERVER_NOT_FOUND',
  'MCP_TOOL_NOT_FOUND',
  'TOOL_NOT_VERIFIED',
])

/** @throws VestryError TOOL_NOT_VERIFIED */
function assertCallable(tool: LiveTool, standing: Standing | undefined): void {
  const refusal = standing?.refusal
  if (refusal === undefined) return
  const { server, name } = tool
  throw new VestryError(
    'TOOL_NOT_VERIFIED',
    `Tool "${name}" of server "${server}" may not be called: ${refusal.detail}`,
    {
      hint: refusal.hint,
      context: {
        server,
        tool: name,
        reason: refusal.reason,
        digest: standing?.hash ?? '',
        ...(standing?.reviewId !== undefined && { review_id: standing.reviewId }),
      },
    },
  )
}

function absent({ hub }: McpCallDeps, { server, tool }: McpToolCall): VestryError {
  const state = hub.server(server)
  if (state === undefined) return unknownServer(server)
  if (state.status !== 'connected') {
    return new VestryError('MCP_NOT_CONNECTED', `Server "${server}" is not connected`, {
      hint: `Connect it: vestry mcp connect ${server}`,
    })
  }
  return new VestryError('MCP_TOOL_NOT_FOUND', `Server "${server}" has no tool "${tool}"`, {
    hint: `See: vestry mcp tools ${server}`,
  })
}

function tooManyValues(): VestryError {
  return new VestryError('INVALID_PARAMS', `arguments: more than ${MAX_VALUES} values`)
}

/** Numbers lowered to what policy allows at most. */
function capped(
  args: Readonly<Record<string, unknown>>,
  caps: Readonly<Record<string, number>>,
): Readonly<Record<string, unknown>> {
  let lowered = args
  for (const [name, most] of Object.entries(caps)) {
    const value = Object.hasOwn(args, name) ? args[name] : undefined
    if (typeof value === 'number' && value > most) lowered = { ...lowered, [name]: most }
  }
  return lowered
}
