/** `search_knowledge(q)`, `remember(x)`, `recall(q)`: what was read is a label of the transaction from then on. */
import type { Json } from '../../../dsl/definition.ts'
import type { EffectCall, Value } from '../../../dsl/host.ts'
import type { Caller } from '../../../identity/caller.ts'
import { argument, plainArgument, textArgument, wrong } from '../arguments.ts'
import type { AskedKnowledge } from '../program-doors.ts'
import { effectStep, type ProgramRun } from '../program-run.ts'

const DEFAULT_LIMIT = 5
const MAX_LIMIT = 50

export function searchKnowledge(
  run: ProgramRun,
  call: EffectCall,
  signal: AbortSignal,
): Promise<Value> {
  const query = textArgument(call, 'query', 0)
  const limit = limitOf(call)
  const operation = { op: 'knowledge', name: 'search', args: { query } } as const
  return effectStep(run, call, { repeatable: true, operation }, (caller) =>
    run.doors.knowledge().search({ ...asked(run, caller, signal), query, limit }),
  )
}

export function remember(run: ProgramRun, call: EffectCall, signal: AbortSignal): Promise<Value> {
  const content = remembered(call)
  const operation = { op: 'knowledge', name: 'remember', args: { content } } as const
  return effectStep(run, call, { repeatable: false, operation }, (caller) =>
    run.doors.knowledge().remember({ ...asked(run, caller, signal), content }),
  )
}

export function recall(run: ProgramRun, call: EffectCall, signal: AbortSignal): Promise<Value> {
  const query = textArgument(call, 'query', 0)
  const limit = limitOf(call)
  const operation = { op: 'knowledge', name: 'recall', args: { query } } as const
  return effectStep(run, call, { repeatable: true, operation }, (caller) =>
    run.doors.knowledge().recall({ ...asked(run, caller, signal), query, limit }),
  )
}

/** One value as it is, or a value below its name. */
function remembered(call: EffectCall): Json {
  if (argument(call, 'value', 1) === undefined) return plainArgument(call, 'content', 0)
  return { key: textArgument(call, 'key', 0), value: plainArgument(call, 'value', 1) }
}

function asked(run: ProgramRun, caller: Caller, signal: AbortSignal): AskedKnowledge {
  return { agent: run.agent, caller, requestId: run.doors.newRequestId(), signal }
}

function limitOf(call: EffectCall): number {
  const value = argument(call, 'limit', 1) ?? DEFAULT_LIMIT
  if (typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= MAX_LIMIT)
    return value
  throw wrong(call, `limit must be a whole number from 1 to ${MAX_LIMIT}`)
}
