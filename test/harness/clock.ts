/**
 * Both clocks of this process, movable. Import it before the daemon is started; every daemon in the
 * process then lives at the moved time.
 */
const realNow = Date.now.bind(Date)
const realMonotonic = performance.now.bind(performance)
let shiftMs = 0

Date.now = () => realNow() + shiftMs
Object.defineProperty(performance, 'now', {
  configurable: true,
  value: () => realMonotonic() + shiftMs,
})

/** Makes it so many milliseconds later. */
export function advance(ms: number): void {
  shiftMs += ms
}

/** Makes it as late as it is; for whoever uses this process next. */
export function reset(): void {
  shiftMs = 0
}
