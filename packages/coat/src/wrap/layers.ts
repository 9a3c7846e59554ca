/**
 * The same generator or stream may be returned by one call after the other. Covering it each time would
 * make every read of it deeper, until the stack overflows in the program's own loop.
 */

/** Wrappers around wrappers are seldom deeper. */
const MOST_LAYERS = 8
const layers = new WeakMap<object, number>()

/** @returns Whether one more layer may be put on it; it is then counted. */
export function addLayer(target: object): boolean {
  const count = layers.get(target) ?? 0
  if (count >= MOST_LAYERS) return false
  layers.set(target, count + 1)
  return true
}
