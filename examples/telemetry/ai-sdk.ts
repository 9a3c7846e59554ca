/**
 * An agent of the Vercel AI SDK, told as events: node examples/telemetry/ai-sdk.ts
 * Outside a pod every event is a line on stderr that begins with `[coat] `.
 */
import { coatGenerate, coatModel, coatTools } from '@vestry/coat/ai-sdk'
import { generateText, isStepCount, tool } from 'ai'
import { MockLanguageModelV4 } from 'ai/test'
import * as z from 'zod'

const usage = (input: number, output: number) => ({
  inputTokens: { total: input, noCache: input, cacheRead: 0, cacheWrite: 0 },
  outputTokens: { total: output, text: output, reasoning: 0 },
})

// Stands for a real model, so that this runs without a key: it asks for a tool, then answers.
const model = coatModel(
  new MockLanguageModelV4({
    provider: 'openai.chat',
    modelId: 'gpt-5',
    doGenerate: [
      {
        content: [
          { type: 'tool-call', toolCallId: 'call_1', toolName: 'balance', input: '{"ledger":7}' },
        ],
        finishReason: { unified: 'tool-calls', raw: 'tool_calls' },
        usage: usage(40, 8),
        warnings: [],
      },
      {
        content: [{ type: 'text', text: 'There are 12.50 in it.' }],
        finishReason: { unified: 'stop', raw: 'stop' },
        usage: usage(60, 9),
        warnings: [],
      },
    ],
  }),
)

const tools = coatTools({
  balance: tool({
    description: 'The balance of a ledger.',
    inputSchema: z.object({ ledger: z.number() }),
    execute: async ({ ledger }) => `ledger ${ledger} holds 12.50`,
  }),
})

const generate = coatGenerate(generateText)
const { text } = await generate({
  model,
  tools,
  prompt: 'How much is in ledger 7?',
  stopWhen: isStepCount(5),
})
console.log(text)
