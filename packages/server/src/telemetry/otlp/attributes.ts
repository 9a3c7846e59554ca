/** Attributes of one record, bounded in bytes; what has no room is counted. */
import type { Message } from './schema.ts'
import { anyValue, sizeOf, type Value } from './value.ts'

/** Bytes of all names and values together. */
export const MAX_ATTRIBUTE_BYTES = 65_536
/** What a receiver must be able to rely on, even when a message is too long to be sent whole. */
const MAX_TEXT_BYTES = 32_768

export interface AttributeRules {
  /** Whether names of `gen_ai.` are wanted. */
  readonly genAi: boolean
}

export class Attributes {
  readonly #rules: AttributeRules
  readonly #values = new Map<string, Value>()
  #bytes = 0
  #dropped = 0

  constructor(rules: AttributeRules) {
    this.#rules = rules
  }

  /** A later value replaces an earlier one; undefined changes nothing. */
  set(name: string, value: Value | undefined): this {
    if (value === undefined) return this
    if (!this.#rules.genAi && name.startsWith('gen_ai.')) return this
    this.delete(name)
    const kept = typeof value === 'string' ? shortened(value) : value
    const size = name.length + sizeOf(kept)
    if (this.#bytes + size > MAX_ATTRIBUTE_BYTES) {
      this.#dropped += 1
      return this
    }
    this.#bytes += size
    this.#values.set(name, kept)
    return this
  }

  delete(name: string): void {
    const before = this.#values.get(name)
    if (before === undefined) return
    this.#bytes -= name.length + sizeOf(before)
    this.#values.delete(name)
  }

  /** For what was left out before it came here. */
  countDropped(count: number): void {
    this.#dropped += count
  }

  get bytes(): number {
    return this.#bytes
  }

  get(name: string): Value | undefined {
    return this.#values.get(name)
  }

  /** Sorted by name, so that the same facts give the same bytes. */
  message(): { attributes: Message[]; droppedAttributesCount: number } {
    const entries = [...this.#values].sort(([one], [other]) => (one < other ? -1 : 1))
    return {
      attributes: entries.map(([key, value]) => ({ key, value: anyValue(value) })),
      droppedAttributesCount: this.#dropped,
    }
  }
}

function shortened(text: string): string {
  if (text.length * 3 <= MAX_TEXT_BYTES || Buffer.byteLength(text) <= MAX_TEXT_BYTES) return text
  const cut = Buffer.from(text).subarray(0, MAX_TEXT_BYTES).toString('utf8')
  return `${cut.replace(/\uFFFD+$/, '')}…`
}
