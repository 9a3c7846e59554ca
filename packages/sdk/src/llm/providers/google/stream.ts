/** A stream of Gemini's streamGenerateContent, each event a partial answer, as chat completion chunks. */
import type { ChatRequest, FinishReason, Usage } from '../chat-types.ts'
import { ChunkWriter } from '../chunk-writer.ts'
import { malformed, truncated } from '../fault.ts'
import { FenceStripper } from '../fence.ts'
import { isObject, listOf, objectOf, parseObject, textOf } from '../json.ts'
import type { CallScope, ChatStream, SseEvent } from '../provider.ts'
import { blocked, finishReasonOf, readParts, usageOf } from './answer.ts'
import { readGoogleStreamError } from './errors.ts'
import { wantsFenceOff } from './response.ts'

export class GoogleStream implements ChatStream {
  readonly #provider: string
  readonly #scope: CallScope
  readonly #writer: ChunkWriter
  readonly #fence: FenceStripper | undefined
  #calls = 0
  #answered = false
  #heard = false
  #ended: string | undefined
  #usage: Usage | undefined
  #finishReason: FinishReason | undefined
  #done = false

  constructor(provider: string, request: ChatRequest, scope: CallScope) {
    const created = Math.floor(scope.nowMs / 1000)
    this.#provider = provider
    this.#scope = scope
    this.#writer = new ChunkWriter(scope.newId('chatcmpl-'), request.model, created)
    this.#fence = wantsFenceOff(request) ? new FenceStripper() : undefined
  }

  /** Only after `end()`: Gemini says nothing after its last event. */
  get done(): boolean {
    return this.#done
  }

  get usage(): Usage | undefined {
    return this.#usage
  }

  get finishReason(): FinishReason | undefined {
    return this.#finishReason
  }

  push(event: SseEvent): string[] {
    if (this.#done) return []
    const data = parseObject(event.data)
    if (data === undefined) throw malformed('an event that is not a JSON object')
    if (isObject(data['error'])) throw readGoogleStreamError(this.#provider, data)
    this.#heard = true
    this.#usage = usageOf(data['usageMetadata']) ?? this.#usage
    const [first] = listOf(data['candidates'])
    if (first === undefined) {
      const feedback = data['promptFeedback']
      if (textOf(objectOf(feedback)['blockReason']) !== undefined) throw blocked(feedback)
      return []
    }
    this.#writer.rename(textOf(data['responseId']), textOf(data['modelVersion']))
    return this.#candidate(objectOf(first))
  }

  end(): string[] {
    if (this.#done) return []
    if (this.#heard && !this.#answered) throw blocked(undefined)
    if (this.#ended === undefined) throw truncated()
    const reason = finishReasonOf(this.#ended, this.#calls > 0)
    this.#finishReason = reason
    this.#done = true
    return [
      ...this.#writer.text(this.#fence?.end() ?? ''),
      ...this.#writer.finish(reason),
      ...(this.#usage !== undefined && this.#scope.includeUsage
        ? this.#writer.usage(this.#usage)
        : []),
    ]
  }

  #candidate(candidate: Record<string, unknown>): string[] {
    this.#answered = true
    const ended = textOf(candidate['finishReason'])
    // Told at once when the ending is a failure, not after what would look like an answer.
    if (ended !== undefined) finishReasonOf(ended, false)
    this.#ended = ended ?? this.#ended
    const { text, calls } = readParts(candidate, this.#scope)
    const events = this.#writer.text(this.#fence === undefined ? text : this.#fence.push(text))
    for (const { id, name, args } of calls) {
      events.push(...this.#writer.toolStart(this.#calls, id, name))
      events.push(...this.#writer.toolArguments(this.#calls, args))
      this.#calls += 1
    }
    return events
  }
}
