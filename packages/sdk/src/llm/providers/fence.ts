/**
 * Takes a surrounding Markdown code fence off an answer that should be bare JSON. Works on pieces, so
 * that a stream and a whole answer come out the same.
 */

const FENCE = '```'
/** What may turn out to be the closing fence. */
const MAYBE_CLOSING = /\s*`{0,3}\s*$/

export class FenceStripper {
  #state: 'start' | 'bare' | 'fenced' = 'start'
  #held = ''

  /** @returns What is certain to belong to the answer. */
  push(text: string): string {
    if (this.#state === 'bare') return text
    this.#held += text
    if (this.#state === 'start' && !this.#opened()) return ''
    return this.#state === 'fenced' ? this.#release() : this.#all()
  }

  /** What was held back, without the closing fence. */
  end(): string {
    const rest = this.#all()
    return this.#state === 'fenced' ? rest.replace(/\s*```\s*$/, '') : rest
  }

  /** Decides on the first line whether there is a fence; false while it cannot be told. */
  #opened(): boolean {
    const start = this.#held.trimStart()
    if (start.length < FENCE.length && FENCE.startsWith(start)) return false
    if (!start.startsWith(FENCE)) {
      this.#state = 'bare'
      return true
    }
    const line = start.indexOf('\n')
    if (line === -1) return false
    this.#held = start.slice(line + 1)
    this.#state = 'fenced'
    return true
  }

  /** Only the tail is searched, so a long answer in many pieces stays linear. */
  #release(): string {
    const tail = MAYBE_CLOSING.exec(this.#held)?.[0].length ?? 0
    const sure = this.#held.slice(0, this.#held.length - tail)
    this.#held = this.#held.slice(sure.length)
    return sure
  }

  #all(): string {
    const held = this.#held
    this.#held = ''
    return held
  }
}

export function withoutFence(text: string): string {
  const stripper = new FenceStripper()
  return stripper.push(text) + stripper.end()
}
