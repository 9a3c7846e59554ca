/**
 * Descriptors that this process was started with and would pass on: a file, a directory or a terminal that is open
 * in a sandbox is a way out of it. The platform marks the lowest of them by itself, and not those behind a gap. They are
 * not closed here: threads of the platform open files without the mark, too, and would lose theirs, or somebody else's
 * that has the number by then.
 */
import { readdirSync, readFileSync } from 'node:fs'

const LAST_STANDARD_STREAM = 2
const CLOSE_ON_EXEC = 0o2000000

/** @returns Numbers of those that a child would get, the standard streams left out. */
export function passedOn(): number[] {
  return readdirSync('/proc/self/fd')
    .map(Number)
    .filter((fd) => fd > LAST_STANDARD_STREAM && isPassedOn(fd))
}

/**
 * What a child gets instead: `nothing` in the place of each of them.
 *
 * @param given Its first descriptors.
 * @param nothing An open descriptor that leads nowhere.
 */
export function covered<T>(
  given: readonly T[],
  passed: readonly number[],
  nothing: number,
): (T | number | 'ignore')[] {
  const hidden = new Set(passed.filter((fd) => fd >= given.length))
  const length = Math.max(given.length, ...[...hidden].map((fd) => fd + 1))
  return Array.from({ length }, (_, fd) => given[fd] ?? (hidden.has(fd) ? nothing : 'ignore'))
}

/** Our own are all marked. */
function isPassedOn(fd: number): boolean {
  try {
    const flags = /^flags:\s*([0-7]+)$/m.exec(
      readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1'),
    )?.[1]
    return flags !== undefined && (Number.parseInt(flags, 8) & CLOSE_ON_EXEC) === 0
  } catch {
    return false // the one that the list was read with
  }
}
