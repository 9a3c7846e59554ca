/** Arguments of tool calls: JSON text of an object on our side, the object itself on the others'. */
import type { JsonObject, ToolCall } from './chat-types.ts'
import { invalid } from './check.ts'
import { malformed } from './fault.ts'
import { isTooDeep, parseObject } from './json.ts'

/** The object a call in the history was made with. @param place Of the call, for the fault. */
export function argumentsOf(call: ToolCall, place: string): JsonObject {
  const parsed = parseObject(call.function.arguments)
  if (parsed !== undefined && !isTooDeep(parsed)) return parsed
  throw invalid(
    `${place}.function.arguments`,
    'must be the JSON text of an object that is not nested too deep',
  )
}

/** @throws ProviderFault `provider_error` when a model's arguments are not the text of an object. */
export function assertArguments(text: string): void {
  if (parseObject(text) === undefined) throw malformed('tool arguments that are not a JSON object')
}
