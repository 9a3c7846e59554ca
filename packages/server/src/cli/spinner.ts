/** One line on stderr for what takes longer than a second, on a terminal only. Reads no keys: Ctrl-C stays a signal. */

import type { OutputStream } from './terminal.ts'
import { safeText } from './terminal-text.ts'

const PATIENCE_MS = 1_000
const FRAME_MS = 100
const FRAMES = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏']
const CLEAR_LINE = '\r\u001b[2K'

export interface Busy {
  /** Replaces the text, e.g. to count. */
  say(text: string): void
  /** Takes the line away, so that something else can be written; it comes back by itself. */
  clear(): void
}

/** Runs `work`; shows that it runs, and for how long, when it takes long. */
export async function busyWith<T>(
  stderr: OutputStream | undefined,
  text: string,
  work: (busy: Busy) => Promise<T>,
): Promise<T> {
  if (stderr?.isTTY !== true) return work({ say: () => {}, clear: () => {} })
  const startedMs = performance.now()
  let current = text
  let shown = false
  const clear = (): void => {
    if (shown) stderr.write(CLEAR_LINE)
    shown = false
  }
  const draw = (): void => {
    const elapsedMs = performance.now() - startedMs
    if (elapsedMs < PATIENCE_MS) return
    const frame = FRAMES[Math.floor(elapsedMs / FRAME_MS) % FRAMES.length]
    const line = `${frame} ${safeText(current)} (${Math.floor(elapsedMs / 1_000)} s)`
    // A line that wraps could not be taken away again.
    stderr.write(CLEAR_LINE + line.slice(0, (stderr.columns ?? 80) - 1))
    shown = true
  }
  const timer = setInterval(draw, FRAME_MS)
  const say = (next: string): void => {
    current = next
  }
  try {
    return await work({ say, clear })
  } finally {
    clearInterval(timer)
    clear()
  }
}
