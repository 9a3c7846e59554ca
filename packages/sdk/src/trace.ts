/** The trace that a request belongs to: the active coat span's, if the agent has one. */
import { activeTraceparent } from '@vestry/coat/traceparent'

/** @param given Headers of the caller, whose own trace is left alone. */
export function traceHeader(given: Readonly<Record<string, string>> = {}): {
  traceparent?: string
} {
  const traceparent = activeTraceparent()
  if (traceparent === undefined) return {}
  const isGiven = Object.keys(given).some((name) => name.toLowerCase() === 'traceparent')
  return isGiven ? {} : { traceparent }
}
