/** Processor use over the last seconds: the difference between now and a reading that is at least a second old. */
import { type CpuReading, percent } from './host-usage.ts'

const SAMPLE_EVERY_MS = 5_000
const MIN_WINDOW_MS = 1_000

export class CpuSampler implements Disposable {
  readonly #read: (nowMs: number) => CpuReading
  readonly #now: () => number
  /** Newest first. */
  #readings: { readonly atMs: number; readonly reading: CpuReading }[] = []
  readonly #timer: NodeJS.Timeout

  /** @param deps.now On a clock that never goes back. */
  constructor(deps: { read: (nowMs: number) => CpuReading; now: () => number }) {
    this.#read = deps.read
    this.#now = deps.now
    this.#sample()
    this.#timer = setInterval(() => this.#sample(), SAMPLE_EVERY_MS).unref()
  }

  /** 0 to 100, all cores together; 0 in the first second. */
  percent(): number {
    const nowMs = this.#now()
    const before = this.#readings.find(({ atMs }) => nowMs - atMs >= MIN_WINDOW_MS)
    if (before === undefined) return 0
    const now = this.#read(nowMs)
    const { usedMs, possibleMs } = before.reading
    return percent(now.usedMs - usedMs, now.possibleMs - possibleMs)
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
  }

  #sample(): void {
    const atMs = this.#now()
    this.#readings = [{ atMs, reading: this.#read(atMs) }, ...this.#readings].slice(0, 2)
  }
}
