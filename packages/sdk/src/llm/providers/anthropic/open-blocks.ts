/** The tool blocks of a stream while they grow: fragments of a tool call, or of a structured answer. */
import type { JsonObject } from '../chat-types.ts'
import type { ChunkWriter } from '../chunk-writer.ts'
import { malformed } from '../fault.ts'
import { isObject, parseObject, textOf } from '../json.ts'
import { assertArguments } from '../tool-arguments.ts'
import { type Emulation, WRAPPER } from './structured.ts'

const MOST_CHARACTERS = 16 * 1024 * 1024
const MOST_BLOCKS = 1024

interface Block {
  /** Among the tool calls of the answer; undefined for the answer itself. */
  readonly call: number | undefined
  /** Used when no fragment follows. */
  readonly whole: string
  text: string
  open: boolean
}

export class OpenBlocks {
  readonly #writer: ChunkWriter
  readonly #emulation: Emulation
  readonly #blocks = new Map<unknown, Block>()
  #calls = 0
  #size = 0
  #answered = false

  constructor(writer: ChunkWriter, emulation: Emulation) {
    this.#writer = writer
    this.#emulation = emulation
  }

  /** The forced tool of a structured answer was called. */
  get answered(): boolean {
    return this.#answered
  }

  open(index: unknown, block: JsonObject): string[] {
    const id = textOf(block['id'])
    const name = textOf(block['name'])
    if (id === undefined || name === undefined) throw malformed('a tool call without id or name')
    if (this.#blocks.size >= MOST_BLOCKS) throw malformed('more tool calls than can be taken')
    const whole = isObject(block['input']) ? JSON.stringify(block['input']) : '{}'
    if (this.#emulation.method === 'tool' && this.#emulation.name === name) {
      // A second answer would follow the first in the same text, where neither could be read.
      if (this.#answered) throw malformed('more than one structured answer')
      this.#answered = true
      this.#blocks.set(index, { call: undefined, whole, text: '', open: true })
      return this.#writer.begin()
    }
    const call = this.#calls
    this.#calls += 1
    this.#blocks.set(index, { call, whole, text: '', open: true })
    return this.#writer.toolStart(call, id, name)
  }

  grow(index: unknown, fragment: string): string[] {
    const block = this.#blocks.get(index)
    // Input of tools that run at the provider is nobody's business here.
    if (block === undefined) return []
    this.#size += fragment.length
    if (this.#size > MOST_CHARACTERS) throw malformed('tool arguments without end')
    block.text += fragment
    return this.#written(block, fragment)
  }

  close(index: unknown): string[] {
    const block = this.#blocks.get(index)
    if (block === undefined || !block.open) return []
    block.open = false
    if (block.text.trim() !== '') return []
    block.text = block.whole
    return this.#written(block, block.whole)
  }

  /**
   * @param cutOff The answer met its length limit, so arguments may rightly be incomplete.
   * @returns The answer that had to be unwrapped, and so could not be passed on in pieces.
   */
  finish(cutOff: boolean): string[] {
    const last: string[] = []
    for (const [index, block] of this.#blocks) {
      last.push(...this.close(index))
      if (block.call === undefined && this.#isWrapped)
        last.push(...this.#unwrapped(block.text, cutOff))
      else if (!cutOff) assertArguments(block.text)
    }
    return last
  }

  get #isWrapped(): boolean {
    return this.#emulation.method === 'tool' && this.#emulation.wrapped
  }

  #written(block: Block, text: string): string[] {
    if (block.call !== undefined) return this.#writer.toolArguments(block.call, text)
    return this.#isWrapped ? [] : this.#writer.text(text)
  }

  #unwrapped(text: string, cutOff: boolean): string[] {
    const input = parseObject(text)
    if (input === undefined) {
      if (!cutOff) throw malformed('a structured answer that is not JSON')
      return this.#writer.text(text)
    }
    return this.#writer.text(JSON.stringify(WRAPPER in input ? input[WRAPPER] : input))
  }
}
