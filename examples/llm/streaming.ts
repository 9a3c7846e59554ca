/** Reading an answer while it is written. Leaving the loop closes the connection. */
import type { AgentContext } from '@vestry/sdk/agent'

export async function explain(
  context: AgentContext,
  question: string,
  print: (text: string) => void,
) {
  const stream = context.createLlmClient('analysis').stream(question)
  for await (const { content } of stream) print(content)
  const { finishReason, usage } = await stream.final()
  return { finishReason, tokens: usage?.totalTokens }
}
