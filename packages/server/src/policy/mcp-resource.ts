/** Tools of MCP servers as policies see them. */
import { permissionWords } from './permission-words.ts'
import type { ToolResource } from './policy-request.ts'

const PREFIX = 'mcp/'

/**
 * `Tool::"mcp/<server>:<tool>"` in `Tool::"mcp/<server>"`. A colon in a server's name is written `%3A`, so that no two
 * tools have one id; names of servers hold no percent sign.
 */
export function mcpToolResource(
  server: string,
  tool: string,
  facts: Pick<ToolResource, 'digest' | 'reviewed'>,
): ToolResource {
  const group = `${PREFIX}${server.replaceAll(':', '%3A')}`
  return {
    kind: 'tool',
    tool: group,
    action: tool,
    digest: facts.digest,
    reviewed: facts.reviewed,
    // Whether a tool changes anything only its server knows.
    permissions: permissionWords(group, tool, 'write'),
    costMicros: 0,
  }
}

/** Whether a tool named so in a question is one of an MCP server. */
export function isMcpGroup(tool: string): boolean {
  return tool.startsWith(PREFIX)
}
