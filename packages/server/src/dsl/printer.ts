/** Statements and blocks as text, with the comments of the source if there is one. */
import type {
  Block,
  Comment,
  Expression,
  IfStatement,
  Param,
  Pattern,
  Span,
  Statement,
} from './ast.ts'
import {
  argumentText,
  entryText,
  expressionText,
  headText,
  stringText,
  type TextOptions,
  typeText,
} from './expression-text.ts'

const INDENT = '    '
const WIDTH = 100

/** One thing in a body: where it stood, and its text. */
export interface Element {
  readonly span: Span
  readonly print: () => string
}

const STATEMENT_WORDS: ReadonlySet<string> = new Set(['let', 'for', 'match', 'require', 'try'])

export class Printer {
  readonly #comments: readonly Comment[]
  #next = 0
  #level = 0
  #newlineMode = false
  readonly #options: TextOptions

  constructor(source?: string, comments: readonly Comment[] = []) {
    this.#comments = comments
    this.#options = {
      conditional: (node) => this.#conditional(node),
      ...(source !== undefined && {
        raw: ({ span }: Expression) => source.slice(span.start.offset, span.end.offset),
      }),
    }
  }

  /** A braced body; comments before `end` belong to it. */
  body(elements: readonly Element[], end: number): string {
    this.#level++
    const lines = this.lines(elements, end)
    this.#level--
    return lines.length === 0 ? '{}' : `{\n${lines.join('\n')}\n${this.#pad()}}`
  }

  lines(elements: readonly Element[], end: number): string[] {
    const lines: string[] = []
    let lastLine = -1
    const put = (span: Span, text: string): void => {
      if (lastLine !== -1 && span.start.line > lastLine + 1) lines.push('')
      lines.push(`${this.#pad()}${text}`)
      lastLine = Math.max(lastLine, span.end.line)
    }
    const comments = (before: number): void => {
      for (const found of this.#take(before)) {
        const isTrailing = !found.ownLine && lines.length > 0 && found.span.start.line === lastLine
        if (isTrailing) lines.push(`${lines.pop() ?? ''} ${commentText(found)}`)
        else put(found.span, commentText(found))
        lastLine = Math.max(lastLine, found.span.end.line)
      }
    }
    for (const { span, print } of elements) {
      comments(span.start.offset)
      put(span, print())
    }
    comments(end)
    return lines
  }

  expression(node: Expression, before = 0): string {
    const next = this.#next
    const flat = expressionText(node, this.#options)
    if (flat.length + before + this.#level * INDENT.length <= WIDTH || flat.includes('\n'))
      return flat
    this.#next = next
    return this.#broken(node) ?? flat
  }

  head(node: Expression): string {
    return headText(node, this.#options)
  }

  /** `a: int, b: String = "x"` */
  params(list: readonly Param[]): string {
    return list.map((one) => this.param(one)).join(', ')
  }

  param({ name, type, fallback }: Param): string {
    const value = fallback === undefined ? '' : ` = ${this.expression(fallback)}`
    return `${name.text}: ${typeText(type)}${value}`
  }

  /** A whole body, where newlines end statements or not. */
  block(node: Block, newlineMode: boolean): string {
    const before = this.#newlineMode
    this.#newlineMode = newlineMode
    const text = this.#block(node)
    this.#newlineMode = before
    return text
  }

  statement(node: Statement): string {
    const end = this.#newlineMode ? '' : ';'
    switch (node.kind) {
      case 'let': {
        const type = node.type === undefined ? '' : `: ${typeText(node.type)}`
        const start = `let ${node.name.text}${type} = `
        return `${start}${this.expression(node.value, start.length + 1)}${end}`
      }
      case 'assign': {
        const start = `${this.expression(node.target)} ${node.operator} `
        return `${start}${this.expression(node.value, start.length + 1)}${end}`
      }
      case 'return':
        return node.value === undefined
          ? `return${end}`
          : `return ${this.expression(node.value, 8)}${end}`
      case 'if':
        return this.#if(node)
      case 'for':
        return `for ${node.name.text} in ${this.head(node.list)} ${this.#block(node.block)}`
      case 'while':
        return `while ${this.head(node.condition)} ${this.#block(node.block)}`
      case 'match':
        return this.#match(node)
      case 'try':
        return `try ${this.#block(node.block)}${node.catches
          .map(({ type, name, block }) => {
            const kind = type === undefined ? '' : `${type.text} `
            return ` catch (${kind}${name.text}) ${this.#block(block)}`
          })
          .join('')}`
      case 'require':
        return `require capabilities [${node.capabilities
          .map((one) => this.expression(one))
          .join(', ')}]${end}`
      case 'break':
      case 'continue':
        return `${node.kind}${end}`
      case 'expression': {
        const { expression } = node
        // On a line of its own the word would begin a statement with what stands on the next one.
        const isWord = expression.kind === 'name' && STATEMENT_WORDS.has(expression.text)
        return `${this.expression(expression, 1)}${isWord ? ';' : end}`
      }
    }
  }

  #block({ statements, value, span }: Block): string {
    const elements: Element[] = statements.map((one) => ({
      span: one.span,
      print: () => this.statement(one),
    }))
    if (value !== undefined) {
      elements.push({ span: value.span, print: () => this.expression(value) })
    }
    return this.body(elements, Math.max(span.start.offset, span.end.offset - 1))
  }

  #if({ condition, then, otherwise }: IfStatement): string {
    const head =
      condition.kind === 'test'
        ? this.head(condition.expression)
        : `let ${patternText(condition.pattern)} = ${this.head(condition.value)}`
    const first = `if ${head} ${this.#block(then)}`
    if (otherwise === undefined) return first
    return `${first} else ${'kind' in otherwise ? this.#if(otherwise) : this.#block(otherwise)}`
  }

  #match({ subject, arms, span }: Extract<Statement, { kind: 'match' }>): string {
    const elements = arms.map((one) => ({
      span: one.span,
      print: () => {
        const { pattern, body } = one
        const shown =
          pattern.kind === 'any'
            ? '_'
            : pattern.kind === 'name'
              ? pattern.name.text
              : typeof pattern.value === 'string'
                ? stringText(pattern.value)
                : String(pattern.value)
        return `${shown} => ${'statements' in body ? this.#block(body) : `${this.expression(body)},`}`
      },
    }))
    const head = this.head(subject)
    return `match ${head} ${this.body(elements, Math.max(span.start.offset, span.end.offset - 1))}`
  }

  #conditional(node: Extract<Expression, { kind: 'conditional' }>): string {
    const head = `if ${this.head(node.condition)}`
    if (node.otherwise.statements.length === 0 && node.otherwise.value?.kind === 'conditional') {
      const isElseIf = node.otherwise.span.start.offset === node.otherwise.value.span.start.offset
      if (isElseIf) {
        return `${head} ${this.#side(node.then)} else ${this.#conditional(node.otherwise.value)}`
      }
    }
    return `${head} ${this.#side(node.then)} else ${this.#side(node.otherwise)}`
  }

  /** On one line where it is one short value. */
  #side(node: Block): string {
    const value = node.value
    if (node.statements.length > 0 || value === undefined) return this.#block(node)
    const next = this.#comments[this.#next]
    if (next !== undefined && next.span.start.offset < node.span.end.offset)
      return this.#block(node)
    const flat = this.expression(value)
    return flat.length > WIDTH / 2 || flat.includes('\n') ? this.#block(node) : `{ ${flat} }`
  }

  /** One element to a line. */
  #broken(node: Expression): string | undefined {
    const rows = (open: string, elements: readonly (() => string)[], close: string): string => {
      this.#level++
      const lines = elements.map((print) => `${this.#pad()}${print()},`)
      this.#level--
      return `${open}\n${lines.join('\n')}\n${this.#pad()}${close}`
    }
    if (node.kind === 'array' && node.items.length > 0) {
      return rows(
        '[',
        node.items.map((item) => () => this.expression(item)),
        ']',
      )
    }
    if (node.kind === 'record' && node.entries.length > 0) {
      const type = node.type === undefined ? '' : `${node.type.text} `
      const entries = node.entries.map((one) => () => entryText(one, this.#options))
      return rows(`${type}{`, entries, '}')
    }
    if (node.kind === 'call' && node.args.length > 0) {
      const args = node.args.map((one) => () => argumentText(one, this.#options))
      // A callee that is no name may need parentheses; then the line stays whole.
      if (node.callee.kind !== 'name' && node.callee.kind !== 'member') return undefined
      return rows(`${expressionText(node.callee, this.#options)}(`, args, ')')
    }
    return undefined
  }

  *#take(before: number): Generator<Comment> {
    for (;;) {
      const found = this.#comments[this.#next]
      if (found === undefined || found.span.start.offset >= before) return
      this.#next++
      yield found
    }
  }

  #pad(): string {
    return INDENT.repeat(this.#level)
  }
}

function patternText({ name, args }: Pattern): string {
  return args === undefined ? name.text : `${name.text}(${args.map(patternText).join(', ')})`
}

function commentText({ style, text }: Comment): string {
  if (style === 'block') return `/*${text}*/`
  const body = text.trim()
  return body === '' ? '#' : `# ${body}`
}
