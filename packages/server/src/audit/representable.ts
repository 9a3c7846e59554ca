/** Turns any value into one that has a canonical JSON form, saying what it could not keep. */

const MAX_DEPTH = 64

/**
 * Unpaired surrogates become U+FFFD; NaN, infinities, BigInt, functions and symbols their text;
 * holes null; anything nested deeper than 64 (a cycle, too) a marker. Other values are kept.
 */
export function representable<T>(value: T): T {
  return convert(value, 0) as T
}

function convert(value: unknown, depth: number): unknown {
  switch (typeof value) {
    case 'string':
      return value.toWellFormed()
    case 'number':
      return Number.isFinite(value) ? value : String(value)
    case 'bigint':
    case 'symbol':
      return String(value)
    case 'function':
      return '[function]'
    case 'object':
      break
    default:
      return value
  }
  if (value === null) return null
  if (depth === MAX_DEPTH) return '[too deep]'
  if (Array.isArray(value)) return Array.from(value, (item) => convert(item ?? null, depth + 1))
  const out: [string, unknown][] = []
  for (const [key, member] of Object.entries(value)) {
    if (member !== undefined) out.push([key.toWellFormed(), convert(member, depth + 1)])
  }
  return Object.fromEntries(out)
}
