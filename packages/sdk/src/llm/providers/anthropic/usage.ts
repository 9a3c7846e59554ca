/**
 * Anthropic's token counts in OpenAI's terms. Also reads them off native answers and streams, which
 * pass through unchanged and only have to be accounted for.
 */
import type { JsonObject, Usage } from '../chat-types.ts'
import { countOf, isObject, objectOf, parseObject, textOf } from '../json.ts'
import type { SseEvent } from '../provider.ts'

/**
 * @param body A reply of `/v1/messages`, or an event of its stream: whatever holds `usage`, itself or in
 *             its `message`.
 * @returns Undefined when it reports nothing.
 */
export function anthropicUsage(body: unknown): Usage | undefined {
  const counts = countsOf(body)
  return counts === undefined ? undefined : usageOf(counts)
}

/** Follows a native stream. Never throws: what it cannot read is not its business. */
export class AnthropicUsageReader {
  #counts: JsonObject | undefined
  #stopReason: string | undefined
  #done = false

  push(event: SseEvent): void {
    const data = parseObject(event.data)
    this.add(data)
    this.#stopReason = textOf(objectOf(data?.['delta'])['stop_reason']) ?? this.#stopReason
    if (data?.['type'] === 'message_stop') this.#done = true
  }

  /** Later counts are of the whole message so far, so they replace earlier ones member by member. */
  add(data: unknown): void {
    const counts = Object.entries(countsOf(data) ?? {}).filter(([, count]) => count !== null)
    if (counts.length > 0) this.#counts = { ...this.#counts, ...Object.fromEntries(counts) }
  }

  get usage(): Usage | undefined {
    return this.#counts === undefined ? undefined : usageOf(this.#counts)
  }

  /** In Anthropic's words. */
  get stopReason(): string | undefined {
    return this.#stopReason
  }

  get done(): boolean {
    return this.#done
  }
}

function countsOf(body: unknown): JsonObject | undefined {
  const given = objectOf(body)
  const counts = given['usage'] ?? objectOf(given['message'])['usage']
  return isObject(counts) ? counts : undefined
}

function usageOf(counts: JsonObject): Usage | undefined {
  const [input, output] = [countOf(counts['input_tokens']), countOf(counts['output_tokens'])]
  if (input === undefined && output === undefined) return undefined
  const cached = countOf(counts['cache_read_input_tokens'])
  const written = countOf(counts['cache_creation_input_tokens']) ?? 0
  const prompt = (input ?? 0) + written + (cached ?? 0)
  const completion = output ?? 0
  const details = {
    ...(cached !== undefined && { cached_tokens: cached }),
    // Dearer than plain input, so whoever pays needs to know.
    ...(written > 0 && { cache_creation_tokens: written }),
  }
  return {
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: prompt + completion,
    ...(Object.keys(details).length > 0 && { prompt_tokens_details: details }),
  }
}
