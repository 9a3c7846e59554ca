/**
 * Takes secrets out of what an upstream sent (wire contract §8.7): bodies, header text, URLs, error text. Each place
 * becomes `[REDACTED]`, which holds neither quote nor back-slash, so JSON stays JSON.
 */
import { VestryError } from '@vestry/contract/errors'
import { Matcher, type Span } from './match.ts'
import type { Needles } from './needles.ts'

const MARK = Buffer.from('[REDACTED]', 'latin1')

/** How far before a match is looked to see whether a token begins there. */
const LOOK_BEHIND = 6

export interface Redactions {
  count: number
  /** Where: `body`, `url`, `error`, `header:<name>`, `header-name`. */
  places: string[]
}

export class Scrubber {
  readonly #matcher: Matcher
  readonly #places = new Map<string, number>()

  constructor(needles: Needles) {
    this.#matcher = Matcher.of(needles)
  }

  get redactions(): Redactions {
    const counts = [...this.#places.values()]
    return {
      count: counts.reduce((sum, count) => sum + count, 0),
      places: [...this.#places.keys()],
    }
  }

  /**
   * @param complete False when the body was cut: then what may be the beginning of a secret at its end is
   *   left out.
   */
  body(data: Uint8Array, complete: boolean): Uint8Array {
    const { spans, decided } = this.#matcher.scan(data, { final: complete })
    return this.#replace(data.subarray(0, decided), within(spans, decided), 'body')
  }

  /** Bytes of a header or the like, where letters may have changed case. */
  bytes(data: Uint8Array, place: string): Uint8Array {
    const { spans } = this.#matcher.scan(data, { final: true, foldCase: true })
    return this.#replace(data, spans, place)
  }

  text(text: string, place: string): string {
    const data = Buffer.from(text, 'utf8')
    const clean = this.bytes(data, place)
    return clean === data ? text : Buffer.from(clean).toString('utf8')
  }

  /** The same error, or its copy with message, hint and context cleaned and the cause left out. */
  error(error: VestryError): VestryError {
    const before = this.redactions.count
    const message = this.text(error.message, 'error')
    const hint = error.hint === undefined ? undefined : this.text(error.hint, 'error')
    const context = this.#value(error.context)
    // The causes are only looked at: they may hold what a parser choked on.
    for (let cause = error.cause, depth = 0; cause instanceof Error && depth < 5; depth += 1) {
      this.text(cause.message, 'error')
      cause = cause.cause
    }
    if (this.redactions.count === before) return error
    return new VestryError(error.code, message, {
      ...(hint === undefined ? {} : { hint }),
      context: isRecord(context) ? context : {},
    })
  }

  /** For bodies that are passed on as they come. Counts as `body`. */
  stream(): StreamScrubber {
    return new StreamScrubber(this.#matcher, (data, spans) => this.#replace(data, spans, 'body'))
  }

  #value(value: unknown): unknown {
    if (typeof value === 'string') return this.text(value, 'error')
    if (Array.isArray(value)) return value.map((item) => this.#value(item))
    if (!isRecord(value)) return value
    return Object.fromEntries(
      Object.entries(value).map(([key, item]) => [this.text(key, 'error'), this.#value(item)]),
    )
  }

  #replace(data: Uint8Array, spans: readonly Span[], place: string): Uint8Array {
    if (spans.length === 0) return data
    this.#places.set(place, (this.#places.get(place) ?? 0) + spans.length)
    const parts: Uint8Array[] = []
    let from = 0
    for (const { start, end } of spans) {
      parts.push(data.subarray(from, start), MARK)
      from = end
    }
    parts.push(data.subarray(from))
    return Buffer.concat(parts)
  }
}

/** Holds back only what may be the beginning of a secret, so ordinary text passes without delay. */
export class StreamScrubber {
  readonly #matcher: Matcher
  readonly #replace: (data: Uint8Array, spans: readonly Span[]) => Uint8Array
  #behind = new Uint8Array()
  #held = new Uint8Array()

  constructor(matcher: Matcher, replace: (data: Uint8Array, spans: readonly Span[]) => Uint8Array) {
    this.#matcher = matcher
    this.#replace = replace
  }

  /** Bytes that wait for what follows. */
  get held(): number {
    return this.#held.length
  }

  push(chunk: Uint8Array): Uint8Array {
    return this.#take(chunk, false)
  }

  /** What is still held, when no more comes. */
  end(): Uint8Array {
    return this.#take(new Uint8Array(), true)
  }

  #take(chunk: Uint8Array, final: boolean): Uint8Array {
    if (this.#matcher.matchesNothing) return chunk
    const data = Buffer.concat([this.#behind, this.#held, chunk])
    const from = this.#behind.length
    const { spans, decided } = this.#matcher.scan(data, { final, from })
    this.#held = Uint8Array.from(data.subarray(decided))
    this.#behind = Uint8Array.from(data.subarray(Math.max(0, decided - LOOK_BEHIND), decided))
    return this.#replace(data.subarray(0, decided), within(spans, decided)).subarray(from)
  }
}

function within(spans: readonly Span[], decided: number): readonly Span[] {
  return spans.filter((span) => span.end <= decided)
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !ArrayBuffer.isView(value)
}
