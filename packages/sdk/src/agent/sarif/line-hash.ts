/**
 * Fingerprints of lines that survive edits elsewhere in the file: the algorithm by which code scanning
 * recognises an alert it has seen before, `primaryLocationLineHash`.
 */

const WINDOW = 100
const END = 65_535
const TAB = 9
const LF = 10
const CR = 13
const SPACE = 32
const TWO_32 = 2 ** 32

/** @returns `<hash in hex>:<its running count in the file>` for each line, the first at index 0. */
export function lineHashes(text: string): string[] {
  const { units, starts } = kept(text)
  const seen = new Map<string, number>()
  return starts.map((start) => {
    const hash = hashAt(units, start)
    const count = (seen.get(hash) ?? 0) + 1
    seen.set(hash, count)
    return `${hash}:${count}`
  })
}

/** The text without blanks and with one kind of line end, padded; and where its lines start. */
function kept(text: string): { units: Uint16Array; starts: number[] } {
  const units = new Uint16Array(text.length + 1 + WINDOW)
  const starts: number[] = []
  let length = 0
  let atStart = true
  const keep = (unit: number) => {
    if (atStart) starts.push(length)
    atStart = unit === LF
    units[length] = unit
    length += 1
  }
  for (let at = 0; at < text.length; at += 1) {
    const unit = text.charCodeAt(at)
    if (unit === SPACE || unit === TAB) continue
    if (unit === LF && at > 0 && text.charCodeAt(at - 1) === CR) continue
    keep(unit === CR ? LF : unit)
  }
  keep(END)
  return { units: units.subarray(0, length + WINDOW), starts }
}

/** A polynomial in 37 modulo 2^64, in two halves: exact in floating point, and far faster than BigInt. */
function hashAt(units: Uint16Array, start: number): string {
  let high = 0
  let low = 0
  for (let at = start; at < start + WINDOW; at += 1) {
    const next = low * 37 + (units[at] ?? 0)
    low = next % TWO_32
    high = (high * 37 + Math.floor(next / TWO_32)) % TWO_32
  }
  const tail = low.toString(16)
  return high === 0 ? tail : high.toString(16) + tail.padStart(8, '0')
}
