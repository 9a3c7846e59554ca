/** An MCP server: added, connected, asked, and what it offers. */
import { type Client, McpConnectionStatus, type McpServerConfig } from '@vestry/sdk/runtime'

export const filesystem: McpServerConfig = {
  name: 'filesystem-server',
  command: ['npx', '@modelcontextprotocol/server-filesystem', '/tmp'],
  env: { NODE_ENV: 'production' },
  timeout_seconds: 30,
}

export async function offers(client: Client, config: McpServerConfig) {
  await client.addMcpServer(config)

  // Connect to server
  await client.connectMcpServer(config.name)

  // Get connection status
  const info = await client.getMcpServer(config.name)
  if (info.status !== McpConnectionStatus.CONNECTED) throw new Error(`It is ${info.status}`)

  // List available tools and resources
  const tools = await client.listMcpTools(config.name)
  const resources = await client.listMcpResources(config.name)
  return {
    counted: [info.tools_count, info.resources_count],
    tools: tools.map((tool) => tool.name),
    resources: resources.map((resource) => resource.uri),
  }
}

export async function callTool(client: Client, server: string, tool: string, args: object) {
  const { content, is_error: failed } = await client.callMcpTool(server, tool, { ...args })
  return { content, failed }
}
