/** Calling a tool of an MCP server through the stations: administrators, and agents as policy permits them. */
import { accept } from '@vestry/contract/accept'
import * as z from 'zod'
import type { McpToolCall } from '../../mcp/calls/mcp-call.ts'
import { resultView } from '../../mcp/calls/result-view.ts'
import type { ToolResult } from '../../mcp/hub.ts'
import type { RuntimeReply, RuntimeRequest, RuntimeRoute } from '../wire/route.ts'

export interface McpCallRouteDeps {
  readonly call: (call: McpToolCall) => Promise<ToolResult>
  /** Of a call that does not say. */
  readonly timeoutMs: (server: string) => number
}

const MAX_SECONDS = 600

const Body = z.strictObject({
  arguments: z.record(z.string(), z.unknown()).default({}),
  reason: z.string().min(1).max(256).optional(),
  timeout_seconds: z.number().min(0.1).max(MAX_SECONDS).optional(),
})
/** For tools whose names cannot stand in a path. */
const NamedBody = Body.extend({ tool: z.string().min(1).max(256) })

export function mcpCallRoutes({ call, timeoutMs }: McpCallRouteDeps): RuntimeRoute[] {
  const called = async (
    { caller, requestId, params, signal }: RuntimeRequest,
    tool: string,
    body: z.output<typeof Body>,
  ): Promise<RuntimeReply> => {
    const server = params['name'] ?? ''
    const result = await call({
      caller,
      requestId,
      server,
      tool,
      args: body.arguments,
      signal,
      timeoutMs:
        body.timeout_seconds === undefined ? timeoutMs(server) : body.timeout_seconds * 1_000,
      reason: body.reason,
    })
    return { body: resultView(result) }
  }
  return [
    {
      method: 'POST',
      path: 'mcp/servers/:name/tools/:tool/call',
      access: 'key',
      handle: (request) =>
        called(
          request,
          request.params['tool'] ?? '',
          accept(Body, request.json(), 'VALIDATION_ERROR'),
        ),
    },
    {
      method: 'POST',
      path: 'mcp/servers/:name/call',
      access: 'key',
      handle: (request) => {
        const { tool, ...body } = accept(NamedBody, request.json(), 'VALIDATION_ERROR')
        return called(request, tool, body)
      },
    },
  ]
}
