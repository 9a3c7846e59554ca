/** Three deadlines of one streamed answer: its first byte, the pause before the next one, and its end. */

export interface StreamTimes {
  /** From the start to the first byte of the body. */
  firstByteMs: number
  /** Between two bytes, while somebody waits for the next one. */
  idleMs: number
  /** From the start to the last byte. */
  totalMs: number
}

export type MissedDeadline = 'first_byte' | 'idle' | 'total'

export class StreamClock implements Disposable {
  readonly #times: StreamTimes
  readonly #controller = new AbortController()
  readonly #total: NodeJS.Timeout
  #gap: NodeJS.Timeout
  #begun = false
  #waiting = true
  /** The gap ran out while nobody waited: a slow reader is no fault of the upstream. */
  #lapsed = false
  #missed: MissedDeadline | undefined

  constructor(times: StreamTimes) {
    this.#times = times
    this.#total = setTimeout(() => this.#cut('total'), times.totalMs)
    this.#gap = setTimeout(() => this.#onGap(), times.firstByteMs)
  }

  /** Aborted by the first deadline that is missed. */
  get signal(): AbortSignal {
    return this.#controller.signal
  }

  get missed(): { phase: MissedDeadline; ms: number } | undefined {
    const phase = this.#missed
    if (phase === undefined) return undefined
    const { firstByteMs, idleMs, totalMs } = this.#times
    return { phase, ms: { first_byte: firstByteMs, idle: idleMs, total: totalMs }[phase] }
  }

  /** Somebody asks for the next byte. */
  waits(): void {
    this.#waiting = true
    if (this.#begun || this.#lapsed) this.#gap.refresh()
    this.#lapsed = false
  }

  /** The head of the answer, or a byte of its body, is there. */
  rests(): void {
    this.#waiting = false
  }

  /** The first byte of the body is there: from now on pauses count. */
  begins(): void {
    if (this.#begun) return
    this.#begun = true
    clearTimeout(this.#gap)
    this.#gap = setTimeout(() => this.#onGap(), this.#times.idleMs)
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#gap)
    clearTimeout(this.#total)
  }

  #onGap(): void {
    if (this.#waiting) this.#cut(this.#begun ? 'idle' : 'first_byte')
    else this.#lapsed = true
  }

  #cut(phase: MissedDeadline): void {
    this.#missed ??= phase
    this[Symbol.dispose]()
    this.#controller.abort()
  }
}
