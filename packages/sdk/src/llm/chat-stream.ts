/**
 * A streamed answer: read it piece by piece, or to its end. Leaving the loop closes the connection;
 * a stream that breaks off is an error, never a short answer.
 */
import { GatewayError } from '../sage/errors.ts'
import { linked } from '../sage/link.ts'
import { type ChatAnswer, type RawToolCall, readToolCalls, readUsage } from './answer.ts'
import type { JsonObject } from './providers/chat-types.ts'
import { isObject } from './providers/json.ts'
import type { Usage } from './usage-ledger.ts'

/** A fragment of a tool call; fragments with the same `index` belong together. */
export interface ToolCallFragment {
  readonly index: number
  /** In the first fragment. */
  readonly id?: string
  /** In the first fragment. */
  readonly name?: string
  /** The next piece of the JSON text. */
  readonly arguments: string
}

export interface ChatDelta {
  /** The next piece of text, `''` when this piece is about something else. */
  readonly content: string
  readonly toolCalls: readonly ToolCallFragment[]
  readonly finishReason?: string
  readonly usage?: Usage
}

/** Where a stream comes from. */
export interface ChatStreamSource {
  /** Asks, and gives OpenAI chunks; ends only when the answer is complete, and throws otherwise. */
  readonly open: (signal: AbortSignal) => AsyncIterable<JsonObject>
  /** The caller's. */
  readonly signal?: AbortSignal | undefined
  /** Said when no chunk names one. */
  readonly model: string
  /** Told the whole answer, once. */
  readonly onEnd?: (answer: ChatAnswer) => void
}

/** How many fragments with different indexes one answer may have. */
const MOST_TOOL_CALLS = 1_024

export class ChatStream implements AsyncIterable<ChatDelta> {
  readonly #deltas: AsyncGenerator<ChatDelta, void, undefined>
  readonly #assembly: Assembly
  #abort: () => void = () => {}
  #answer: ChatAnswer | undefined

  constructor(source: ChatStreamSource) {
    this.#assembly = new Assembly(source.model)
    this.#deltas = this.#read(source)
  }

  [Symbol.asyncIterator](): AsyncIterator<ChatDelta> {
    return this.#deltas
  }

  /**
   * Reads what is left, and puts the answer together.
   *
   * @throws What the loop would have thrown; GatewayError after the loop was left early.
   */
  async final(): Promise<ChatAnswer> {
    for await (const _delta of this.#deltas);
    if (this.#answer !== undefined) return this.#answer
    throw new GatewayError('The stream was left before the answer was complete')
  }

  /** Stops reading and closes the connection. */
  async close(): Promise<void> {
    // A read that waits for the model holds the generator: only the connection's end frees it.
    this.#abort()
    await this.#deltas.return(undefined)
  }

  async *#read({ open, signal: outer, onEnd }: ChatStreamSource) {
    const { signal, abort } = linked(outer)
    this.#abort = abort
    try {
      for await (const chunk of open(signal)) {
        const delta = this.#assembly.add(chunk)
        if (delta !== undefined) yield delta
      }
    } finally {
      abort()
    }
    this.#answer = this.#assembly.answer()
    onEnd?.(this.#answer)
  }
}

/** Puts chunks together. */
class Assembly {
  #model: string
  #id: string | undefined
  readonly #texts: string[] = []
  readonly #calls = new Map<number, { id: string; name: string; arguments: string[] }>()
  #finishReason: string | undefined
  #usage: Usage | undefined

  constructor(model: string) {
    this.#model = model
  }

  /** @returns What is new to a reader; undefined for an event that says nothing. */
  add(chunk: JsonObject): ChatDelta | undefined {
    if (typeof chunk['model'] === 'string' && chunk['model'] !== '') this.#model = chunk['model']
    if (typeof chunk['id'] === 'string' && chunk['id'] !== '') this.#id = chunk['id']
    const usage = readUsage(chunk['usage'])
    if (usage !== undefined) this.#usage = usage
    const [choice]: unknown[] = Array.isArray(chunk['choices']) ? chunk['choices'] : []
    const { delta, finish_reason }: JsonObject = isObject(choice) ? choice : {}
    const said: JsonObject = isObject(delta) ? delta : {}
    const content = typeof said['content'] === 'string' ? said['content'] : ''
    if (content !== '') this.#texts.push(content)
    const fragments: unknown[] = Array.isArray(said['tool_calls']) ? said['tool_calls'] : []
    const toolCalls = fragments.map((fragment) => this.#addFragment(fragment))
    const finishReason = typeof finish_reason === 'string' ? finish_reason : undefined
    if (finishReason !== undefined) this.#finishReason = finishReason
    const silent = content === '' && toolCalls.length === 0 && finishReason === undefined
    if (silent && usage === undefined) return undefined
    return {
      content,
      toolCalls,
      ...(finishReason !== undefined && { finishReason }),
      ...(usage !== undefined && { usage }),
    }
  }

  #addFragment(fragment: unknown): ToolCallFragment {
    const { index, id, function: called }: JsonObject = isObject(fragment) ? fragment : {}
    if (typeof index !== 'number' || !Number.isInteger(index) || index < 0) {
      throw new GatewayError('The stream has a tool call without an index')
    }
    const { name, arguments: text }: JsonObject = isObject(called) ? called : {}
    const call = this.#calls.get(index) ?? { id: '', name: '', arguments: [] }
    if (typeof id === 'string' && call.id === '') call.id = id
    if (typeof name === 'string' && call.name === '') call.name = name
    const piece = typeof text === 'string' ? text : ''
    call.arguments.push(piece)
    this.#calls.set(index, call)
    if (this.#calls.size > MOST_TOOL_CALLS)
      throw new GatewayError('The stream has too many tool calls')
    return {
      index,
      ...(typeof id === 'string' && id !== '' && { id }),
      ...(typeof name === 'string' && name !== '' && { name }),
      arguments: piece,
    }
  }

  answer(): ChatAnswer {
    const calls = [...this.#calls.entries()]
      .sort(([a], [b]) => a - b)
      .map(([, call]): RawToolCall => ({ ...call, arguments: call.arguments.join('') }))
    return {
      role: 'assistant',
      content: this.#texts.join(''),
      ...readToolCalls(calls),
      finishReason: this.#finishReason,
      usage: this.#usage,
      model: this.#model,
      id: this.#id,
    }
  }
}
