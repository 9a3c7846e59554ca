/** One call of the messages API, from its request to the end of its answer. None of its methods throws. */
import { clock } from '../adapters/clock.ts'
import type { Framework } from '../adapters/framework.ts'
import type { CaptureChoice } from '../adapters/options.ts'
import { failure } from '../adapters/outcome.ts'
import { quietly } from '../adapters/quietly.ts'
import { fields } from '../adapters/shapes.ts'
import { classNameOf, dataMember, isObject } from '../capture/intrinsics.ts'
import { newStreamRecogniser, recogniseRequest, recogniseResponse } from '../recognise/index.ts'
import { type Span, startSpan } from '../span.ts'

/** Characters of a streamed text that are kept, so that its beginning can be shown. */
const KEPT = 8192

export class ModelCall {
  readonly span: Span
  readonly #signal: unknown
  readonly #startedMs: number
  readonly #stream = newStreamRecogniser()
  #chunks = 0
  #firstMs: number | undefined
  #text = ''

  constructor(fn: string, args: readonly unknown[], framework: Framework, capture: CaptureChoice) {
    const [params, requestOptions] = args
    this.#signal = dataMember(requestOptions, 'signal')
    this.span = startSpan({
      op: 'llm',
      fn,
      payload: { operation: 'chat', provider: 'anthropic', ...recogniseRequest([params]) },
      captured: { preview: { args: [], kwargs: params } },
      framework,
      capture,
    })
    this.#startedMs = clock.monotonicMs()
  }

  /** The whole answer. */
  answer(message: unknown): void {
    quietly(() =>
      this.span.end({
        status: 'ok',
        payload: recogniseResponse(message),
        captured: { preview: { result: dataMember(message, 'content') ?? message } },
      }),
    )
  }

  /** A piece of it. */
  chunk(event: unknown): void {
    quietly(() => {
      this.#chunks += 1
      this.#stream.chunk(event)
      if (this.#stream.hasContent) this.#firstMs ??= clock.monotonicMs() - this.#startedMs
      const text = fields(fields(event)?.['delta'])?.['text']
      if (typeof text === 'string' && this.#text.length < KEPT) this.#text += text
    })
  }

  /** No more pieces will come. */
  done(isAborted: boolean): void {
    quietly(() => this.#finish(isAborted ? 'cancelled' : 'ok'))
  }

  cancel(): void {
    quietly(() => this.#finish('cancelled'))
  }

  /** Nobody reads it any more. */
  abandon(): void {
    quietly(() => this.#finish(this.#chunks === 0 ? 'unobserved' : 'abandoned'))
  }

  /** The bare HTTP answer was asked for, so what is in it stays unknown. */
  handOver(): void {
    quietly(() => this.span.end({ status: 'ok', payload: { observed: 'side' } }))
  }

  fail(error: unknown): void {
    quietly(() => {
      const isAbort = isObject(error) && classNameOf(error) === 'APIUserAbortError'
      const status = isAbort ? 'cancelled' : failure(error, this.#signal)
      this.span.end({ status, error, payload: this.#told() })
    })
  }

  #finish(status: 'ok' | 'cancelled' | 'abandoned' | 'unobserved'): void {
    this.span.end({
      status,
      payload: this.#told(),
      captured: this.#text === '' ? undefined : { preview: { result: this.#text } },
    })
  }

  #told(): Record<string, unknown> {
    if (this.#chunks === 0) return {}
    return {
      chunks: this.#chunks,
      ...(this.#firstMs !== undefined && { ttft_ms: Math.round(this.#firstMs * 1000) / 1000 }),
      ...this.#stream.result(),
    }
  }
}
