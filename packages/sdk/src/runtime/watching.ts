/**
 * A run as it goes: events as they are told, each a single time, over as many connections as it takes. Whoever comes
 * again is told what has changed since, and perhaps the last once more.
 */
import * as shapes from '@vestry/contract/runtime'
import { sleep } from '../vault/wait.ts'
import type { CallOptions } from './calls.ts'
import { APIError, ConnectionError, SymbiontError } from './errors.ts'
import type { EventDoor } from './event-connection.ts'
import type { ServerEvent } from './event-parser.ts'
import { delayMs, mayRepeat } from './exchange.ts'
import type { Shape } from './shape.ts'

export interface WatchOptions extends CallOptions {
  /** The `id` of the last event that is known: what came before it is not told again. */
  lastEventId?: string
}

/** `end` is the last one: how the run ended, without its steps. */
export type WorkflowExecutionEvent =
  | { readonly event: 'step'; readonly id: string; readonly data: shapes.WorkflowStep }
  | { readonly event: 'end'; readonly id: string; readonly data: shapes.WorkflowExecutionResponse }

const EVENT_ID = /^[\x21-\x7e]{1,128}$/
const MAX_TOLD = 1_000
const MAX_RETRY_MS = 30_000
/** What is forgotten may be told twice. */
const MAX_STEPS = 10_000
/** A connection that held as long has not failed. */
const LASTING_MS = 60_000

/** @throws SymbiontError as any call, and when connections break off one after the other with nothing new. */
export async function* watchRun(
  { open, maxRetries }: EventDoor,
  path: string,
  { signal, lastEventId }: WatchOptions,
): AsyncGenerator<WorkflowExecutionEvent, void, undefined> {
  if (lastEventId !== undefined && !isEventId(lastEventId))
    throw new SymbiontError('lastEventId must be the id of an event', { code: 'INVALID_REQUEST' })
  const states = new Map<string, string>()
  let last = lastEventId
  let failures = 0
  let retryMs = 0
  const onRetryMs = (ms: number): void => {
    retryMs = Math.min(ms, MAX_RETRY_MS)
  }
  for (;;) {
    const startedMs = performance.now()
    let broken: unknown = new ConnectionError('The answer broke off', { code: 'ANSWER_BROKE_OFF' })
    try {
      for await (const told of open({ path, lastEventId: last, signal, onRetryMs })) {
        const event = eventOf(told)
        if (isEventId(told.id)) last = told.id
        if (event === undefined || isKnown(states, event)) continue
        failures = 0
        yield event
        if (event.event === 'end') return
      }
    } catch (error) {
      if (!isPassing(error)) throw error
      broken = error
    }
    if (performance.now() - startedMs >= LASTING_MS) failures = 0
    if (failures >= maxRetries) throw broken
    await sleep(Math.max(retryMs, delayMs(broken, failures)), signal)
    failures += 1
  }
}

/** @returns Undefined for what newer servers tell beyond it. */
function eventOf({ id = '', event, data }: ServerEvent): WorkflowExecutionEvent | undefined {
  if (event === 'step') return { event, id, data: checked(shapes.WorkflowStep, data) }
  if (event === 'end') return { event, id, data: checked(shapes.WorkflowExecutionResponse, data) }
  return undefined
}

function checked<T>(shape: Shape<T>, text: string): T {
  const parsed = shape.safeParse(jsonOf(text))
  if (parsed.success) return parsed.data
  throw new APIError(
    `An event has another shape than it should have: ${parsed.error.message.slice(0, MAX_TOLD)}`,
    { code: 'UNEXPECTED_ANSWER' },
  )
}

/** Without a cause, which would quote the event. */
function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function isKnown(states: Map<string, string>, event: WorkflowExecutionEvent): boolean {
  if (event.event === 'end') return false
  const { id, status, started_at: startedAt } = event.data
  const state = `${status} ${startedAt}`
  if (states.get(id) === state) return true
  states.set(id, state)
  const [oldest] = states.keys()
  if (states.size > MAX_STEPS && oldest !== undefined) states.delete(oldest)
  return false
}

function isEventId(id: unknown): id is string {
  return typeof id === 'string' && EVENT_ID.test(id)
}

function isPassing(error: unknown): boolean {
  return mayRepeat(error) || (error instanceof SymbiontError && error.code === 'ANSWER_BROKE_OFF')
}
