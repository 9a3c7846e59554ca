/** What a model's stream amounts to, from its parts as they pass: counts and names, and text while capturing. */
import { clock, rounded } from '../adapters/clock.ts'
import { fields, present, text } from '../adapters/shapes.ts'
import { answered, type Generation, type ModelName, type Reply, toolCall } from './generations.ts'

const MAX_TOOL_CALLS = 128
/** More of the text than any preview shows, so that what is cut off is still seen by the redaction. */
const MAX_TEXT = 65_536

export class StreamFigures {
  readonly #generation: Generation
  readonly #model: ModelName
  readonly #beganMs = clock.monotonicMs()
  #firstTextMs: number | undefined
  #chunks = 0
  #modelId: unknown
  #id: unknown
  #finishReason: string | undefined
  #usage: Reply['usage']
  #text = ''
  readonly #toolCalls: Record<string, unknown>[] = []
  #error: { readonly error: unknown } | undefined

  constructor(generation: Generation, model: ModelName) {
    this.#generation = generation
    this.#model = model
  }

  /** An error that came as a part of the stream. */
  get error(): { readonly error: unknown } | undefined {
    return this.#error
  }

  part(value: unknown): void {
    const part = fields(value)
    if (part === undefined) return
    const delta = this.#generation.delta(part)
    if (delta !== undefined) this.#add(delta)
    switch (part['type']) {
      case 'response-metadata':
        this.#modelId = part['modelId'] ?? this.#modelId
        this.#id = part['id'] ?? this.#id
        break
      case 'tool-call':
        if (this.#toolCalls.length < MAX_TOOL_CALLS) this.#toolCalls.push(...toolCall(part))
        break
      case 'finish':
        this.#finishReason = this.#generation.finishReason(part['finishReason'])
        this.#usage = this.#generation.usage(
          part['usage'],
          fields(part['providerMetadata']),
          this.#model,
        )
        break
      case 'error':
        this.#error ??= { error: part['error'] }
        break
      default:
    }
  }

  #add(delta: string): void {
    this.#chunks += 1
    this.#firstTextMs ??= clock.monotonicMs()
    if (this.#text.length < MAX_TEXT) this.#text += delta.slice(0, MAX_TEXT - this.#text.length)
  }

  reply(): Reply {
    const first = this.#firstTextMs
    return {
      payload: present({
        ...answered(this.#modelId, this.#id, this.#finishReason, this.#toolCalls),
        chunks: this.#chunks,
        ttft_ms: first === undefined ? undefined : rounded(first - this.#beganMs),
      }),
      usage: this.#usage,
      content: text(this.#text),
    }
  }
}
