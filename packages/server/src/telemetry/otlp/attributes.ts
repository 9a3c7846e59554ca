/**
 * Attributes of one record, bounded in bytes; what has no room is counted. Names and numbers go first, so that no
 * text, however long, pushes out what a receiver sorts its records by.
 */
import type { Message } from './schema.ts'
import { isContent } from './semconv.ts'
import { anyValue, sizeOf, type Value } from './value.ts'

/** Bytes of all names and values together. */
export const MAX_ATTRIBUTE_BYTES = 65_536
/** Of one text that may be long: something that was said. */
const MAX_CONTENT_BYTES = 32_768
/** Of every other text: something that is called so. */
export const MAX_NAME_BYTES = 1_024

export interface AttributeRules {
  /** Whether names of `gen_ai.` are wanted. */
  readonly genAi: boolean
}

export class Attributes {
  readonly #rules: AttributeRules
  readonly #values = new Map<string, Value>()
  #dropped = 0

  constructor(rules: AttributeRules) {
    this.#rules = rules
  }

  /** A later value replaces an earlier one; undefined changes nothing. */
  set(name: string, value: Value | undefined): this {
    if (value === undefined) return this
    if (!this.#rules.genAi && name.startsWith('gen_ai.')) return this
    this.delete(name) // where it stands decides what there is room for
    const most = isContent(name) ? MAX_CONTENT_BYTES : MAX_NAME_BYTES
    this.#values.set(name, typeof value === 'string' ? shortened(value, most) : value)
    return this
  }

  delete(name: string): void {
    this.#values.delete(name)
  }

  /** For what was left out before it came here. */
  countDropped(count: number): void {
    this.#dropped += count
  }

  get(name: string): Value | undefined {
    return this.#values.get(name)
  }

  /** Sorted by name, so that the same facts give the same bytes. */
  message(): AttributeMessage {
    const { kept, bytes } = this.#fit()
    const entries = kept.sort(([one], [other]) => (one < other ? -1 : 1))
    return {
      fields: {
        attributes: entries.map(([key, value]) => ({ key, value: anyValue(value) })),
        droppedAttributesCount: this.#dropped + this.#values.size - kept.length,
      },
      bytes,
    }
  }

  #fit(): { kept: [string, Value][]; bytes: number } {
    const kept: [string, Value][] = []
    let bytes = 0
    for (const content of [false, true]) {
      for (const [name, value] of this.#values) {
        if (isContent(name) !== content) continue
        const size = name.length + sizeOf(value)
        if (bytes + size > MAX_ATTRIBUTE_BYTES) continue
        bytes += size
        kept.push([name, value])
      }
    }
    return { kept, bytes }
  }
}

export interface AttributeMessage {
  /** Of the record that they belong to. */
  readonly fields: { readonly attributes: Message[]; readonly droppedAttributesCount: number }
  /** What they take, roughly. */
  readonly bytes: number
}

/** @param most Bytes, of UTF-8. */
export function shortened(text: string, most: number): string {
  if (text.length * 3 <= most || Buffer.byteLength(text) <= most) return text
  // No character takes less than a byte.
  const cut = Buffer.from(text.slice(0, most)).subarray(0, most).toString('utf8')
  return `${cut.replace(/\uFFFD+$/, '')}…`
}
