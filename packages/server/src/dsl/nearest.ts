/** The known word that somebody probably meant. */

const MAX_WORD = 40

/** At most two letters apart (one, in words of up to four); the first of equals. */
export function nearest(word: string, known: Iterable<string>): string | undefined {
  if (word.length > MAX_WORD || word.length < 2) return undefined
  let best: string | undefined
  let least = word.length <= 4 ? 2 : 3
  for (const candidate of known) {
    if (Math.abs(candidate.length - word.length) >= least) continue
    const distance = editDistance(word, candidate)
    if (distance > 0 && distance < least) {
      least = distance
      best = candidate
    }
  }
  return best
}

function editDistance(left: string, right: string): number {
  let before = Array.from({ length: right.length + 1 }, (_, index) => index)
  for (let row = 1; row <= left.length; row++) {
    const now = [row]
    for (let column = 1; column <= right.length; column++) {
      const change = left[row - 1] === right[column - 1] ? 0 : 1
      now.push(
        Math.min(
          (before[column] as number) + 1,
          (now[column - 1] as number) + 1,
          (before[column - 1] as number) + change,
        ),
      )
    }
    before = now
  }
  return before[right.length] as number
}
