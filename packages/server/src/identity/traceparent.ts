/** W3C trace context: reads and writes `traceparent`, and mints the ids of a call. */
import { newSpanId, newTraceId } from '@vestry/contract/ids'

export interface Trace {
  /** 32 hex digits. */
  readonly traceId: string
  /** 16 hex digits: our span of this call. */
  readonly spanId: string
  /** 16 hex digits, or empty for a root. */
  readonly parentSpanId: string
}

export interface TraceParent {
  readonly traceId: string
  readonly spanId: string
  readonly sampled: boolean
}

const V00 = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/
/** A later version may append fields after another dash; its first four keep their meaning. */
const LATER = /^(?!00|ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?$/

/**
 * @returns undefined for anything malformed: the call then starts a trace of its own.
 * @see W3C Trace Context §3.2 and §4 (all-zero ids and version ff are invalid, upper case too).
 */
export function parseTraceparent(header: string): TraceParent | undefined {
  if (header.length > 256) return undefined
  const match = V00.exec(header) ?? LATER.exec(header)
  const [, traceId = '', spanId = '', flags = ''] = match ?? []
  if (match === null || /^0+$/.test(traceId) || /^0+$/.test(spanId)) return undefined
  return { traceId, spanId, sampled: (Number.parseInt(flags, 16) & 1) === 1 }
}

/** What we send upstream: our span is the parent there, and we record every call. */
export function formatTraceparent(trace: Pick<Trace, 'traceId' | 'spanId'>): string {
  return `00-${trace.traceId}-${trace.spanId}-01`
}

/** A span under `parent` (a header as received), or the root of a new trace. */
export function newTrace(parent?: string): Trace {
  const above = parent === undefined ? undefined : parseTraceparent(parent)
  return {
    traceId: above?.traceId ?? newTraceId(),
    spanId: newSpanId(),
    parentSpanId: above?.spanId ?? '',
  }
}
