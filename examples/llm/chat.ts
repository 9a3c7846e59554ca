/** Asking a model: an answer, its usage, and what can be said beside the question. */
import type { AgentContext } from '@vestry/sdk/agent'

export async function review(context: AgentContext, code: string) {
  const model = context.createLlmClient('analysis')
  const answer = await model.invoke(
    [
      { role: 'system', content: 'Review code. Say what an attacker could use.' },
      { role: 'user', content: code },
    ],
    { maxTokens: 400, signal: AbortSignal.timeout(60_000) },
  )
  const { content, finishReason, usage } = answer
  return { content, finishReason, tokens: usage?.totalTokens }
}

/** Several questions, at most two at a time; the first failure stops the others. */
export async function reviewAll(context: AgentContext, codes: string[]) {
  const model = context.createLlmClient('triage').bind({ maxTokens: 50 })
  const answers = await model.batch(codes, { maxConcurrency: 2 })
  return answers.map(({ content }) => content)
}
