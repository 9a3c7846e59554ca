/**
 * Expressions of workflows: the expression language of the DSL without functions of its own making, effects, blocks
 * and lambdas. Read into the same tree; nothing here is ever handed to the JavaScript engine.
 */
import { VestryError } from '@vestry/contract/errors'
import type { BinaryOperator, Expression, Position, Span } from '../../dsl/ast.ts'

const MAX_LENGTH = 8_192
const MAX_DEPTH = 64
const TOKEN =
  /\s*(?:(\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)|("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|([A-Za-z_][A-Za-z0-9_]*)|(\|\||&&|==|!=|<=|>=|[-+*/%<>!()[\]{}.,:?]))/y

interface Token {
  readonly kind: 'number' | 'text' | 'name' | 'mark' | 'end'
  readonly text: string
  readonly at: number
}

/** Later ones bind more tightly. */
const LEVELS: readonly (readonly BinaryOperator[])[] = [
  ['||'],
  ['&&'],
  ['==', '!=', 'in'],
  ['<', '>', '<=', '>='],
  ['+', '-'],
  ['*', '/', '%'],
]

/** @throws VestryError WORKFLOW_INVALID, saying where. */
export function parseExpression(source: string): Expression {
  if (source.length > MAX_LENGTH)
    throw new VestryError(
      'WORKFLOW_INVALID',
      `an expression takes at most ${MAX_LENGTH} characters`,
    )
  const parser = new Parser(source)
  return parser.whole()
}

/** Every `steps.<id>` that it reads, and every other name that it begins with. */
export function namesIn(expression: Expression): { steps: Set<string>; roots: Set<string> } {
  const found = { steps: new Set<string>(), roots: new Set<string>() }
  walk(expression, found)
  return found
}

function walk(e: Expression, found: { steps: Set<string>; roots: Set<string> }): void {
  switch (e.kind) {
    case 'name':
      found.roots.add(e.text)
      return
    case 'member':
      if (e.object.kind === 'name' && e.object.text === 'steps') found.steps.add(e.name.text)
      walk(e.object, found)
      return
    case 'index':
      if (e.object.kind === 'name' && e.object.text === 'steps' && e.index.kind === 'string')
        found.steps.add(e.index.value)
      walk(e.object, found)
      walk(e.index, found)
      return
    case 'unary':
      walk(e.operand, found)
      return
    case 'binary':
      walk(e.left, found)
      walk(e.right, found)
      return
    case 'array':
      for (const item of e.items) walk(item, found)
      return
    case 'record':
      for (const { value } of e.entries) walk(value, found)
      return
    case 'call':
      for (const { value } of e.args) walk(value, found)
      return
    default:
      return
  }
}

class Parser {
  readonly #source: string
  readonly #tokens: readonly Token[]
  #at = 0
  #depth = 0

  constructor(source: string) {
    this.#source = source
    this.#tokens = tokensOf(source)
  }

  whole(): Expression {
    const expression = this.#binary(0)
    if (this.#next.kind !== 'end') throw this.#wrong('something more stands after the expression')
    return expression
  }

  get #next(): Token {
    return this.#tokens[this.#at] ?? { kind: 'end', text: '', at: this.#source.length }
  }

  #take(): Token {
    const token = this.#next
    this.#at += 1
    return token
  }

  #is(text: string): boolean {
    const { kind } = this.#next
    return this.#next.text === text && (kind === 'mark' || kind === 'name')
  }

  #expect(text: string): void {
    if (!this.#is(text)) throw this.#wrong(`"${text}" is missing`)
    this.#at += 1
  }

  #binary(level: number): Expression {
    const operators = LEVELS[level]
    if (operators === undefined) return this.#unary()
    let left = this.#binary(level + 1)
    for (;;) {
      const operator = operators.find((one) => this.#is(one))
      if (operator === undefined) return left
      this.#at += 1
      const right = this.#binary(level + 1)
      left = { kind: 'binary', operator, left, right, span: span(left.span, right.span) }
    }
  }

  #unary(): Expression {
    this.#depth += 1
    if (this.#depth > MAX_DEPTH) throw this.#wrong('it is nested too deeply')
    try {
      const { at } = this.#next
      for (const operator of ['!', '-'] as const) {
        if (!this.#is(operator)) continue
        this.#at += 1
        const operand = this.#unary()
        return { kind: 'unary', operator, operand, span: span(place(at), operand.span) }
      }
      return this.#postfix(this.#primary())
    } finally {
      this.#depth -= 1
    }
  }

  #postfix(first: Expression): Expression {
    let object = first
    for (;;) {
      if (this.#is('.')) {
        this.#at += 1
        const name = this.#take()
        if (name.kind !== 'name') throw this.#wrong('a name is missing after "."')
        const at = place(name.at, name.text.length)
        object = { kind: 'member', object, name: { text: name.text, span: at }, span: at }
      } else if (this.#is('[')) {
        this.#at += 1
        const index = this.#binary(0)
        this.#expect(']')
        object = { kind: 'index', object, index, span: span(object.span, index.span) }
      } else if (this.#is('(') && object.kind === 'name') {
        this.#at += 1
        const args = this.#list(')').map((value) => ({ name: undefined, value, span: value.span }))
        object = { kind: 'call', callee: object, args, span: object.span }
      } else return object
    }
  }

  #primary(): Expression {
    const token = this.#take()
    const at = place(token.at, token.text.length)
    if (token.kind === 'number') return { kind: 'number', value: Number(token.text), span: at }
    if (token.kind === 'text') return { kind: 'string', value: this.#text(token), span: at }
    if (token.kind === 'name') {
      if (token.text === 'true' || token.text === 'false')
        return { kind: 'boolean', value: token.text === 'true', span: at }
      return { kind: 'name', text: token.text, span: at }
    }
    if (token.text === '(') {
      const inner = this.#binary(0)
      this.#expect(')')
      return inner
    }
    if (token.text === '[') return { kind: 'array', items: this.#list(']'), span: at }
    if (token.text === '{')
      return { kind: 'record', type: undefined, entries: this.#entries(), span: at }
    this.#at -= 1
    throw this.#wrong(
      token.kind === 'end' ? 'it ends too early' : `"${token.text}" is not expected`,
    )
  }

  #list(end: string): Expression[] {
    const items: Expression[] = []
    while (!this.#is(end)) {
      items.push(this.#binary(0))
      if (!this.#is(',')) break
      this.#at += 1
    }
    this.#expect(end)
    return items
  }

  #entries() {
    const entries: { name: { text: string; span: Span }; value: Expression }[] = []
    while (!this.#is('}')) {
      const name = this.#take()
      if (name.kind !== 'name' && name.kind !== 'text') throw this.#wrong('a name is missing')
      this.#expect(':')
      const text = name.kind === 'text' ? this.#text(name) : name.text
      entries.push({ name: { text, span: place(name.at) }, value: this.#binary(0) })
      if (!this.#is(',')) break
      this.#at += 1
    }
    this.#expect('}')
    return entries
  }

  #text({ text }: Token): string {
    const inner = text.slice(1, -1)
    return inner.replaceAll(/\\(.)/gs, (_, one: string) => ESCAPES[one] ?? one)
  }

  #wrong(why: string): VestryError {
    return new VestryError('WORKFLOW_INVALID', `character ${this.#next.at + 1}: ${why}`)
  }
}

const ESCAPES: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r' }

function tokensOf(source: string): Token[] {
  const tokens: Token[] = []
  TOKEN.lastIndex = 0
  const end = source.trimEnd().length
  let at = 0
  while (at < end) {
    TOKEN.lastIndex = at
    const found = TOKEN.exec(source)
    if (found === null)
      throw new VestryError('WORKFLOW_INVALID', `character ${at + 1}: this is not understood`)
    const [, number, text, name, mark] = found
    const value = number ?? text ?? name ?? mark ?? ''
    const kind =
      number !== undefined
        ? 'number'
        : text !== undefined
          ? 'text'
          : name !== undefined
            ? 'name'
            : 'mark'
    tokens.push({ kind, text: value, at: TOKEN.lastIndex - value.length })
    at = TOKEN.lastIndex
  }
  return tokens
}

function place(at: number, length = 1): Span {
  return { start: position(at), end: position(at + length) }
}

function span(from: Span, to: Span): Span {
  return { start: from.start, end: to.end }
}

function position(offset: number): Position {
  return { offset, line: 1, column: offset + 1 }
}
