/** Cuts a list of results to what one frame can carry, with room to spare for the rest of the reply. */

/** wire contract §6.5. */
export const MAX_LIST_BYTES = 3.5 * 1024 * 1024

/** As many entries from the front as fit. */
export function withinFrame<T>(entries: readonly T[]): readonly T[] {
  let bytes = 0
  for (const [index, entry] of entries.entries()) {
    bytes += Buffer.byteLength(JSON.stringify(entry)) + 1
    if (bytes > MAX_LIST_BYTES) return entries.slice(0, index)
  }
  return entries
}
