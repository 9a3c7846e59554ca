/** A spinner on stderr for what takes longer than a second, on a terminal only. */
import type { OutputStream } from './terminal.ts'

const PATIENCE_MS = 1_000

export interface Busy {
  /** Replaces the text, e.g. to count. */
  say(text: string): void
}

/** Runs `work`; shows that it runs when it takes long. */
export async function busyWith<T>(
  stderr: OutputStream | undefined,
  text: string,
  work: (busy: Busy) => Promise<T>,
): Promise<T> {
  if (stderr?.isTTY !== true) return work({ say: () => {} })
  let current = text
  let finished = false
  let shown: { message(text: string): void; clear(): void } | undefined
  const show = async (): Promise<void> => {
    const { spinner } = await import('@clack/prompts')
    if (finished) return
    const started = spinner({ output: stderr, withGuide: false })
    started.start(current)
    shown = started
  }
  // A spinner that cannot be drawn is no reason to fail the work.
  const timer = setTimeout(() => void show().catch(() => {}), PATIENCE_MS)
  const say = (next: string): void => {
    current = next
    shown?.message(next)
  }
  try {
    return await work({ say })
  } finally {
    finished = true
    clearTimeout(timer)
    shown?.clear()
  }
}
