/** Which ids a new span or event gets from what it happens in. */
import type { Ids } from './aot.ts'
import { newRunId, newSpanId, newStepId, newTraceId } from './ids.ts'
import type { Family } from './op.ts'
import { openTelemetryParent } from './otel-bridge.ts'
import type { Runtime } from './runtime.ts'

/**
 * @param parent `undefined`: a root, below whatever this process was started in; `'root'`: below nothing
 * at all.
 */
export function childIds(runtime: Runtime, family: Family, parent: Ids | 'root' | undefined): Ids {
  const inner = parent === 'root' ? undefined : parent
  const above = inner ?? (parent === undefined ? outerParent(runtime) : undefined)
  const trace = above?.trace_id ?? ''
  return Object.freeze({
    session_id: inner?.session_id || runtime.sessionId,
    run_id: runIdOf(runtime, family, inner, above),
    step_id: family === 'step' ? newStepId() : (above?.step_id ?? ''),
    trace_id: trace === '' ? newTraceId() : trace,
    span_id: newSpanId(),
    parent_span_id: above?.span_id ?? '',
  })
}

/** Ids of an event that is no span. Outside every span it belongs to the session alone. */
export function pointIds(runtime: Runtime, parent: Ids | undefined): Ids {
  const inside = parent !== undefined && parent.span_id !== ''
  return {
    session_id: parent?.session_id || runtime.sessionId,
    run_id: inside ? parent.run_id : '',
    step_id: inside ? parent.step_id : '',
    trace_id: inside ? parent.trace_id : '',
    span_id: inside ? newSpanId() : '',
    parent_span_id: inside ? parent.span_id : '',
  }
}

function runIdOf(
  { settings }: Runtime,
  family: Family,
  inner: Ids | undefined,
  above: Ids | undefined,
): string {
  const isRun = family === 'run'
  if (inner !== undefined) return isRun || inner.run_id === '' ? newRunId() : inner.run_id
  // The process was started for a run, so its roots are part of that one.
  if (settings.runId !== undefined) return settings.runId
  return isRun || above === undefined ? newRunId() : above.run_id
}

/** OpenTelemetry's active span where that is wanted, else the environment's `TRACEPARENT`. */
function outerParent(runtime: Runtime): Ids | undefined {
  const bridged = runtime.settings.otelBridge ? openTelemetryParent(runtime) : undefined
  return bridged ?? runtime.environmentParent
}
