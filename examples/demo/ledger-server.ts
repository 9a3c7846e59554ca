/**
 * An MCP server of somebody else, as an agent's operator would install it. What it says of its tool stands in a file,
 * so that an update can change it; its key comes in its environment and goes nowhere else.
 */
import { readFileSync } from 'node:fs'
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js'
import * as z from 'zod'

const { LEDGER_TEXT: text = '', LEDGER_KEY: key } = process.env
const server = new McpServer({ name: 'ledger', version: '1.0.0' })

server.registerTool(
  'balance',
  {
    description: readFileSync(text, 'utf8').trim(),
    inputSchema: { account: z.enum(['main', 'tax']) },
  },
  async ({ account }) => ({
    content: [{ type: 'text', text: key === undefined ? 'no key' : `${account}: 4200.00 EUR` }],
  }),
)

await server.connect(new StdioServerTransport())
