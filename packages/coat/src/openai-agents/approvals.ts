/**
 * Tools that wait for somebody's approval. The SDK's spans do not show that a run stopped to ask, so this
 * looks at what a run returns, and at the state that the next one is given.
 */

import { clock, rounded } from '../adapters/clock.ts'
import { OpenRuns } from '../adapters/open-runs.ts'
import { type AdapterOptions, captureChoice } from '../adapters/options.ts'
import { quietly } from '../adapters/quietly.ts'
import { fields, firstText, list, parsed, present, text } from '../adapters/shapes.ts'
import type { Ids } from '../aot.ts'
import { type Span, startSpan } from '../span.ts'
import { agentsFramework } from './framework.ts'

interface Question {
  readonly span: Span
  readonly beganMs: number
}

/** A streamed run whose end is still to come. */
interface Streamed {
  readonly result: WeakRef<object>
  readonly options: AdapterOptions
}

/** By trace id and call id; they outlive the run that asked. */
const questions = new OpenRuns<Question>((asked) => asked.span.end({ status: 'abandoned' }))
/** The last run of a trace, which is where its questions belong. */
const lastRuns = new OpenRuns<Ids>(() => {})
const streams = new OpenRuns<Streamed>(() => {})

/** The processor says so when a run of a trace has ended. */
export function runEnded(traceId: string, run: Ids): void {
  lastRuns.set(traceId, run)
  const streamed = streams.take(traceId)
  const result = streamed?.result.deref()
  if (streamed !== undefined && result !== undefined) ask(result, streamed.options)
}

/** Before a run: answers what its state was asked. */
export function answer(input: unknown): void {
  quietly(() => {
    const state = fields(input)
    const traceId = traceIdOf(state)
    if (state === undefined || traceId === undefined) return
    for (const item of interruptionsOf(state)) {
      const { toolName, callId } = callOf(item)
      if (callId === undefined) continue
      const asked = questions.take(`${traceId} ${callId}`)
      if (asked === undefined) continue
      const approved = isApproved(state, toolName, callId)
      asked.span.end({
        status: 'ok',
        payload: {
          request: 'approval',
          outcome: approved === undefined ? 'cancelled' : approved ? 'approved' : 'denied',
          waited_ms: rounded(clock.monotonicMs() - asked.beganMs),
        },
        captured: { answer: approved },
      })
    }
  })
}

/** After a run: asks what its result waits for. */
export function observeResult(value: unknown, options: AdapterOptions): void {
  quietly(() => {
    const result = fields(value)
    if (result === undefined) return
    const traceId = traceIdOf(fields(result['state']))
    if (traceId === undefined) return
    if (typeof result['toStream'] === 'function') {
      streams.set(traceId, { result: new WeakRef(result), options })
    } else ask(result, options)
  })
}

function ask(value: object, options: AdapterOptions): void {
  const result = fields(value)
  const traceId = traceIdOf(fields(result?.['state']))
  if (result === undefined || traceId === undefined) return
  for (const item of list(result['interruptions'])) {
    const { toolName, callId, input } = callOf(item)
    const key = `${traceId} ${callId ?? ''}`
    if (callId === undefined || questions.has(key)) continue
    const span = startSpan({
      op: 'human',
      fn: toolName,
      payload: present({ request: 'approval', tool: { name: toolName, call_id: callId } }),
      captured: { prompt: input },
      parent: lastRuns.get(traceId),
      framework: agentsFramework(),
      capture: captureChoice(options),
    })
    questions.set(key, { span, beganMs: clock.monotonicMs() })
  }
}

function traceIdOf(state: ReturnType<typeof fields>): string | undefined {
  return text(fields(state?.['_trace'])?.['traceId'])
}

function interruptionsOf(state: NonNullable<ReturnType<typeof fields>>): readonly unknown[] {
  const get = state['getInterruptions']
  return typeof get === 'function' ? list(get.call(state)) : []
}

function callOf(item: unknown): { toolName: string; callId: string | undefined; input: unknown } {
  const raw = fields(fields(item)?.['rawItem'])
  return {
    toolName: firstText(fields(item)?.['name'], raw?.['name']) ?? 'tool',
    callId: firstText(raw?.['callId'], raw?.['id']),
    input: parsed(raw?.['arguments']),
  }
}

function isApproved(
  state: NonNullable<ReturnType<typeof fields>>,
  toolName: string,
  callId: string,
): boolean | undefined {
  const context = fields(state['_context'])
  const asks = context?.['isToolApproved']
  if (typeof asks !== 'function') return undefined
  const found: unknown = asks.call(context, { toolName, callId })
  return typeof found === 'boolean' ? found : undefined
}
