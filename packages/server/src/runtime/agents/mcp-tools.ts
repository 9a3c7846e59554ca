/**
 * Tools of connected MCP servers for agents that run here. Who may call them, and whether they are the reviewed ones,
 * is decided where they are called.
 */
import type { McpToolCall } from '../../mcp/calls/mcp-call.ts'
import type { LiveTool, McpHub, ToolResult } from '../../mcp/hub.ts'
import type { KnownTools } from '../../mcp/pins/known-tools.ts'
import type { SourceTool, ToolAnswer } from './tool-source.ts'

/** A call through all stations. */
export type McpCall = (call: McpToolCall) => Promise<ToolResult>

export interface McpToolDeps {
  readonly hub: Pick<McpHub, 'tools'>
  readonly known: Pick<KnownTools, 'standing'>
  readonly call: McpCall
}

export function mcpTools(deps: McpToolDeps): readonly SourceTool[] {
  return deps.hub.tools().map((tool) => sourceTool(tool, deps))
}

function sourceTool(tool: LiveTool, { known, call }: McpToolDeps): SourceTool {
  const { server, name, description, inputSchema } = tool
  return {
    id: `mcp/${server}:${name}`,
    names: [`${server}__${name}`, `${server}/${name}`, `${server}:${name}`],
    bare: name,
    group: undefined,
    description,
    parameters: inputSchema,
    isRefused: async () => (await known.standing(tool)).refusal !== undefined,
    call: async (invocation) => answerOf(await call({ ...invocation, server, tool: name })),
  }
}

function answerOf({ content, structuredContent, isError }: ToolResult): ToolAnswer {
  const texts = content.map((part) => {
    if (part['type'] === 'text' && typeof part['text'] === 'string') return part['text']
    return `[${String(part['type'] ?? 'content')}]`
  })
  if (texts.length === 0 && structuredContent !== undefined)
    texts.push(JSON.stringify(structuredContent))
  return { text: texts.join('\n'), isError }
}
