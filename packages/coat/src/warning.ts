/** Lines on stderr for the person who runs the program: each is said once, and saying it never waits. */
import { openStderr } from './transport/stderr.ts'

const MAX_SAID = 64
const said = new Set<string>()

/** @param text One line, without the prefix that tells warnings from events. */
export function warnOnce(text: string): void {
  if (said.has(text) || said.size >= MAX_SAID) return
  said.add(text)
  try {
    const stderr = openStderr()
    stderr.write(Buffer.from(`[coat:warn] ${text}\n`))
    // What cannot be written now is not written: this is no event.
    stderr.progress()
    stderr.close()
  } catch {
    // Nobody reads.
  }
}
