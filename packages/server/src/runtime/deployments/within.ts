/** Waits with an end. */
import { setTimeout as delay } from 'node:timers/promises'

/** Resolves with the work or when the time is over, and the work goes on. @throws what the work throws in time. */
export async function within(work: Promise<void>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms)
  })
  // What it throws later is told in its row.
  work.catch(() => undefined)
  await Promise.race([work, late]).finally(() => clearTimeout(timer))
}

const SHORTEST_MS = 20
const LONGEST_MS = 250

/** Asks again and again, ever more slowly. @returns whether it was so in time. */
export async function becomes(
  isSo: () => Promise<boolean>,
  ms: number,
  now: () => number = () => performance.now(),
): Promise<boolean> {
  const untilMs = now() + ms
  for (let waitMs = SHORTEST_MS; ; waitMs = Math.min(waitMs * 2, LONGEST_MS)) {
    if (await isSo()) return true
    const leftMs = untilMs - now()
    if (leftMs <= 0) return false
    await delay(Math.min(waitMs, leftMs), undefined, { ref: false })
  }
}
