/** From a source to its tree and everything that is wrong with its grammar. Never throws, whatever the source. */
import type { Item, Program } from './ast.ts'
import type { Diagnostic } from './diagnostic.ts'
import { lex } from './lexer.ts'
import { Cursor, PARSE_STOP } from './parser/cursor.ts'
import { items } from './parser/item.ts'
import { block } from './parser/statement.ts'
import { SourceSpan, SourceText } from './place.ts'

/** Bytes of UTF-8. */
export const MAX_SOURCE_BYTES = 256 * 1024
/** More help nobody; the first ones are kept. */
export const MAX_DIAGNOSTICS = 100

export interface Parsed {
  /** As much as could be read. */
  readonly program: Program
  /** In the order of the source; at most {@link MAX_DIAGNOSTICS} errors and as many warnings. */
  readonly diagnostics: readonly Diagnostic[]
}

export function parse(source: string): Parsed {
  const text = new SourceText(source)
  const diagnostics = new Diagnostics()
  if (Buffer.byteLength(source) > MAX_SOURCE_BYTES) {
    diagnostics.add({
      severity: 'error',
      code: 'E_TOO_LARGE',
      message: `a source has at most ${MAX_SOURCE_BYTES / 1024} KiB`,
      span: new SourceSpan(text, 0, 0),
      hint: 'Split it into several files.',
    })
    return { program: programOf(text, []), diagnostics: diagnostics.sorted() }
  }
  const tokens = lex(text, (found) => diagnostics.add(found))
  const stop = (found: Diagnostic): void => {
    if (!diagnostics.add(found)) throw PARSE_STOP
  }
  const cursor = new Cursor(text, tokens, stop, block)
  const found: Item[] = []
  try {
    items(cursor, found)
  } catch (thrown) {
    if (thrown !== PARSE_STOP) throw thrown
  }
  const program = programOf(text, found)
  return {
    program: { ...program, dialects: [...cursor.dialects].sort(), comments: tokens.comments },
    diagnostics: diagnostics.sorted(),
  }
}

function programOf(text: SourceText, found: readonly Item[]): Program {
  const span = new SourceSpan(text, 0, text.text.length)
  return { items: found, dialects: [], comments: [], span }
}

/** Bounded; errors and warnings are counted apart, so that neither crowds out the other. */
class Diagnostics {
  readonly #kept: Diagnostic[] = []
  readonly #counts = { error: 0, warning: 0 }

  /** @returns Whether there is room for more of this severity. */
  add(found: Diagnostic): boolean {
    if (this.#counts[found.severity] >= MAX_DIAGNOSTICS) return false
    this.#kept.push(found)
    return ++this.#counts[found.severity] < MAX_DIAGNOSTICS
  }

  sorted(): readonly Diagnostic[] {
    return inOrder(this.#kept)
  }
}

/** By place; errors first where the place is the same. */
export function inOrder(found: readonly Diagnostic[]): readonly Diagnostic[] {
  return found.toSorted(
    (left, right) =>
      left.span.start.offset - right.span.start.offset ||
      left.severity.localeCompare(right.severity),
  )
}
