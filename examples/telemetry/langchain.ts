/**
 * A LangChain.js chain, told as events: node examples/telemetry/langchain.ts
 * Outside a pod every event is a line on stderr that begins with `[coat] `.
 */
import { StringOutputParser } from '@langchain/core/output_parsers'
import { ChatPromptTemplate } from '@langchain/core/prompts'
import { tool } from '@langchain/core/tools'
import { FakeListChatModel } from '@langchain/core/utils/testing'
import { installCoat } from '@vestry/coat/langchain'
import * as z from 'zod'

// The one line: from here on every run is told. `{ autoCapture: true }` tells what was said as well.
installCoat()

const balance = tool(async ({ ledger }) => `ledger ${ledger} holds 12.50`, {
  name: 'balance',
  description: 'The balance of a ledger.',
  schema: z.object({ ledger: z.number() }),
})

// Stands for a real model, so that this runs without a key.
const model = new FakeListChatModel({ responses: ['There are 12.50 in it.'] })

const prompt = ChatPromptTemplate.fromMessages([
  ['system', 'You know this: {facts}'],
  ['user', '{question}'],
])
const chain = prompt.pipe(model).pipe(new StringOutputParser())

const facts = await balance.invoke({ ledger: 7 })
console.log(await chain.invoke({ facts, question: 'How much is in ledger 7?' }))
