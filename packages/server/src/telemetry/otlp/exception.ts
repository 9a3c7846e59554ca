/** An error at the end of a span, as `exception.*`. Its message is content: it may quote what the call was about. */
import { type CoatEvent, members, text, typeIn } from './coat-event.ts'
import { type ContentRules, toldOf } from './content.ts'
import { HIDDEN, OTEL } from './semconv.ts'
import type { Value } from './value.ts'

/** @returns Nothing where the event has no error. */
export function exceptionOf(event: CoatEvent, rules: ContentRules): (readonly [string, Value])[] {
  const error = members(event.payload['error'])
  if (error === undefined) return []
  const told = toldOf(event, rules)
  const message = text(members(told.value('error'))?.['message'])
  const shown = told.hidden.outputs ? HIDDEN : (message ?? HIDDEN)
  return [
    [OTEL.exceptionType, typeIn(error['type']) ?? 'Error'],
    ...(error['message'] === undefined ? [] : [[OTEL.exceptionMessage, shown] as const]),
    // It left the function; a tool that reports a failure has returned.
    [OTEL.exceptionEscaped, event.payload['is_error'] !== true],
  ]
}
