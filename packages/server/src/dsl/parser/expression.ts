/** Expressions, by climbing precedences. */
import type { Argument, BinaryOperator, Block, Expression, Name } from '../ast.ts'
import { T } from '../token.ts'
import { type Cursor, MAX_DEPTH } from './cursor.ts'
import { durationValue, numberValue, sizeValue, stringValue } from './literal.ts'

/** Of each operator token: how tightly it binds, or 0. */
const PRECEDENCE = new Uint8Array(64)
const OPERATORS: (BinaryOperator | undefined)[] = []
for (const [kind, precedence, text] of [
  [T.or, 1, '||'],
  [T.and, 2, '&&'],
  [T.equal, 3, '=='],
  [T.unequal, 3, '!='],
  [T.less, 4, '<'],
  [T.greater, 4, '>'],
  [T.lessEqual, 4, '<='],
  [T.greaterEqual, 4, '>='],
  [T.plus, 5, '+'],
  [T.minus, 5, '-'],
  [T.times, 6, '*'],
  [T.divide, 6, '/'],
  [T.modulo, 6, '%'],
] as const) {
  PRECEDENCE[kind] = precedence
  OPERATORS[kind] = text
}
const IN_PRECEDENCE = 3

export function expression(p: Cursor): Expression {
  const depth = p.enter()
  const found = binary(p, 1)
  p.leave(depth)
  return found
}

/** Inside brackets of any kind newlines end nothing, and `{` is a record again. */
function inside<Result>(p: Cursor, read: () => Result): Result {
  const { newlineMode, inHead } = p
  p.newlineMode = false
  p.inHead = false
  try {
    return read()
  } finally {
    p.newlineMode = newlineMode
    p.inHead = inHead
  }
}

export function headExpression(p: Cursor): Expression {
  const before = p.inHead
  p.inHead = true
  try {
    return expression(p)
  } finally {
    p.inHead = before
  }
}

function binary(p: Cursor, least: number): Expression {
  const from = p.start
  const outer = p.deepest
  p.deepest = p.depth
  let left = unary(p)
  for (;;) {
    const kind = p.kind
    const isIn = kind === T.name && isInOperator(p)
    const precedence = isIn ? IN_PRECEDENCE : (PRECEDENCE[kind] as number)
    if (precedence === 0 || precedence < least) break
    if (kind === T.minus && p.newlineMode && p.brokeLine) break
    const operator = isIn ? 'in' : (OPERATORS[kind] as BinaryOperator)
    p.advance()
    const leftDeepest = p.deepest
    const right = binary(p, precedence + 1)
    wrapped(p, leftDeepest)
    left = { kind: 'binary', operator, left, right, span: p.span(from) }
  }
  if (p.deepest < outer) p.deepest = outer
  return left
}

/** One more node above what was read: everything in it is one level deeper. */
function wrapped(p: Cursor, leftDeepest: number): void {
  if (p.deepest < leftDeepest + 1) p.deepest = leftDeepest + 1
  if (p.deepest > MAX_DEPTH) p.tooDeep()
}

/** Not where it is the key of the next entry of a record. */
function isInOperator(p: Cursor): boolean {
  return p.is('in') && p.peek(1) !== T.colon && p.peek(1) !== T.equals
}

function unary(p: Cursor): Expression {
  const isNot = p.kind === T.not || (p.is('not') && startsOperand(p, 1))
  if (!isNot && p.kind !== T.minus) return postfix(p)
  const from = p.start
  p.advance()
  const depth = p.enter()
  const operand = unary(p)
  p.leave(depth)
  return { kind: 'unary', operator: isNot ? '!' : '-', operand, span: p.span(from) }
}

function startsOperand(p: Cursor, ahead: number): boolean {
  const kind = p.peek(ahead)
  return (
    (kind >= T.name && kind <= T.secret) ||
    kind === T.parenOpen ||
    kind === T.bracketOpen ||
    kind === T.not ||
    (kind === T.braceOpen && !p.inHead)
  )
}

function postfix(p: Cursor): Expression {
  const from = p.start
  const outer = p.deepest
  p.deepest = p.depth
  let found = primary(p)
  for (;;) {
    const kind = p.kind
    if (kind !== T.dot && kind !== T.parenOpen && kind !== T.bracketOpen) break
    if (kind !== T.dot && p.newlineMode && p.brokeLine) break
    const before = p.deepest
    p.advance()
    if (kind === T.dot) {
      const name = p.name('the name of a member')
      wrapped(p, before)
      found = { kind: 'member', object: found, name, span: p.span(from) }
    } else if (kind === T.parenOpen) {
      const args = inside(p, () => callArguments(p))
      wrapped(p, before)
      found = { kind: 'call', callee: found, args, span: p.span(from) }
    } else {
      const index = inside(p, () => {
        const value = expression(p)
        p.expect(T.bracketClose, '"]"', 'after the index')
        return value
      })
      wrapped(p, before)
      found = { kind: 'index', object: found, index, span: p.span(from) }
    }
  }
  if (p.deepest < outer) p.deepest = outer
  return found
}

function callArguments(p: Cursor): readonly Argument[] {
  const args: Argument[] = []
  while (!p.take(T.parenClose)) {
    const from = p.start
    const isNamed = p.kind === T.name && (p.peek(1) === T.colon || p.peek(1) === T.equals)
    const name = isNamed ? p.name('a name') : undefined
    if (isNamed) p.advance()
    args.push({ name, value: expression(p), span: p.span(from) })
    if (!p.take(T.comma) && p.kind !== T.parenClose) expectedCloser(p, '")"', 'the arguments')
  }
  return args
}

function expectedCloser(p: Cursor, closer: string, what: string): never {
  p.fail(`expected "," or ${closer} in ${what}`, operatorHint(p))
}

/** For a word that stands where only an operator can. */
export function operatorHint(p: Cursor): string | undefined {
  if (p.is('and')) return 'Use "&&" instead of "and".'
  if (p.is('or')) return 'Use "||" instead of "or".'
  if (p.kind === T.equals) return 'To compare, write "==".'
  return undefined
}

function primary(p: Cursor): Expression {
  switch (p.kind) {
    case T.name:
      return named(p)
    case T.parenOpen:
      p.advance()
      return inside(p, () => {
        const value = expression(p)
        if (p.kind !== T.parenClose) p.fail('expected ")"', operatorHint(p))
        p.advance()
        return value
      })
    case T.bracketOpen:
      return array(p)
    case T.braceOpen:
      if (p.inHead) p.fail('expected an expression before "{"')
      return record(p, undefined, p.start)
    default:
      return literal(p) ?? p.fail('expected an expression', expressionHint(p))
  }
}

function expressionHint(p: Cursor): string | undefined {
  if (p.kind === T.plus) return 'Numbers have no plus sign.'
  if (p.kind === T.arrow) return 'A function value is written x => x + 1.'
  if (p.kind === T.times) return 'For any value, write "any" or the string "*".'
  return undefined
}

/** A string, number, duration, size or vault reference; nothing is taken otherwise. */
export function literal(p: Cursor): Expression | undefined {
  const { kind, start } = p
  if (kind < T.string || kind > T.secret) return undefined
  const text = p.word()
  p.advance()
  const span = p.span(start)
  switch (kind) {
    case T.string:
      return { kind: 'string', value: stringValue(text), span }
    case T.number:
      return { kind: 'number', value: numberValue(text), span }
    case T.duration:
      return { kind: 'duration', ms: durationValue(text), text, span }
    case T.size:
      return { kind: 'size', bytes: sizeValue(text), text, span }
    default:
      return { kind: 'secret', path: text.slice('vault://'.length), span }
  }
}

function named(p: Cursor): Expression {
  const from = p.start
  const next = p.peek(1)
  if (p.is('if') && (startsOperand(p, 1) || next === T.minus)) return conditional(p)
  const text = p.word()
  p.advance()
  if (text === 'true' || text === 'false') {
    return { kind: 'boolean', value: text === 'true', span: p.span(from) }
  }
  if (next === T.fatArrow) {
    const param: Name = { text, span: p.span(from) }
    p.advance()
    const depth = p.enter()
    const body = binary(p, 1)
    p.leave(depth)
    return { kind: 'lambda', param, body, span: p.span(from) }
  }
  const isRecord = next === T.braceOpen && !p.inHead && !(p.newlineMode && p.brokeLine)
  if (isRecord && isRecordAhead(p)) return record(p, { text, span: p.span(from) }, from)
  return { kind: 'name', text, span: p.span(from) }
}

/** At `{`: what follows can only be a record. */
export function isRecordAhead(p: Cursor): boolean {
  const first = p.peek(1)
  if (first === T.braceClose) return true
  return (first === T.name || first === T.string) && p.peek(2) === T.colon
}

function conditional(p: Cursor): Expression {
  const from = p.start
  p.advance()
  const depth = p.enter()
  const condition = headExpression(p)
  const before = p.inHead
  p.inHead = false
  const then = p.block(p, 'block of "if"')
  if (!p.takeWord('else')) p.fail('expected "else": an "if" that is a value needs both sides')
  const otherwise = p.is('if') ? only(conditional(p)) : p.block(p, 'block of "else"')
  p.inHead = before
  p.leave(depth)
  return { kind: 'conditional', condition, then, otherwise, span: p.span(from) }
}

function only(value: Expression): Block {
  return { statements: [], value, span: value.span }
}

export function array(p: Cursor): Expression {
  const from = p.start
  p.expect(T.bracketOpen, '"["', 'before the list')
  const depth = p.enter()
  const items = inside(p, () => {
    const found: Expression[] = []
    while (!p.take(T.bracketClose)) {
      found.push(expression(p))
      if (!p.take(T.comma) && p.kind !== T.bracketClose) expectedCloser(p, '"]"', 'the list')
    }
    return found
  })
  p.leave(depth)
  return { kind: 'array', items, span: p.span(from) }
}

export function record(p: Cursor, type: Name | undefined, from: number): Expression {
  const opened = p.start
  p.expect(T.braceOpen, '"{"', 'before the record')
  const depth = p.enter()
  const entries = inside(p, () => {
    const found: { name: Name; value: Expression }[] = []
    while (p.kind !== T.braceClose && p.kind !== T.end) {
      const name = recordKey(p)
      p.expect(T.colon, '":"', `after "${name.text.slice(0, 40)}"`)
      found.push({ name, value: expression(p) })
      p.take(T.comma)
    }
    return found
  })
  p.leave(depth)
  p.close('record', opened)
  return { kind: 'record', type, entries, span: p.span(from) }
}

function recordKey(p: Cursor): Name {
  if (p.kind !== T.string) return p.name('a name or string, or "}" at the end of the record')
  const from = p.start
  const text = stringValue(p.word())
  p.advance()
  return { text, span: p.span(from) }
}
