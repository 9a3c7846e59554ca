/** The active span as a W3C header, for those who send requests: all they need of this package, and no more of it. */
import { current } from './active.ts'
import { formatTraceparent } from './ids.ts'

/** @returns `undefined` outside every span. */
export function activeTraceparent(): string | undefined {
  const ids = current()
  return ids === undefined ? undefined : formatTraceparent(ids)
}
