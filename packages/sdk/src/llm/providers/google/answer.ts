/** What Gemini's answers have in common, whole or in pieces: endings, counts, parts, and no answer at all. */
import type { FinishReason, JsonObject, Usage } from '../chat-types.ts'
import { malformed, ProviderFault } from '../fault.ts'
import { countOf, isObject, listOf, objectOf, textOf } from '../json.ts'
import type { CallScope } from '../provider.ts'

const REASONS: Readonly<Record<string, FinishReason>> = {
  STOP: 'stop',
  MAX_TOKENS: 'length',
  SAFETY: 'content_filter',
  RECITATION: 'content_filter',
  BLOCKLIST: 'content_filter',
  PROHIBITED_CONTENT: 'content_filter',
  SPII: 'content_filter',
  LANGUAGE: 'content_filter',
  IMAGE_SAFETY: 'content_filter',
}

export interface Call {
  readonly id: string
  readonly name: string
  readonly args: string
}

/**
 * @param calls The answer calls tools, which Gemini tells with an ordinary STOP.
 * @throws ProviderFault for MALFORMED_FUNCTION_CALL and every ending that is not known.
 */
export function finishReasonOf(value: unknown, calls: boolean): FinishReason {
  const name = textOf(value) ?? ''
  const reason = Object.hasOwn(REASONS, name) ? REASONS[name] : undefined
  if (reason === undefined) throw malformed(`an answer that ended with "${name.slice(0, 40)}"`)
  return reason === 'stop' && calls ? 'tool_calls' : reason
}

/** Text without thoughts, and the calls with ids of ours; a signature is kept for when its call comes back. */
export function readParts(
  candidate: JsonObject,
  scope: CallScope,
): { text: string; calls: Call[] } {
  let text = ''
  const calls: Call[] = []
  for (const part of listOf(objectOf(candidate['content'])['parts']).map(objectOf)) {
    if (isObject(part['functionCall'])) calls.push(callOf(part, part['functionCall'], scope))
    else if (part['thought'] !== true) text += textOf(part['text']) ?? ''
  }
  return { text, calls }
}

function callOf(part: JsonObject, called: JsonObject, scope: CallScope): Call {
  const name = textOf(called['name'])
  const args = called['args'] ?? {}
  if (name === undefined || !isObject(args)) throw malformed('a function call without name or args')
  const id = scope.newId('call_')
  const signature = textOf(part['thoughtSignature'])
  if (signature !== undefined) scope.signatures.set(id, signature)
  return { id, name, args: JSON.stringify(args) }
}

/** Thoughts are paid for like the answer, so they count as it. */
export function usageOf(metadata: unknown): Usage | undefined {
  if (!isObject(metadata)) return undefined
  const reported = ['promptTokenCount', 'candidatesTokenCount', 'totalTokenCount']
  if (reported.every((name) => countOf(metadata[name]) === undefined)) return undefined
  const prompt = countOf(metadata['promptTokenCount']) ?? 0
  const thoughts = countOf(metadata['thoughtsTokenCount'])
  const completion = (countOf(metadata['candidatesTokenCount']) ?? 0) + (thoughts ?? 0)
  const cached = countOf(metadata['cachedContentTokenCount'])
  return {
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: countOf(metadata['totalTokenCount']) ?? prompt + completion,
    ...(cached !== undefined && { prompt_tokens_details: { cached_tokens: cached } }),
    ...(thoughts !== undefined && { completion_tokens_details: { reasoning_tokens: thoughts } }),
  }
}

/** Never an empty success: it would read as an answer that found nothing. */
export function blocked(feedback: unknown): ProviderFault {
  const reason = textOf(objectOf(feedback)['blockReason'])?.slice(0, 40)
  const why = reason === undefined ? '' : ` (${reason})`
  return new ProviderFault('content_filter', `Provider google gave no answer to this prompt${why}`)
}
