/** Answers with a shape: checked against it, whichever provider writes them. */
import type { AgentContext } from '@vestry/sdk/agent'

interface Verdict {
  suspicious: boolean
  reason: string
}

const schema = {
  type: 'object',
  properties: { suspicious: { type: 'boolean' }, reason: { type: 'string' } },
  required: ['suspicious', 'reason'],
  additionalProperties: false,
}

export async function judge(context: AgentContext, code: string): Promise<Verdict> {
  const model = context.createLlmClient('triage')
  return await model.withStructuredOutput<Verdict>({ schema, name: 'verdict' }).invoke(code)
}

/** With `includeRaw` an answer that does not fit is a value, not an error. */
export async function judgeOrTell(context: AgentContext, code: string) {
  const model = context.createLlmClient('triage')
  const asking = model.withStructuredOutput<Verdict>({ schema, name: 'verdict', includeRaw: true })
  const { parsed, parsingError, raw } = await asking.invoke(code)
  return parsed ?? `${parsingError} (${raw.finishReason})`
}
