/** What one line on the queue socket is: the first rule that fits decides, line by line. Pure. */
import { isRecord } from './envelope.ts'

export const ACTION_TYPES = ['list_actions', 'call', 'submit', 'poll'] as const
export type ActionType = (typeof ACTION_TYPES)[number]

type JsonRecord = Readonly<Record<string, unknown>>

export type Lane =
  | { readonly lane: 'action'; readonly type: ActionType; readonly line: JsonRecord }
  | { readonly lane: 'envelope'; readonly line: JsonRecord }
  | { readonly lane: 'hello' | 'flush'; readonly line: JsonRecord }
  /** Told as an invalid request only to who speaks no telemetry. */
  | { readonly lane: 'none'; readonly line: JsonRecord | undefined }

export function laneOf(value: unknown): Lane {
  if (!isRecord(value)) return { lane: 'none', line: undefined }
  const { type, spec } = value
  if (spec === undefined && isActionType(type)) return { lane: 'action', type, line: value }
  if (type === undefined && typeof spec === 'string' && spec.startsWith('aotp/'))
    return { lane: 'envelope', line: value }
  if (type === 'aot_hello') return { lane: 'hello', line: value }
  if (type === 'aot_flush') return { lane: 'flush', line: value }
  return { lane: 'none', line: value }
}

function isActionType(value: unknown): value is ActionType {
  return ACTION_TYPES.some((type) => type === value)
}
