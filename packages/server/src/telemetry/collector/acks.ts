/**
 * What one connection is told of its events: up to which number all that it sent is in the log file. Cumulative, and
 * never ahead of the log.
 */

/** An acknowledgement is due after so many events, or so long after the first of them. */
const EVERY = 64
const WITHIN_MS = 100
const ASK_AGAIN_MS = 1_000
const MAX_REJECTED = 1_024

export interface AcksDeps {
  readonly send: (message: Readonly<Record<string, unknown>>) => void
  /** @returns Whether the log takes records, and all that it kept in memory has been written. */
  readonly caughtUp: () => Promise<boolean>
  /** How often an event that the log kept in memory is asked about; 1 s unless told. */
  readonly askAgainMs?: number
}

export class Acks {
  readonly #deps: AcksDeps
  /** Numbers not yet done, in the order they came; the first `#head` of them are. */
  #sent: number[] = []
  #head = 0
  /** How many were done and taken off the list. */
  #base = 0
  #acked = 0
  #highest = 0
  #since = 0
  #rejected: number[] = []
  #timer: NodeJS.Timeout | undefined
  #asking: NodeJS.Timeout | undefined
  #closed = false

  constructor(deps: AcksDeps) {
    this.#deps = deps
  }

  /** The highest number up to which everything is in the log file. */
  get highest(): number {
    return this.#highest
  }

  get pending(): number {
    return this.#sent.length - this.#head
  }

  /** @param written Resolves to whether it is in the log file. */
  add(seq: number, written: Promise<boolean>): void {
    const index = this.#base + this.#sent.push(seq) - 1
    void written.then((done) => {
      if (done) this.#doneUpTo(index)
      else this.#askAgain()
    })
  }

  /**
   * Refused for good: it need not be sent again.
   * @param before Resolves to whether everything that came before it is in the log file.
   */
  reject(seq: number, before: Promise<boolean>): void {
    if (this.#rejected.length < MAX_REJECTED) this.#rejected.push(seq)
    this.add(seq, before)
  }

  /** @returns What to call once everything added so far is known to be in the log file. */
  settler(): () => void {
    const last = this.#base + this.#sent.length - 1
    return () => this.#doneUpTo(last)
  }

  /** Says what is to be said at once. */
  flush(): void {
    if (this.#closed) return
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#since = 0
    if (this.#highest === this.#acked && this.#rejected.length === 0) return
    const rejected = this.#rejected.filter((seq) => seq <= this.#highest)
    if (this.#highest === this.#acked && rejected.length === 0) return
    this.#rejected = this.#rejected.filter((seq) => seq > this.#highest)
    this.#acked = this.#highest
    this.#deps.send({ type: 'aot_ack', seq: this.#highest, rejected })
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#timer)
    clearTimeout(this.#asking)
  }

  /** The log writes in order: what stands in it has everything before it in it. */
  #doneUpTo(index: number): void {
    const end = index - this.#base + 1
    for (; this.#head < end; this.#head += 1) {
      const seq = this.#sent[this.#head] ?? 0
      if (seq > this.#highest) this.#highest = seq
      this.#since += 1
    }
    if (this.#head > 0 && this.#head * 2 >= this.#sent.length) {
      this.#sent.splice(0, this.#head)
      this.#base += this.#head
      this.#head = 0
    }
    if (this.#since >= EVERY) this.flush()
    else if (this.#since > 0) this.#timer ??= setTimeout(() => this.flush(), WITHIN_MS)
  }

  #askAgain(): void {
    if (this.#closed) return
    this.#asking ??= setTimeout(() => {
      this.#asking = undefined
      if (this.pending === 0) return
      const settle = this.settler()
      void this.#deps.caughtUp().then((yes) => {
        if (yes) settle()
        else this.#askAgain()
      })
    }, this.#deps.askAgainMs ?? ASK_AGAIN_MS)
  }
}
