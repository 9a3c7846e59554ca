/** Bounds how long a write may take. */
import { unavailable } from './store-error.ts'

/** The work's own outcome, or STORE_UNAVAILABLE once `limitMs` have passed; the work itself is not stopped. */
export function withinLimit<T>(work: Promise<T>, limitMs: number, what: string): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const timer = setTimeout(
      () => reject(unavailable(`${what} took longer than ${limitMs} ms`)),
      limitMs,
    )
    work.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}
