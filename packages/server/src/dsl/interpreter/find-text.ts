/**
 * Where a text stands in another one, in a time that grows with their lengths and not with their product: the search of
 * the platform takes hours for two texts of a megabyte that somebody has chosen for it.
 */

/** Up to here the platform's own search is as good. */
const SHORT = 8

/** @returns The offset, at or after `from`; -1: nowhere. */
export function textFinder(part: string): (whole: string, from: number) => number {
  if (part.length <= SHORT) return (whole, from) => whole.indexOf(part, from)
  const borders = bordersOf(part)
  return (whole, from) => {
    let matched = 0
    for (let at = from; at < whole.length; at++) {
      const code = whole.charCodeAt(at)
      while (matched > 0 && part.charCodeAt(matched) !== code) matched = borders[matched - 1] ?? 0
      if (part.charCodeAt(matched) === code) matched++
      if (matched === part.length) return at + 1 - matched
    }
    return -1
  }
}

/** Of each beginning of the text, how much of it is also its end (Knuth, Morris and Pratt). */
function bordersOf(part: string): Uint32Array {
  const borders = new Uint32Array(part.length)
  let matched = 0
  for (let at = 1; at < part.length; at++) {
    const code = part.charCodeAt(at)
    while (matched > 0 && part.charCodeAt(matched) !== code) matched = borders[matched - 1] ?? 0
    if (part.charCodeAt(matched) === code) matched++
    borders[at] = matched
  }
  return borders
}

/** As `split` of the platform, by what is not empty. */
export function splitAt(whole: string, separator: string): string[] {
  if (separator.length <= SHORT) return whole.split(separator)
  const find = textFinder(separator)
  const parts: string[] = []
  let from = 0
  for (let at = find(whole, 0); at !== -1; at = find(whole, from)) {
    parts.push(whole.slice(from, at))
    from = at + separator.length
  }
  parts.push(whole.slice(from))
  return parts
}
