/** The tool calls of a stream, followed so that each leaves with an id, a name and arguments that parse. */
import type { ToolCallDelta } from '../chat-types.ts'
import { malformed } from '../fault.ts'
import { countOf, isObject, listOf, objectOf, textOf } from '../json.ts'
import type { CallScope } from '../provider.ts'
import { assertArguments } from '../tool-arguments.ts'

/** Characters of all arguments of one answer. */
const MOST_CHARACTERS = 16 * 1024 * 1024
const MOST_CALLS = 1024

export class ToolCallLog {
  readonly #scope: CallScope
  readonly #arguments = new Map<number, string>()
  #size = 0

  constructor(scope: CallScope) {
    this.#scope = scope
  }

  /**
   * @param value The `tool_calls` of a delta.
   * @returns The fragments to pass on; `repaired` when they differ from what came.
   */
  take(value: unknown): { changes: ToolCallDelta[]; repaired: boolean } {
    const given = listOf(value)
    const read = given.map((call) => this.#fragment(objectOf(call)))
    const changes = read.flatMap((fragment) => fragment.changes)
    const odd = value !== undefined && value !== null && !Array.isArray(value)
    return { changes, repaired: odd || read.some(({ repaired }) => repaired) }
  }

  /**
   * @param cutOff The answer met its length limit, so arguments may rightly be incomplete.
   * @returns Fragments for calls that came without any argument text.
   * @throws ProviderFault for arguments that are not the text of an object.
   */
  finish(cutOff: boolean): ToolCallDelta[] {
    const missing: ToolCallDelta[] = []
    for (const [index, text] of this.#arguments) {
      if (text.trim() === '') missing.push({ index, function: { arguments: '{}' } })
      else if (!cutOff) assertArguments(text)
    }
    this.#arguments.clear()
    return missing
  }

  #fragment(call: Record<string, unknown>): { changes: ToolCallDelta[]; repaired: boolean } {
    const called = objectOf(call['function'])
    const name = textOf(called['name'])
    const given = called['arguments']
    const args = isObject(given) ? JSON.stringify(given) : (textOf(given) ?? '')
    // Without an index a call with a name is a new one, and text belongs to the latest.
    const next = this.#arguments.size
    const index = countOf(call['index']) ?? (name === undefined ? Math.max(next - 1, 0) : next)
    const known = this.#arguments.get(index)
    if (known === undefined && name === undefined) throw malformed('a tool call without a name')
    this.#remember(index, (known ?? '') + args, args.length)
    const complete =
      known !== undefined || (textOf(call['id']) !== undefined && call['type'] === 'function')
    const asItCame = complete && call['index'] === index && typeof given === 'string'
    if (known !== undefined) {
      return { changes: [{ index, function: { arguments: args } }], repaired: !asItCame }
    }
    const first: ToolCallDelta = {
      index,
      id: textOf(call['id']) ?? this.#scope.newId('call_'),
      type: 'function',
      function: { name: name ?? '', arguments: '' },
    }
    const rest: ToolCallDelta[] = args === '' ? [] : [{ index, function: { arguments: args } }]
    return { changes: [first, ...rest], repaired: !asItCame }
  }

  #remember(index: number, text: string, added: number): void {
    this.#size += added
    const tooMany = !this.#arguments.has(index) && this.#arguments.size >= MOST_CALLS
    if (this.#size > MOST_CHARACTERS || tooMany)
      throw malformed('more tool calls than can be taken')
    this.#arguments.set(index, text)
  }
}
