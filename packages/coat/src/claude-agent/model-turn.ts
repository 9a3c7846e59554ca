/** One answer of the model, gathered from the messages that carry its parts. */
import { type Fields, fields, figure, firstText, list, present, text } from '../adapters/shapes.ts'
import { type Usage, usageOf } from '../adapters/usage.ts'
import { recogniseUsage } from '../recognise/index.ts'

const MAX_BLOCKS = 256

/** Several messages share one id: blocks add up, the usage of the last one holds for all. */
export class ModelTurn {
  readonly id: string
  readonly beganMs: number
  endedMs: number
  #model: string | undefined
  #finishReason: string | undefined
  #usage: Usage | undefined
  readonly #blocks: unknown[] = []
  #chunks = 0
  #firstTextMs: number | undefined

  constructor(id: string, beganMs: number) {
    this.id = id
    this.beganMs = beganMs
    this.endedMs = beganMs
  }

  /** A whole message, which holds one or more blocks. */
  message(message: Fields, nowMs: number): void {
    this.endedMs = nowMs
    this.#head(message)
    this.#finishReason = text(message['stop_reason']) ?? this.#finishReason
    for (const block of list(message['content'])) {
      if (this.#blocks.length < MAX_BLOCKS) this.#blocks.push(block)
    }
  }

  /** A piece of the stream, where the caller asked for pieces. */
  piece(event: Fields, nowMs: number): void {
    this.endedMs = nowMs
    switch (event['type']) {
      case 'message_start': {
        const message = fields(event['message'])
        if (message !== undefined) this.#head(message)
        break
      }
      case 'content_block_delta':
        this.#chunks += 1
        this.#firstTextMs ??= nowMs
        break
      case 'message_delta': {
        this.#finishReason = text(fields(event['delta'])?.['stop_reason']) ?? this.#finishReason
        const output = figure(fields(event['usage'])?.['output_tokens'])
        if (this.#usage !== undefined && output !== undefined) {
          this.#usage = usageOf({ ...this.#usage, output, total: undefined })
        }
        break
      }
      default:
    }
  }

  #head(message: Fields): void {
    this.#model = text(message['model']) ?? this.#model
    const usage = recogniseUsage(message['usage'])
    // The first parts of an answer know little of its output yet.
    if (usage !== undefined && (usage.output ?? 0) >= (this.#usage?.output ?? 0)) {
      this.#usage = usage
    }
  }

  get usage(): Usage | undefined {
    return this.#usage
  }

  get content(): readonly unknown[] {
    return this.#blocks
  }

  get model(): string | undefined {
    return this.#model
  }

  payload(): Record<string, unknown> {
    const calls = this.#blocks.flatMap((block) => {
      const told = fields(block)
      if (told?.['type'] !== 'tool_use') return []
      return [present({ id: text(told['id']), name: text(told['name']) })]
    })
    return present({
      response_model: this.#model,
      response_id: this.id,
      finish_reasons: this.#finishReason === undefined ? undefined : [this.#finishReason],
      usage: this.#usage,
      tool_calls: calls.length > 0 ? calls : undefined,
      ...(this.#firstTextMs !== undefined && {
        chunks: this.#chunks,
        ttft_ms: Math.max(0, this.#firstTextMs - this.beganMs),
      }),
    })
  }
}

/** `mcp__server__tool` is a tool of an MCP server. */
export function mcpTool(name: string): { server: string; tool: string } | undefined {
  const [prefix, server, ...rest] = name.split('__')
  if (prefix !== 'mcp' || server === undefined || server === '' || rest.length === 0) {
    return undefined
  }
  return { server, tool: rest.join('__') }
}

/** What a tool answered, as text where it is text. */
export function resultText(content: unknown): string {
  if (typeof content === 'string') return content
  const first = list(content)
    .map(fields)
    .find((each) => each?.['type'] === 'text')
  return firstText(first?.['text']) ?? ''
}
