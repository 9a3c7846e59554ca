/** A stream of Anthropic's Messages API, event by event, as a stream of chat completion chunks. */
import type { ChatRequest, FinishReason, JsonObject, Usage } from '../chat-types.ts'
import { ChunkWriter } from '../chunk-writer.ts'
import { malformed, truncated } from '../fault.ts'
import { FenceStripper, withoutFence } from '../fence.ts'
import { objectOf, parseObject, textOf } from '../json.ts'
import type { CallScope, ChatStream, SseEvent } from '../provider.ts'
import { readAnthropicStreamError } from './errors.ts'
import { OpenBlocks } from './open-blocks.ts'
import { finishReasonOf, finishReasonOfForced } from './stop-reason.ts'
import { emulationOf } from './structured.ts'
import { AnthropicUsageReader } from './usage.ts'

export class AnthropicStream implements ChatStream {
  readonly #provider: string
  readonly #scope: CallScope
  readonly #writer: ChunkWriter
  readonly #blocks: OpenBlocks
  readonly #fence: FenceStripper | undefined
  /** The answer is the input of a tool; text beside it is only used when that tool was not called. */
  readonly #forced: boolean
  #aside = ''
  readonly #counts = new AnthropicUsageReader()
  #stopReason: string | undefined
  #finishReason: FinishReason | undefined
  #done = false

  constructor(provider: string, request: ChatRequest, scope: CallScope) {
    const emulation = emulationOf(request)
    const created = Math.floor(scope.nowMs / 1000)
    this.#provider = provider
    this.#scope = scope
    this.#writer = new ChunkWriter(scope.newId('chatcmpl-'), request.model, created)
    this.#blocks = new OpenBlocks(this.#writer, emulation)
    this.#fence = emulation.method === 'none' ? undefined : new FenceStripper()
    this.#forced = emulation.method === 'tool'
  }

  get done(): boolean {
    return this.#done
  }

  get usage(): Usage | undefined {
    return this.#counts.usage
  }

  get finishReason(): FinishReason | undefined {
    return this.#finishReason
  }

  push(event: SseEvent): string[] {
    if (this.#done) return []
    const data = parseObject(event.data)
    if (data === undefined) throw malformed('an event that is not a JSON object')
    switch (data['type'] ?? event.event) {
      case 'message_start':
        return this.#start(data)
      case 'content_block_start':
        return this.#open(data)
      case 'content_block_delta':
        return this.#grow(data)
      case 'content_block_stop':
        return this.#blocks.close(data['index'])
      case 'message_delta':
        return this.#delta(data)
      case 'message_stop':
        return this.#stop()
      case 'error':
        throw readAnthropicStreamError(this.#provider, data['error'])
      default:
        // `ping`, and kinds of events that do not exist yet: clients are to ignore them.
        return []
    }
  }

  end(): string[] {
    if (!this.#done) throw truncated()
    return []
  }

  #start(data: JsonObject): string[] {
    const message = objectOf(data['message'])
    this.#writer.rename(textOf(message['id']), textOf(message['model']))
    this.#counts.add(data)
    return this.#writer.begin()
  }

  #open(data: JsonObject): string[] {
    const block = objectOf(data['content_block'])
    if (block['type'] === 'tool_use') return this.#blocks.open(data['index'], block)
    return block['type'] === 'text' ? this.#text(block['text']) : []
  }

  #grow(data: JsonObject): string[] {
    const delta = objectOf(data['delta'])
    if (delta['type'] === 'text_delta') return this.#text(delta['text'])
    if (delta['type'] !== 'input_json_delta') return []
    return this.#blocks.grow(data['index'], textOf(delta['partial_json']) ?? '')
  }

  #text(value: unknown): string[] {
    const text = textOf(value) ?? ''
    if (this.#forced) {
      this.#aside += text
      return []
    }
    return this.#writer.text(this.#fence === undefined ? text : this.#fence.push(text))
  }

  #delta(data: JsonObject): string[] {
    this.#counts.add(data)
    this.#stopReason = textOf(objectOf(data['delta'])['stop_reason']) ?? this.#stopReason
    return []
  }

  #stop(): string[] {
    if (this.#stopReason === undefined) throw truncated()
    const { answered } = this.#blocks
    const finish = answered ? finishReasonOfForced : finishReasonOf
    const rest = answered ? '' : withoutFence(this.#aside)
    const reason = finish(this.#stopReason)
    const last = this.#blocks.finish(reason === 'length')
    this.#finishReason = reason
    this.#done = true
    const usage = this.#counts.usage
    return [
      ...this.#writer.text(this.#forced ? rest : (this.#fence?.end() ?? '')),
      ...last,
      ...this.#writer.finish(reason),
      ...(usage !== undefined && this.#scope.includeUsage ? this.#writer.usage(usage) : []),
    ]
  }
}
