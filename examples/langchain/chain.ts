/** The gateway's models in a chain of LangChain.js. */
import { JsonOutputParser } from '@langchain/core/output_parsers'
import { ChatPromptTemplate } from '@langchain/core/prompts'
import type { AgentContext, GatewayClient } from '@vestry/sdk/agent'
import { GatewayChatModel, GatewayEmbeddings } from '@vestry/sdk/langchain'

interface Summary {
  summary: string
}

export function modelOf(context: AgentContext & { gatewayClient: GatewayClient }) {
  const { gatewayClient: client, usage: ledger } = context
  return new GatewayChatModel({ client, model: 'openai:gpt-4o', category: 'analysis', ledger })
}

export async function summarise(model: GatewayChatModel, code: string): Promise<Summary> {
  const prompt = ChatPromptTemplate.fromMessages([
    ['system', 'Answer with a JSON object that has one member, summary.'],
    ['user', '{code}'],
  ])
  return await prompt.pipe(model).pipe(new JsonOutputParser<Summary>()).invoke({ code })
}

export async function nearest(client: GatewayClient, query: string, texts: string[]) {
  const embeddings = new GatewayEmbeddings({ client, model: 'openai:text-embedding-3-small' })
  const wanted = await embeddings.embedQuery(query)
  const vectors = await embeddings.embedDocuments(texts)
  const scores = vectors.map((vector) =>
    vector.reduce((sum, x, i) => sum + x * (wanted[i] ?? 0), 0),
  )
  return texts[scores.indexOf(Math.max(...scores))]
}
