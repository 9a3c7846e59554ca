/**
 * Takes a surrounding Markdown code fence off an answer that should be bare JSON. Works on pieces, so
 * that a stream and a whole answer come out the same.
 */

const FENCE = '```'
/** Characters held back at either end; what needs more is no fence but an answer full of blanks. */
const MOST_HELD = 1024

export class FenceStripper {
  #state: 'start' | 'bare' | 'fenced' = 'start'
  #held = ''

  /** @returns What is certain to belong to the answer. */
  push(text: string): string {
    if (this.#state === 'bare') return text
    this.#held += text
    if (this.#state === 'start') this.#decide()
    if (this.#state === 'start') return ''
    return this.#state === 'fenced' ? this.#release() : this.#all()
  }

  /** What was held back, without the closing fence. */
  end(): string {
    const rest = this.#all()
    const kept = rest.trimEnd()
    if (this.#state !== 'fenced' || !kept.endsWith(FENCE)) return rest
    return kept.slice(0, -FENCE.length).trimEnd()
  }

  /** Tells by the first line whether there is a fence, as soon as it can be told. */
  #decide(): void {
    const start = this.#held.trimStart()
    const line = start.indexOf('\n')
    const maybe = start.startsWith(FENCE) ? line === -1 : FENCE.startsWith(start)
    if (maybe && this.#held.length <= MOST_HELD) return
    this.#state = start.startsWith(FENCE) && line !== -1 ? 'fenced' : 'bare'
    if (this.#state === 'fenced') this.#held = start.slice(line + 1)
  }

  #release(): string {
    const tail = closingTail(this.#held)
    const sure = this.#held.slice(0, this.#held.length - (tail > MOST_HELD ? 0 : tail))
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

/** Length of what may turn out to be the closing fence: blanks, up to three backticks, blanks. */
function closingTail(text: string): number {
  const ticked = text.trimEnd()
  let at = ticked.length
  while (at > 0 && ticked.length - at < FENCE.length && ticked[at - 1] === '`') at -= 1
  return text.length - text.slice(0, at).trimEnd().length
}
