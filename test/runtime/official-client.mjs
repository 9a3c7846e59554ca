// The published MCP client in a process of its own: commands come in as lines of JSON, answers go out so.
// The test runner cannot load it: it would resolve a dependency of it to sources that it cannot read.
import { createInterface } from 'node:readline'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { ToolListChangedNotificationSchema } from '@modelcontextprotocol/sdk/types.js'

const clients = new Map()
const say = (message) => process.stdout.write(`${JSON.stringify(message)}\n`)

const commands = {
  async connect({ client: name, url, key, command, args }) {
    const client = new Client({ name, version: '1.0.0' })
    client.setNotificationHandler(ToolListChangedNotificationSchema, () => say({ changed: name }))
    const requestInit = { headers: { authorization: `Bearer ${key}` } }
    const transport =
      command === undefined
        ? new StreamableHTTPClientTransport(new URL(url), { requestInit })
        : new StdioClientTransport({ command, args, env: process.env })
    await client.connect(transport)
    clients.set(name, { client, transport })
    return { server: client.getServerVersion(), session: transport.sessionId }
  },
  list: ({ client }) => clients.get(client).client.listTools(),
  call: ({ client, name, args, meta }) =>
    clients.get(client).client.callTool({
      name,
      arguments: args,
      ...(meta !== undefined && { _meta: meta }),
    }),
  async end({ client }) {
    await clients.get(client).transport.terminateSession?.()
    await clients.get(client).client.close()
    return {}
  },
}

for await (const line of createInterface({ input: process.stdin })) {
  const { id, op, ...rest } = JSON.parse(line)
  commands[op](rest).then(
    (result) => say({ id, result }),
    (error) => say({ id, error: { code: error.code ?? null, message: String(error.message) } }),
  )
}
process.exit(0)
