/** How an answer ended, from Anthropic's words to OpenAI's. */
import type { FinishReason } from '../chat-types.ts'
import { malformed } from '../fault.ts'

const REASONS: Readonly<Record<string, FinishReason>> = {
  end_turn: 'stop',
  stop_sequence: 'stop',
  pause_turn: 'stop',
  max_tokens: 'length',
  model_context_window_exceeded: 'length',
  tool_use: 'tool_calls',
  refusal: 'content_filter',
}

/** @throws ProviderFault for an ending that is not known: it might not be one. */
export function finishReasonOf(reason: unknown): FinishReason {
  const name = typeof reason === 'string' ? reason : ''
  const known = Object.hasOwn(REASONS, name) ? REASONS[name] : undefined
  if (known === undefined) throw malformed(`an answer that ended with "${name.slice(0, 40)}"`)
  return known
}

/** The forced tool of a structured answer is no tool to its caller. */
export function finishReasonOfForced(reason: unknown): FinishReason {
  const known = finishReasonOf(reason)
  return known === 'tool_calls' ? 'stop' : known
}
