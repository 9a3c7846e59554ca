import '../adapters/published-code.test-kit.ts'
import Anthropic from '@anthropic-ai/sdk'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { InMemoryTransport } from '@modelcontextprotocol/sdk/inMemory.js'
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { ElicitRequestSchema } from '@modelcontextprotocol/sdk/types.js'
import { expect, test, vi } from 'vitest'
import { coatMcp } from '../mcp/index.ts'
import { coatAnthropic } from './index.ts'
import { collect, failure, message, messagesServer, stream } from './messages-server.test-kit.ts'

/** Where everything that the adapters call fails: at the start of a span, or at its end. */
const fault = vi.hoisted(() => ({ at: 'start' as 'start' | 'end', thrown: 0 }))

vi.mock('../span.ts', () => {
  const throws = (): never => {
    fault.thrown += 1
    throw new Error('the adapter is faulty')
  }
  return {
    startSpan: () =>
      fault.at === 'start'
        ? throws()
        : { ended: false, run: <T>(fn: () => T) => fn(), end: throws },
    emitPoint: throws,
  }
})

const REQUEST = {
  model: 'claude-sonnet-4-6',
  max_tokens: 10,
  messages: [{ role: 'user' as const, content: 'q' }],
}
const HELLO = {
  content: [{ type: 'text' as const, text: 'all is well' }],
  usage: { output_tokens: 1 },
}
const places = ['start', 'end'] as const

test.each(places)(
  'telemetry §16.44: Anthropic’s client runs as before with a fault at every %s',
  async (at) => {
    fault.at = at
    fault.thrown = 0
    await using server = await messagesServer(
      message(HELLO),
      stream(HELLO),
      stream(HELLO),
      failure(400, 'invalid_request_error'),
    )
    const client = coatAnthropic(new Anthropic({ baseURL: server.url, apiKey: 'k', maxRetries: 0 }))
    expect((await client.messages.create(REQUEST)).content).toEqual(HELLO.content)
    const events = await collect(await client.messages.create({ ...REQUEST, stream: true }))
    expect(events.at(-1)?.type).toBe('message_stop')
    expect(await client.messages.stream(REQUEST).finalText()).toBe('all is well')
    await expect(client.messages.create(REQUEST)).rejects.toBeInstanceOf(Anthropic.BadRequestError)
    expect(fault.thrown).toBe(4)
  },
)

test.each(places)(
  'telemetry §16.44: an MCP client runs as before with a fault at every %s',
  async (at) => {
    fault.at = at
    fault.thrown = 0
    const server = new McpServer({ name: 'library', version: '1.0.0' })
    server.registerTool('ask', {}, async () => {
      const { action } = await server.server.elicitInput({
        message: 'may I?',
        requestedSchema: { type: 'object', properties: {} },
      })
      return { content: [{ type: 'text', text: action }], isError: true }
    })
    const client = coatMcp(
      new Client({ name: 'reader', version: '1.0.0' }, { capabilities: { elicitation: {} } }),
    )
    client.setRequestHandler(ElicitRequestSchema, async () => ({ action: 'decline' as const }))
    const [ours, theirs] = InMemoryTransport.createLinkedPair()
    await Promise.all([server.connect(theirs), client.connect(ours)])
    expect(await client.callTool({ name: 'ask' })).toMatchObject({
      isError: true,
      content: [{ text: 'decline' }],
    })
    expect((await client.listTools()).tools).toHaveLength(1)
    await expect(client.getPrompt({ name: 'none' })).rejects.toMatchObject({ code: -32601 })
    expect(fault.thrown).toBe(4)
    await client.close()
  },
)
