/** Calling a tool of an MCP server for operators, and accepting a definition that changed. */
import { VestryError } from '@vestry/contract/errors'
import * as z from 'zod'
import { type AdminVerb, verb } from '../../admin/verb.ts'
import { SERVER_NAME } from '../connect/server-config.ts'
import type { McpHub, ToolResult } from '../hub.ts'
import type { KnownTools } from '../pins/known-tools.ts'
import { unknownServer } from '../server-store.ts'
import type { McpToolCall } from './mcp-call.ts'
import { resultView } from './result-view.ts'

export interface McpCallVerbDeps {
  readonly hub: Pick<McpHub, 'server' | 'tool' | 'tools'>
  readonly known: Pick<KnownTools, 'accept'>
  readonly call: (call: McpToolCall) => Promise<ToolResult>
  /** Of a call that does not say. */
  readonly timeoutMs: (server: string) => number
}

const Server = z.string().regex(SERVER_NAME, 'is no name of an MCP server')
const Tool = z.string().min(1).max(256)
const MAX_SECONDS = 600

export function mcpCallVerbs({ hub, known, call, timeoutMs }: McpCallVerbDeps): AdminVerb[] {
  return [
    verb({
      name: 'mcp.call',
      // The call itself is decided as `mcp:call`, like everybody's.
      action: 'admin:read',
      event: 'mcp.call_request',
      params: z.strictObject({
        server: Server,
        tool: Tool,
        arguments: z.record(z.string(), z.unknown()).default({}),
        reason: z.string().min(1).max(256).optional(),
        timeout_seconds: z.number().min(1).max(MAX_SECONDS).optional(),
      }),
      data: ({ server, tool }) => ({ server, tool: shown(tool) }),
      run: async ({ params, caller, requestId, signal }) =>
        resultView(
          await call({
            caller,
            requestId,
            server: params.server,
            tool: params.tool,
            args: params.arguments,
            signal,
            timeoutMs:
              params.timeout_seconds === undefined
                ? timeoutMs(params.server)
                : params.timeout_seconds * 1_000,
            reason: params.reason,
          }),
        ),
    }),
    verb({
      name: 'mcp.accept',
      action: 'admin:write',
      event: 'mcp.accept',
      params: z.strictObject({ server: Server, tool: Tool.optional() }),
      data: ({ server, tool }) => ({ server, tool: tool === undefined ? null : shown(tool) }),
      run: async ({ params: { server, tool }, note }) => {
        if (hub.server(server) === undefined) throw unknownServer(server)
        const one = tool === undefined ? undefined : hub.tool(server, tool)
        if (tool !== undefined && one === undefined) {
          throw new VestryError('MCP_TOOL_NOT_FOUND', `Server "${server}" has no tool "${tool}"`, {
            hint: `See: vestry mcp tools ${server}`,
          })
        }
        const { digests, generation } = await known.accept(
          one === undefined ? hub.tools(server) : [one],
        )
        note({ generation, accepted: digests })
        return { server_name: server, accepted: digests }
      },
    }),
  ]
}

/** Of a name that may be anybody's. */
function shown(name: string): string {
  return name.toWellFormed()
}
