/** Cedar's `like`: literal text and `*`, which stands for any run of characters, `/` included. */

/**
 * @param segments The literal texts between the wildcards; n wildcards give n + 1 segments.
 *   Searching segments left to right is exact, also by code unit, while all text is well-formed.
 */
export function likeMatcher(segments: readonly string[]): (text: string) => boolean {
  const first = segments[0] ?? ''
  if (segments.length < 2) return (text) => text === first
  const last = segments[segments.length - 1] ?? ''
  const middle = segments.slice(1, -1).filter((segment) => segment !== '')
  return (text) => {
    if (!text.startsWith(first) || !text.endsWith(last)) return false
    const end = text.length - last.length
    let from = first.length
    for (const segment of middle) {
      const at = text.indexOf(segment, from)
      if (at < 0) return false
      from = at + segment.length
    }
    return from <= end
  }
}
