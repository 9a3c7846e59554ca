/** Blocks and statements, and how far one statement that cannot be read reaches. */
import type {
  Arm,
  Block,
  Catch,
  Condition,
  Expression,
  IfStatement,
  Param,
  Pattern,
  Statement,
  Type,
} from '../ast.ts'
import { T } from '../token.ts'
import { type Cursor, PARSE_FAILURE } from './cursor.ts'
import {
  array,
  expression,
  headExpression,
  isRecordAhead,
  literal,
  operatorHint,
} from './expression.ts'

type AssignOperator = '=' | '+=' | '-=' | '*=' | '/=' | '%='
const ASSIGN: Readonly<Record<number, AssignOperator>> = {
  [T.equals]: '=',
  [T.plusEquals]: '+=',
  [T.minusEquals]: '-=',
  [T.timesEquals]: '*=',
  [T.divideEquals]: '/=',
  [T.moduloEquals]: '%=',
}

/** `{ … }` whose statements end as the cursor's mode says. */
export function block(p: Cursor, what: string): Block {
  const from = p.start
  p.expect(T.braceOpen, '"{"', `before the ${what}`, operatorHint(p))
  const depth = p.enter()
  const { inHead } = p
  p.inHead = false
  const statements: Statement[] = []
  let value: Expression | undefined
  while (p.kind !== T.braceClose && p.kind !== T.end) {
    const start = p.index
    try {
      const found = statement(p)
      if (found.kind === 'value') value = found.value
      else statements.push(found)
    } catch (thrown) {
      if (thrown !== PARSE_FAILURE) throw thrown
      p.inHead = false
      p.leave(depth + 1)
      p.recover(start)
    }
  }
  p.inHead = inHead
  p.leave(depth)
  p.close(what, from)
  return { statements, value, span: p.span(from) }
}

/** A block where a newline ends a statement. */
export function newlineBlock(p: Cursor, what: string): Block {
  return inMode(p, true, what)
}

/** A block where only `;` ends a statement. */
export function strictBlock(p: Cursor, what: string): Block {
  return inMode(p, false, what)
}

function inMode(p: Cursor, newlineMode: boolean, what: string): Block {
  const before = p.newlineMode
  p.newlineMode = newlineMode
  try {
    return block(p, what)
  } finally {
    p.newlineMode = before
  }
}

type Found = Statement | { readonly kind: 'value'; readonly value: Expression }

function statement(p: Cursor): Found {
  if (p.kind === T.semicolon) {
    p.error('E_SYNTAX', 'there is no statement before ";"', { hint: 'Remove the ";".' })
    p.advance()
    throw PARSE_FAILURE
  }
  return (p.kind === T.name ? byKeyword(p) : undefined) ?? expressionStatement(p)
}

function byKeyword(p: Cursor): Statement | undefined {
  const next = p.peek(1)
  if (ASSIGN[next] !== undefined || next === T.dot || next === T.comma) return undefined
  switch (p.word()) {
    case 'let':
      return next === T.name ? letStatement(p) : undefined
    case 'return':
      return returnStatement(p)
    case 'if':
      return ifStatement(p)
    case 'for':
      return next === T.name ? forStatement(p) : undefined
    case 'match':
      return next === T.semicolon ? undefined : matchStatement(p)
    case 'try':
      return next === T.braceOpen ? tryStatement(p) : undefined
    case 'while':
      return whileStatement(p)
    case 'require':
      return next === T.name ? requireStatement(p) : undefined
    case 'break':
    case 'continue':
      return jump(p)
    default:
      return undefined
  }
}

/** Takes the end mark; tells a missing one and goes on as if it were there. */
function end(p: Cursor, what: string): void {
  if (p.take(T.semicolon)) return
  if (p.newlineMode && (p.brokeLine || p.kind === T.braceClose)) return
  if (p.kind === T.end) return // the block that is not closed is told instead
  const hint = operatorHint(p)
  if (hint !== undefined) p.fail(`expected the end of ${what}`, hint)
  if (p.newlineMode) p.fail(`expected a new line or ";" after ${what}`)
  if (p.kind !== T.braceClose && !p.brokeLine) {
    p.fail(`expected ";" after ${what}`)
  }
  const at = p.lastEnd
  p.error('E_MISSING_SEMICOLON', `missing ";" after ${what}`, {
    from: Math.max(0, at - 1),
    to: at,
    hint: 'Statements end with ";" here; only bodies of actions and steps may leave it out.',
  })
}

function letStatement(p: Cursor): Statement {
  const from = p.start
  p.advance()
  const name = p.name('a name')
  const annotation = p.take(T.colon) ? type(p) : undefined
  if (annotation !== undefined) p.dialects.add('Q')
  p.expect(T.equals, '"="', `after the name "${name.text.slice(0, 40)}"`)
  const value = expression(p)
  const span = p.span(from)
  end(p, '"let"')
  return { kind: 'let', name, type: annotation, value, span }
}

function returnStatement(p: Cursor): Statement {
  const from = p.start
  p.advance()
  const isBare = p.kind === T.semicolon || p.kind === T.braceClose || (p.newlineMode && p.brokeLine)
  const value = isBare ? undefined : expression(p)
  const span = p.span(from)
  end(p, '"return"')
  return { kind: 'return', value, span }
}

function jump(p: Cursor): Statement {
  const from = p.start
  const kind = p.is('break') ? 'break' : 'continue'
  p.advance()
  const span = p.span(from)
  end(p, `"${kind}"`)
  return { kind, span }
}

function expressionStatement(p: Cursor): Found {
  const from = p.start
  const found = expression(p)
  const operator = ASSIGN[p.kind]
  if (operator !== undefined) {
    if (found.kind !== 'name' && found.kind !== 'member' && found.kind !== 'index') {
      p.fail('only a name, a member or an element can be given a value', 'To compare, write "==".')
    }
    p.advance()
    const value = expression(p)
    const span = p.span(from)
    end(p, 'the assignment')
    return { kind: 'assign', target: found, operator, value, span }
  }
  if (p.kind === T.braceClose) return { kind: 'value', value: found }
  const span = p.span(from)
  const hint = wordHint(p, found)
  if (hint !== undefined && p.kind === T.name && !p.brokeLine) {
    p.fail('expected the end of the statement', hint)
  }
  end(p, 'the expression')
  return { kind: 'expression', expression: found, span }
}

const STATEMENT_WORDS = ['let', 'return', 'for', 'match', 'while', 'require', 'break', 'continue']

function wordHint(p: Cursor, found: Expression): string | undefined {
  if (found.kind !== 'name') return undefined
  if (['const', 'var', 'mut', 'val'].includes(found.text)) return 'Use "let" instead.'
  if (['import', 'macro', 'use', 'include'].includes(found.text)) {
    return `There is no "${found.text}" in this language.`
  }
  return p.meant(found.text, STATEMENT_WORDS)
}

function ifStatement(p: Cursor): IfStatement {
  const from = p.start
  p.advance()
  const depth = p.enter()
  const head = condition(p)
  const then = block(p, 'block of "if"')
  let otherwise: IfStatement | Block | undefined
  if (p.takeWord('else')) {
    otherwise = p.is('if') ? ifStatement(p) : block(p, 'block of "else"')
  }
  p.leave(depth)
  return { kind: 'if', condition: head, then, otherwise, span: p.span(from) }
}

function condition(p: Cursor): Condition {
  if (!(p.is('let') && p.peek(1) === T.name)) {
    return { kind: 'test', expression: headExpression(p) }
  }
  p.advance()
  const found = pattern(p)
  p.expect(T.equals, '"="', 'after the pattern')
  return { kind: 'pattern', pattern: found, value: headExpression(p) }
}

function pattern(p: Cursor): Pattern {
  const from = p.start
  const depth = p.enter()
  const name = p.name('a pattern')
  let args: Pattern[] | undefined
  if (p.take(T.parenOpen)) {
    args = []
    while (!p.take(T.parenClose)) {
      args.push(pattern(p))
      if (!p.take(T.comma) && p.kind !== T.name && p.kind !== T.parenClose) {
        p.fail('expected ")" in the pattern')
      }
    }
  }
  p.leave(depth)
  return { name, args, span: p.span(from) }
}

function forStatement(p: Cursor): Statement {
  const from = p.start
  p.advance()
  const name = p.name('a name')
  if (!p.takeWord('in')) p.fail('expected "in" after the name')
  const list = headExpression(p)
  const body = block(p, 'block of "for"')
  return { kind: 'for', name, list, block: body, span: p.span(from) }
}

function whileStatement(p: Cursor): Statement {
  const from = p.start
  p.advance()
  const found = headExpression(p)
  const body = block(p, 'block of "while"')
  return { kind: 'while', condition: found, block: body, span: p.span(from) }
}

function matchStatement(p: Cursor): Statement {
  const from = p.start
  p.advance()
  const subject = headExpression(p)
  const opened = p.start
  p.expect(T.braceOpen, '"{"', 'before the arms of "match"', operatorHint(p))
  const depth = p.enter()
  const { inHead } = p
  p.inHead = false
  const arms: Arm[] = []
  while (p.kind !== T.braceClose && p.kind !== T.end) {
    arms.push(arm(p))
    p.take(T.comma)
  }
  p.inHead = inHead
  p.leave(depth)
  p.close('"match"', opened)
  return { kind: 'match', subject, arms, span: p.span(from) }
}

function arm(p: Cursor): Arm {
  const from = p.start
  const found = armPattern(p)
  p.expect(T.fatArrow, '"=>"', 'after the pattern')
  const isBlock = p.kind === T.braceOpen && !isRecordAhead(p)
  const body = isBlock ? block(p, 'block of the arm') : expression(p)
  return { pattern: found, body, span: p.span(from) }
}

function armPattern(p: Cursor): Arm['pattern'] {
  if (p.kind === T.name) {
    const name = p.name('a pattern')
    if (name.text === '_') return { kind: 'any' }
    if (name.text === 'true' || name.text === 'false') {
      return { kind: 'literal', value: name.text === 'true' }
    }
    return { kind: 'name', name }
  }
  const found = p.kind === T.string || p.kind === T.number ? literal(p) : undefined
  if (found?.kind === 'string' || found?.kind === 'number') {
    return { kind: 'literal', value: found.value }
  }
  return p.fail('expected a pattern: a string, a number, true, false, a name or _')
}

function tryStatement(p: Cursor): Statement {
  const from = p.start
  p.advance()
  const body = block(p, 'block of "try"')
  const catches: Catch[] = []
  while (p.is('catch')) {
    const start = p.start
    p.advance()
    p.expect(T.parenOpen, '"("', 'after "catch"')
    const first = p.name('a name')
    const second = p.kind === T.name ? p.name('a name') : undefined
    p.expect(T.parenClose, '")"', 'after the name of the error')
    const handler = block(p, 'block of "catch"')
    catches.push({
      type: second === undefined ? undefined : first,
      name: second ?? first,
      block: handler,
      span: p.span(start),
    })
  }
  return { kind: 'try', block: body, catches, span: p.span(from) }
}

function requireStatement(p: Cursor): Statement | undefined {
  const from = p.start
  const word = p.word(1)
  if (word !== 'capability' && word !== 'capabilities') return undefined
  p.advance()
  p.advance()
  p.dialects.add('Q')
  const capabilities = word === 'capability' ? [oneCapability(p)] : capabilityList(p)
  const span = p.span(from)
  end(p, '"require"')
  return { kind: 'require', capabilities, span }
}

function oneCapability(p: Cursor): Expression {
  if (p.kind === T.name) {
    const name = p.name('a capability')
    return { kind: 'name', text: name.text, span: name.span }
  }
  p.expect(T.parenOpen, 'a name or "("', 'after "capability"')
  const found = expression(p)
  p.expect(T.parenClose, '")"', 'after the capability')
  return found
}

function capabilityList(p: Cursor): readonly Expression[] {
  const found = array(p)
  return found.kind === 'array' ? found.items : []
}

export function type(p: Cursor): Type {
  const from = p.start
  const depth = p.enter()
  const name = p.name('a type')
  const args: Type[] = []
  if (p.take(T.less)) {
    do args.push(type(p))
    while (p.take(T.comma))
    closeAngle(p)
  }
  p.leave(depth)
  return { name, args, span: p.span(from) }
}

/** `>`, also as the first half of `>=`: `let x: List<int>= y`. */
function closeAngle(p: Cursor): void {
  if (p.kind === T.greaterEqual) {
    p.tokens.kinds[p.index] = T.equals
    p.tokens.starts[p.index] = p.start + 1
    return
  }
  p.expect(T.greater, '">"', 'after the type')
}

/** Up to the closing mark, which is taken. */
export function params(p: Cursor, close: number, shown: string): readonly Param[] {
  const found: Param[] = []
  while (!p.take(close)) {
    const from = p.start
    const name = p.name(`a name or ${shown}`)
    p.expect(T.colon, '":" and a type', `after "${name.text.slice(0, 40)}"`)
    const of = type(p)
    const fallback = p.take(T.equals) ? expression(p) : undefined
    found.push({ name, type: of, fallback, span: p.span(from) })
    if (!p.take(T.comma) && p.kind !== close && p.kind !== T.name) {
      p.fail(`expected "," or ${shown}`)
    }
  }
  return found
}
