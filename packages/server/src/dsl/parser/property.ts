/** `name: value`, in the many blocks that hold nothing else. */
import type { Expression, Property } from '../ast.ts'
import { T } from '../token.ts'
import { type Cursor, PARSE_FAILURE } from './cursor.ts'
import { array, literal, record } from './expression.ts'

export interface PropertyForm {
  /** For messages: `trigger`, `schedule` … */
  readonly what: string
  readonly separator: 'required' | 'optional' | 'colon'
  readonly values: 'plain' | 'list' | 'any'
}

/** The properties of a braced block; `nested` reads what is none, and says whether it did. */
export function propertyBlock(
  p: Cursor,
  form: PropertyForm,
  nested: () => boolean = () => false,
): readonly Property[] {
  const opened = p.start
  p.expect(T.braceOpen, '"{"', `before the body of ${form.what}`)
  const depth = p.enter()
  const found: Property[] = []
  while (p.kind !== T.braceClose && p.kind !== T.end) {
    const start = p.index
    try {
      if (!nested()) found.push(property(p, form))
    } catch (thrown) {
      if (thrown !== PARSE_FAILURE) throw thrown
      p.leave(depth + 1)
      p.inHead = false
      p.recover(start)
    }
  }
  p.leave(depth)
  p.close(`${form.what} body`, opened)
  return found
}

export function property(p: Cursor, form: PropertyForm): Property {
  const from = p.start
  const name = p.name(`a property of ${form.what}`)
  const separator = separatorOf(p, form, name.text)
  const value = propertyValue(p, form)
  const span = p.span(from)
  p.take(T.comma)
  return { name, separator, value, span }
}

function separatorOf(p: Cursor, form: PropertyForm, name: string): '=' | ':' | '' {
  if (p.take(T.colon)) return ':'
  if (form.separator !== 'colon' && p.take(T.equals)) return '='
  if (form.separator === 'optional') return ''
  return p.fail(
    `expected ${form.separator === 'colon' ? '":"' : '":" or "="'} after "${name.slice(0, 40)}"`,
  )
}

/** A value as it stands, without operators or calls: whoever reads the file sees what it is. */
export function propertyValue(p: Cursor, { what, values }: PropertyForm): Expression {
  if (p.kind === T.name) return nameValue(p)
  if (p.kind === T.times && what === 'trigger') {
    const from = p.start
    p.advance()
    return { kind: 'name', text: '*', span: p.span(from) }
  }
  const found = literal(p)
  if (found !== undefined) return found
  if (p.kind === T.bracketOpen && values !== 'plain') return array(p)
  if (p.kind === T.braceOpen && values === 'any') return record(p, undefined, p.start)
  return p.fail(`expected a value in ${what}`, hintFor(p, what))
}

function nameValue(p: Cursor): Expression {
  const from = p.start
  const text = p.word()
  p.advance()
  const span = p.span(from)
  if (text !== 'true' && text !== 'false') return { kind: 'name', text, span }
  return { kind: 'boolean', value: text === 'true', span }
}

function hintFor(p: Cursor, what: string): string | undefined {
  if (p.kind === T.times) return 'For any value write the string "*".'
  if (p.kind === T.minus) return 'Values have no sign here.'
  if (p.kind === T.bracketOpen) return `There are no lists in ${what}.`
  if (p.kind === T.braceOpen) return `There are no nested blocks in ${what}.`
  return undefined
}
