/** How the active span's ids cross to another process and back, in W3C headers and two of our own. */
import { type Active, current, runIn } from './active.ts'
import type { Ids } from './aot.ts'
import { acceptId, formatTraceparent, newRunId, parseTraceparent } from './ids.ts'
import { runtime } from './runtime.ts'

/** Something that headers can be put on: an object, or what has `set` as `Headers` and `Map` do. */
export type Carrier = object

/** Something that headers can be read from: an object, or what has `get`. */
export type CarrierSource = object

const TRACEPARENT = 'traceparent'
const RUN = 'coat-run'
const SESSION = 'coat-session'

/**
 * Runs `fn` as if it were called inside the span that `ids` name, here or in another process.
 *
 * @param ids As `extract` or `current` gave them. Without a usable trace id and span id, `fn` runs
 * where it is.
 * @returns What `fn` returns.
 */
export function withContext<T>(ids: Partial<Ids> | undefined, fn: () => T): T {
  const adopted = adopt(ids)
  return adopted === undefined ? fn() : runIn(adopted, fn)
}

/**
 * Writes the active span's `traceparent`, `coat-run` and `coat-session`. Outside every span it writes
 * nothing.
 *
 * @returns The carrier.
 */
export function inject<C extends Carrier>(carrier: C): C {
  const ids = current()
  if (ids === undefined) return carrier
  try {
    put(carrier, TRACEPARENT, formatTraceparent(ids))
    put(carrier, RUN, ids.run_id)
    put(carrier, SESSION, ids.session_id)
  } catch {
    // A carrier that refuses gets no context; its owner goes on.
  }
  return carrier
}

/**
 * Reads what {@link inject} wrote, names in any case.
 *
 * @returns Ids for {@link withContext}, or `undefined` where there is no valid `traceparent`.
 */
export function extract(carrier: CarrierSource | null | undefined): Ids | undefined {
  if (carrier === null || carrier === undefined) return undefined
  try {
    const parent = parseTraceparent(read(carrier, TRACEPARENT))
    if (parent === undefined) return undefined
    return Object.freeze({
      session_id: acceptId('session_id', read(carrier, SESSION)) ?? '',
      run_id: acceptId('run_id', read(carrier, RUN)) ?? '',
      step_id: '',
      trace_id: parent.traceId,
      span_id: parent.spanId,
      parent_span_id: '',
    })
  } catch {
    return undefined
  }
}

function adopt(given: Partial<Ids> | undefined): Active | undefined {
  try {
    const { disabled, sessionId, settings } = runtime()
    const trace_id = acceptId('trace_id', given?.trace_id)
    const span_id = acceptId('span_id', given?.span_id)
    if (disabled || trace_id === undefined || span_id === undefined) return undefined
    const ids: Ids = Object.freeze({
      session_id: acceptId('session_id', given?.session_id) ?? sessionId,
      // One for all that happens below, when the other side named none.
      run_id: acceptId('run_id', given?.run_id) ?? settings.runId ?? newRunId(),
      step_id: acceptId('step_id', given?.step_id) ?? '',
      trace_id,
      span_id,
      parent_span_id: acceptId('parent_span_id', given?.parent_span_id) ?? '',
    })
    return Object.freeze({ ids, span: undefined })
  } catch {
    return undefined
  }
}

function put(carrier: object, name: string, value: string): void {
  if (value === '') return
  if ('set' in carrier && typeof carrier.set === 'function') carrier.set(name, value)
  else Object.assign(carrier, { [name]: value })
}

function read(carrier: object, name: string): unknown {
  if ('get' in carrier && typeof carrier.get === 'function') return carrier.get(name)
  const key = Object.keys(carrier).find((key) => key.toLowerCase() === name)
  const value: unknown = key === undefined ? undefined : Reflect.get(carrier, key)
  return Array.isArray(value) ? value[0] : value
}
