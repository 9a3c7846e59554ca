/** How easily one name is taken for another. */
import { folded } from './views.ts'

/** Shorter names are too often near each other. */
const MIN_LENGTH = 5

/** `equal`: nothing that one can see tells them apart. `near`: one slip of a finger, or another way to divide words. */
export type Likeness = 'equal' | 'near' | undefined

export function likeness(one: string, other: string): Likeness {
  if (one === other) return 'equal'
  // Nearly all pairs end here.
  if (Math.abs(one.length - other.length) > 8) return undefined
  const [first, second] = [folded(one), folded(other)]
  if (first === second) {
    // Two plain names that differ by case can be told apart.
    return one.toLowerCase() === other.toLowerCase() ? 'near' : 'equal'
  }
  if (lookedAt(first) === lookedAt(second)) return 'near'
  if (Math.min(first.length, second.length) < MIN_LENGTH) return undefined
  return isOneEditAway(first, second) ? 'near' : undefined
}

/** Without what divides words, and with digits and pairs as the letters they look like. */
function lookedAt(name: string): string {
  return name
    .replace(/[\s_.-]+/g, '')
    .replaceAll('0', 'o')
    .replaceAll('1', 'l')
    .replaceAll('3', 'e')
    .replaceAll('5', 's')
    .replaceAll('rn', 'm')
    .replaceAll('vv', 'w')
}

/** One letter more, less or other, or two neighbours swapped; numbers at the end do not make names alike. */
export function isOneEditAway(one: string, other: string): boolean {
  const [short, long] = one.length <= other.length ? [one, other] : [other, one]
  if (long.length - short.length > 1) return false
  let start = 0
  while (start < short.length && short[start] === long[start]) start += 1
  let end = 0
  while (
    end < short.length - start &&
    short[short.length - 1 - end] === long[long.length - 1 - end]
  ) {
    end += 1
  }
  const middle = short.slice(start, short.length - end)
  const rest = long.slice(start, long.length - end)
  if (/^\d*$/.test(middle) && /^\d+$/.test(rest)) return false
  if (rest.length <= 1) return true
  return middle.length === 2 && rest.length === 2 && middle[0] === rest[1] && middle[1] === rest[0]
}
