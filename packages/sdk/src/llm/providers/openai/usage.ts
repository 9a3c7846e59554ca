/** OpenAI's token counts, made whole: null and missing members become integers. */
import type { JsonObject, Usage } from '../chat-types.ts'
import { countOf, isObject } from '../json.ts'

/** @returns Undefined when nothing was reported that is a count. */
export function usageOf(value: unknown): Usage | undefined {
  if (!isObject(value)) return undefined
  const total = countOf(value['total_tokens'])
  const completion = countOf(value['completion_tokens'])
  const asked = countOf(value['prompt_tokens'])
  if (asked === undefined && completion === undefined && total === undefined) return undefined
  const prompt = asked ?? Math.max((total ?? 0) - (completion ?? 0), 0)
  const answered = completion ?? Math.max((total ?? 0) - prompt, 0)
  return {
    ...value,
    ...details(value, 'prompt_tokens_details'),
    ...details(value, 'completion_tokens_details'),
    prompt_tokens: prompt,
    completion_tokens: answered,
    total_tokens: total ?? prompt + answered,
  }
}

/** Null details become an empty object, so that a reader may look inside. */
function details(value: JsonObject, name: string): JsonObject {
  return name in value && !isObject(value[name]) ? { [name]: {} } : {}
}
