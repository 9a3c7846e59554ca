/**
 * The active span of OpenTelemetry, when its API is loaded already. Read through the global that all
 * versions of that API share, so that nothing has to be imported.
 */
import type { Ids } from './aot.ts'
import { newRunId, parseTraceparent } from './ids.ts'
import type { Runtime } from './runtime.ts'

const API = Symbol.for('opentelemetry.js.api.1')
const SPAN = Symbol.for('OpenTelemetry Context Key SPAN')

interface Api {
  context?: { active?(): { getValue?(key: symbol): unknown } }
}

interface OpenTelemetrySpan {
  spanContext?(): { traceId?: unknown; spanId?: unknown }
}

/** Its traces have no runs: the last ones seen keep theirs, so that their roots share one. */
const MAX_TRACES = 256
const runs = new Map<string, string>()

/** @returns `undefined` where nothing is active, or the API is not there. */
export function openTelemetryParent({ sessionId, settings }: Runtime): Ids | undefined {
  try {
    const api = (globalThis as { [API]?: Api })[API]
    const span = api?.context?.active?.()?.getValue?.(SPAN) as OpenTelemetrySpan | undefined
    const { traceId, spanId } = span?.spanContext?.() ?? {}
    const parent = parseTraceparent(`00-${String(traceId)}-${String(spanId)}-01`)
    if (parent === undefined) return undefined
    return {
      session_id: sessionId,
      run_id: settings.runId ?? runOf(parent.traceId),
      step_id: '',
      trace_id: parent.traceId,
      span_id: parent.spanId,
      parent_span_id: '',
    }
  } catch {
    return undefined
  }
}

function runOf(traceId: string): string {
  const known = runs.get(traceId)
  if (known !== undefined) return known
  const [oldest] = runs.keys()
  if (runs.size >= MAX_TRACES && oldest !== undefined) runs.delete(oldest)
  const fresh = newRunId()
  runs.set(traceId, fresh)
  return fresh
}
