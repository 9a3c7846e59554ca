/** Trace context in the `_meta` of a request, under the names of W3C Trace Context, as MCP has it. */
import type { Ids } from '../aot.ts'
import { extract, inject } from '../context.ts'

/** @returns The parameters with the active span's `traceparent`; one that is there already stays. */
export function withTraceparent(params: unknown): unknown {
  if (params !== undefined && (typeof params !== 'object' || params === null)) return params
  const { traceparent } = inject<{ traceparent?: string }>({})
  if (traceparent === undefined) return params
  const { _meta: given } = (params ?? {}) as { _meta?: unknown }
  const meta = typeof given === 'object' && given !== null ? given : {}
  return 'traceparent' in meta ? params : { ...params, _meta: { ...meta, traceparent } }
}

/** The span of the other side that a request came from. */
export function parentOf(params: unknown): Ids | undefined {
  const { _meta: meta } = (params ?? {}) as { _meta?: unknown }
  return typeof meta === 'object' && meta !== null ? extract(meta) : undefined
}
