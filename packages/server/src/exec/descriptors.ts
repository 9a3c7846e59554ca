/**
 * Descriptors that this process was started with and would pass on: a file, a directory or a terminal that is open
 * in a sandbox is a way out of it. The platform marks the lowest of them by itself, and not those behind a gap.
 */
import { closeSync, readdirSync, readFileSync } from 'node:fs'

const LAST_STANDARD_STREAM = 2
const CLOSE_ON_EXEC = 0o2000000

export function closeInherited(): void {
  for (const fd of readdirSync('/proc/self/fd').map(Number)) {
    if (fd > LAST_STANDARD_STREAM && isPassedOn(fd)) closeSync(fd)
  }
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
