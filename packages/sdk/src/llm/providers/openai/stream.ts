/**
 * A stream of OpenAI, or of a server with its API: passed on as it came where it keeps the promises
 * of an OpenAI stream, put in order where it does not.
 */
import type { ChatRequest, FinishReason, JsonObject, Usage } from '../chat-types.ts'
import { malformed, truncated } from '../fault.ts'
import { countOf, isObject, listOf, objectOf, parseObject, textOf } from '../json.ts'
import type { CallScope, ChatStream, SseEvent } from '../provider.ts'
import { readOpenAiStreamError } from './errors.ts'
import { finishReasonOf } from './finish-reason.ts'
import { ToolCallLog } from './tool-call-log.ts'
import { usageOf } from './usage.ts'

const DONE = '[DONE]'

export class OpenAiStream implements ChatStream {
  readonly #provider: string
  readonly #request: ChatRequest
  readonly #scope: CallScope
  readonly #calls: ToolCallLog
  #head: JsonObject | undefined
  #begun = false
  #refused = false
  #usageWritten = false
  #done = false
  #usage: Usage | undefined
  #finishReason: FinishReason | undefined

  constructor(provider: string, request: ChatRequest, scope: CallScope) {
    this.#provider = provider
    this.#request = request
    this.#scope = scope
    this.#calls = new ToolCallLog(scope)
  }

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
    if (event.data.trim() === DONE) return this.#close()
    const chunk = parseObject(event.data)
    if (chunk === undefined) throw malformed('an event that is not a JSON object')
    const failed = event.event === 'error' ? (chunk['error'] ?? chunk) : chunk['error']
    if (failed !== undefined && failed !== null) throw readOpenAiStreamError(this.#provider, failed)
    this.#usage = usageOf(chunk['usage']) ?? this.#usage
    const choice = listOf(chunk['choices']).find((given) => (objectOf(given)['index'] ?? 0) === 0)
    if (choice === undefined || choice === null) return this.#withoutChoice(chunk, event.data)
    if (this.#finishReason !== undefined) return []
    return this.#withChoice(chunk, objectOf(choice), event.data)
  }

  end(): string[] {
    return this.#done ? [] : this.#close()
  }

  #close(): string[] {
    if (this.#finishReason === undefined) throw truncated()
    this.#done = true
    if (!this.#scope.includeUsage || this.#usageWritten || this.#usage === undefined) return []
    return [this.#written([], { usage: this.#usage })]
  }

  /** The usage event; one with neither choices nor usage says nothing to anybody. */
  #withoutChoice(chunk: JsonObject, data: string): string[] {
    if (!isObject(chunk['usage']) || !this.#scope.includeUsage || this.#usageWritten) return []
    if (this.#usage === undefined) return []
    // Before the finish it would stand in the wrong place; then it is written at the end.
    if (this.#finishReason === undefined) return []
    this.#usageWritten = true
    this.#head ??= headOf(chunk, this.#request, this.#scope)
    const whole = ['prompt_tokens', 'completion_tokens', 'total_tokens'].every((name) =>
      Number.isInteger(objectOf(chunk['usage'])[name]),
    )
    const same = whole && isWhole(chunk) && Array.isArray(chunk['choices']) && isOneLine(data)
    return [same ? data : this.#written([], { usage: this.#usage })]
  }

  #withChoice(chunk: JsonObject, choice: JsonObject, data: string): string[] {
    this.#head ??= headOf(chunk, this.#request, this.#scope)
    const delta = objectOf(choice['delta'])
    const given = textOf(delta['content']) ?? ''
    const refusal = textOf(delta['refusal']) ?? ''
    if (refusal !== '') this.#refused = true
    const text = given + refusal
    const calls = this.#calls.take(delta['tool_calls'])
    const ended = textOf(choice['finish_reason'])
    const opening = !this.#begun
    this.#begun = true

    const pieces = [text !== '', calls.changes.length > 0, ended !== undefined].filter(
      Boolean,
    ).length
    const asItCame =
      isOneLine(data) &&
      isWhole(chunk) &&
      isObject(choice['delta']) &&
      typeof choice['index'] === 'number' &&
      !isObject(chunk['usage']) &&
      refusal === '' &&
      !calls.repaired &&
      delta['content'] !== null &&
      (!opening || (delta['role'] === 'assistant' && given === '' && pieces === 0)) &&
      pieces <= 1
    if (ended !== undefined) this.#finishReason = this.#reasonOf(ended)
    const last = ended === undefined ? [] : this.#calls.finish(this.#finishReason === 'length')
    if (asItCame && last.length === 0 && (ended === undefined || ended === this.#finishReason)) {
      return [data]
    }

    const events: string[] = []
    if (opening) events.push(this.#event({ role: 'assistant', content: '' }))
    if (text !== '') events.push(this.#event({ content: text }, choice))
    for (const call of [...calls.changes, ...last]) events.push(this.#event({ tool_calls: [call] }))
    if (this.#finishReason !== undefined) events.push(this.#event({}, {}, this.#finishReason))
    return events
  }

  #reasonOf(ended: string): FinishReason {
    return this.#refused ? 'content_filter' : finishReasonOf(ended)
  }

  /** @param choice Of the event that came, for what else it says, e.g. `logprobs`. */
  #event(
    delta: JsonObject,
    choice: JsonObject = {},
    finish_reason: FinishReason | null = null,
  ): string {
    const { index: _index, delta: _delta, finish_reason: _reason, ...rest } = choice
    return this.#written([{ index: 0, delta, ...rest, finish_reason }], {})
  }

  #written(choices: readonly JsonObject[], rest: JsonObject): string {
    this.#head ??= headOf({}, this.#request, this.#scope)
    return JSON.stringify({ ...this.#head, choices, ...rest })
  }
}

/** What every event of this stream begins with, from the first one. */
function headOf(chunk: JsonObject, request: ChatRequest, scope: CallScope): JsonObject {
  return {
    id: textOf(chunk['id']) ?? scope.newId('chatcmpl-'),
    object: 'chat.completion.chunk',
    created: countOf(chunk['created']) ?? Math.floor(scope.nowMs / 1000),
    model: textOf(chunk['model']) ?? request.model,
  }
}

function isWhole(chunk: JsonObject): boolean {
  const named = textOf(chunk['id']) !== undefined && textOf(chunk['model']) !== undefined
  return (
    named && chunk['object'] === 'chat.completion.chunk' && typeof chunk['created'] === 'number'
  )
}

/** Several `data:` lines make one event, but our readers take one line. */
function isOneLine(data: string): boolean {
  return !data.includes('\n') && !data.includes('\r')
}
