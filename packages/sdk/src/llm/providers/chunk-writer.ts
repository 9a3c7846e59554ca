/** Writes the events of an OpenAI stream, in the order its readers rely on: role, deltas, finish, usage. */
import type { ChatChunk, FinishReason, ToolCallDelta, Usage } from './chat-types.ts'

type Delta = ChatChunk['choices'][number]['delta']

export class ChunkWriter {
  readonly #head: Pick<ChatChunk, 'object' | 'created'>
  #id: string
  #model: string
  #begun = false

  /** @param created Seconds since the epoch. */
  constructor(id: string, model: string, created: number) {
    this.#id = id
    this.#model = model
    this.#head = { object: 'chat.completion.chunk', created }
  }

  /** Takes the provider's names, as long as nothing was written under ours. */
  rename(id: string | undefined, model: string | undefined): void {
    if (this.#begun) return
    this.#id = id ?? this.#id
    this.#model = model ?? this.#model
  }

  /** The role event, once; it comes before all others. */
  begin(): string[] {
    if (this.#begun) return []
    this.#begun = true
    return [this.#event({ role: 'assistant', content: '' })]
  }

  text(content: string): string[] {
    return content === '' ? [] : [...this.begin(), this.#event({ content })]
  }

  tool(call: ToolCallDelta): string[] {
    return [...this.begin(), this.#event({ tool_calls: [call] })]
  }

  toolStart(index: number, id: string, name: string): string[] {
    return this.tool({ index, id, type: 'function', function: { name, arguments: '' } })
  }

  toolArguments(index: number, text: string): string[] {
    return text === '' ? [] : this.tool({ index, function: { arguments: text } })
  }

  finish(reason: FinishReason): string[] {
    return [...this.begin(), this.#event({}, reason)]
  }

  usage(usage: Usage): string[] {
    return [this.#chunk({ choices: [], usage })]
  }

  #event(delta: Delta, finish_reason: FinishReason | null = null): string {
    return this.#chunk({ choices: [{ index: 0, delta, finish_reason }] })
  }

  #chunk(rest: Pick<ChatChunk, 'choices' | 'usage'>): string {
    return JSON.stringify({ id: this.#id, ...this.#head, model: this.#model, ...rest })
  }
}
