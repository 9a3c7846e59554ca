/** The one warning about transport that a process prints, however many threads it has. */
import { getEnvironmentData, isMainThread, setEnvironmentData } from 'node:worker_threads'

/** Shared memory reaches the threads that are started later; nothing else is common to them. */
const KEY = '@vestry/coat/warned'

/** @returns Whether the caller is the first to ask, and so is the one to warn. */
export function isFirstWarning(): boolean {
  return Atomics.exchange(flag(), 0, 1) === 0
}

let own: Int32Array<SharedArrayBuffer> | undefined

function flag(): Int32Array<SharedArrayBuffer> {
  if (own !== undefined) return own
  const known: unknown = getEnvironmentData(KEY)
  own = new Int32Array(known instanceof SharedArrayBuffer ? known : new SharedArrayBuffer(4))
  return own
}

/** Before any worker starts: what is set later does not reach it. */
export function shareWarning(): void {
  if (isMainThread) setEnvironmentData(KEY, flag().buffer)
}
