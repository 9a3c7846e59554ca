/** How an answer ended, in OpenAI's words and in those of servers that copy its API. */
import type { FinishReason } from '../chat-types.ts'
import { malformed } from '../fault.ts'

const REASONS: Readonly<Record<string, FinishReason>> = {
  stop: 'stop',
  length: 'length',
  tool_calls: 'tool_calls',
  function_call: 'function_call',
  content_filter: 'content_filter',
  eos_token: 'stop',
  stop_sequence: 'stop',
}

/** @throws ProviderFault for an ending that is not known: it might not be one. */
export function finishReasonOf(value: string): FinishReason {
  const reason = Object.hasOwn(REASONS, value) ? REASONS[value] : undefined
  if (reason === undefined) throw malformed(`an answer that ended with "${value.slice(0, 40)}"`)
  return reason
}
