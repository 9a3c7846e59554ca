/** Runs what only observes: whatever goes wrong in it stays in it, for the framework's run is not ours to break. */

export function quietly<T>(observe: () => T): T | undefined {
  try {
    return observe()
  } catch {
    // A defect of the adapter, or a shape of the framework that it does not know: this event is not told.
    return undefined
  }
}
