/** Texts as vectors: one request for up to 256 of them, the answers in their order. */
import type { AgentContext } from '@vestry/sdk/agent'

export async function closest(context: AgentContext, query: string, texts: string[]) {
  const embeddings = context.createEmbeddingsClient()
  const wanted = await embeddings.embedQuery(query)
  const vectors = await embeddings.embedDocuments(texts)
  const scores = vectors.map((vector) =>
    vector.reduce((sum, x, i) => sum + x * (wanted[i] ?? 0), 0),
  )
  return texts[scores.indexOf(Math.max(...scores))]
}
