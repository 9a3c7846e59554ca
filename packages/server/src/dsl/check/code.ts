/** Checks of bodies: names, calls, what is never reached, and types where they are certain. */
import type { Block, Condition, Expression, Param, Pattern, Span, Statement } from '../ast.ts'
import { EFFECTS } from '../host.ts'
import { BUILTINS } from '../interpreter/builtins.ts'
import { nearest } from '../nearest.ts'
import { type Checker, quoted } from './report.ts'
import { checkSecret } from './secret-literal.ts'

const CALLS: ReadonlySet<string> = new Set([...BUILTINS.keys(), ...EFFECTS, 'print'])

interface Variable {
  readonly span: Span
  /** `let` alone is told when nothing reads it. */
  readonly told: boolean
  used: boolean
}

export interface Callable {
  readonly name: string
  /** Least and most arguments; undefined: not known. */
  readonly takes: readonly [number, number]
}

export class CodeCheck {
  readonly #checker: Checker
  readonly #callables: ReadonlyMap<string, Callable>
  readonly #scopes: Map<string, Variable>[] = []
  #loops = 0

  constructor(checker: Checker, callables: readonly Callable[]) {
    this.#checker = checker
    this.#callables = new Map(callables.map((one) => [one.name, one]))
  }

  body(block: Block, params: readonly Param[]): void {
    this.#scoped(() => {
      for (const { name, fallback } of params) {
        if (fallback !== undefined) this.expression(fallback)
        this.#bind(name.text, name.span, false)
      }
      this.#block(block)
    })
  }

  #scoped(read: () => void): void {
    this.#scopes.push(new Map())
    read()
    for (const [name, variable] of this.#scopes.pop() ?? []) {
      if (!variable.told || variable.used || name.startsWith('_')) continue
      const hint = 'Remove it, or begin its name with "_".'
      this.#checker.add('W_UNUSED', variable, `${quoted(name)} is never read`, hint)
    }
  }

  #bind(name: string, span: Span, told: boolean): void {
    if (this.#find(name) !== undefined && name !== '_') {
      this.#checker.add('W_SHADOWED', { span }, `${quoted(name)} hides one of the same name`)
    }
    this.#scopes.at(-1)?.set(name, { span, told, used: false })
  }

  #find(name: string): Variable | undefined {
    for (let at = this.#scopes.length - 1; at >= 0; at--) {
      const found = this.#scopes[at]?.get(name)
      if (found !== undefined) return found
    }
    return undefined
  }

  #block(block: Block): void {
    this.#scoped(() => {
      let ended = false
      let isTold = false
      const next = (node: { readonly span: Span }): void => {
        if (!ended || isTold) return
        isTold = true
        this.#checker.add('W_UNREACHABLE', node, 'this is never reached')
      }
      for (const statement of block.statements) {
        next(statement)
        this.#statement(statement)
        if (['return', 'break', 'continue'].includes(statement.kind)) ended = true
      }
      if (block.value === undefined) return
      next(block.value)
      this.expression(block.value)
    })
  }

  #statement(node: Statement): void {
    switch (node.kind) {
      case 'let':
        this.expression(node.value, node.name.text)
        this.#bind(node.name.text, node.name.span, true)
        return
      case 'assign':
        if (node.target.kind !== 'name' || node.operator !== '=') this.expression(node.target)
        this.expression(node.value, node.target.kind === 'name' ? node.target.text : '')
        return
      case 'return':
        if (node.value !== undefined) this.expression(node.value)
        return
      case 'if':
        this.#scoped(() => {
          this.#condition(node.condition)
          this.#block(node.then)
        })
        if (node.otherwise === undefined) return
        if ('kind' in node.otherwise) this.#statement(node.otherwise)
        else this.#block(node.otherwise)
        return
      case 'for':
        this.expression(node.list)
        if (isCertain(node.list) && node.list.kind !== 'array') {
          this.#checker.add('E_TYPE', node.list, '"for" goes through a list')
        }
        this.#scoped(() => {
          this.#bind(node.name.text, node.name.span, false)
          this.#loop(node.block)
        })
        return
      case 'while':
        this.expression(node.condition)
        this.#truth(node.condition)
        this.#loop(node.block)
        return
      case 'match':
        this.expression(node.subject)
        for (const { pattern, body } of node.arms) {
          this.#scoped(() => {
            if (pattern.kind === 'name') this.#bind(pattern.name.text, pattern.name.span, false)
            if ('statements' in body) this.#block(body)
            else this.expression(body)
          })
        }
        return
      case 'try':
        this.#block(node.block)
        for (const { name, block } of node.catches) {
          this.#scoped(() => {
            this.#bind(name.text, name.span, false)
            this.#block(block)
          })
        }
        return
      case 'require':
        return
      case 'break':
      case 'continue':
        if (this.#loops === 0) {
          this.#checker.add('E_SYNTAX', node, `"${node.kind}" stands in no loop`)
        }
        return
      case 'expression':
        this.expression(node.expression)
    }
  }

  #loop(block: Block): void {
    this.#loops++
    this.#block(block)
    this.#loops--
  }

  #condition(node: Condition): void {
    if (node.kind === 'test') {
      this.expression(node.expression)
      this.#truth(node.expression)
      return
    }
    this.expression(node.value)
    this.#pattern(node.pattern)
  }

  /** A name alone is bound; a name with arguments is a constructor. */
  #pattern({ name, args }: Pattern): void {
    if (args !== undefined) for (const one of args) this.#pattern(one)
    else if (name.text !== '_' && !/^[A-Z]/.test(name.text)) this.#bind(name.text, name.span, false)
  }

  #truth(node: Expression): void {
    if (!isCertain(node) || node.kind === 'boolean') return
    this.#checker.add('E_TYPE', node, 'a condition is true or false', 'Compare it with something.')
  }

  expression(node: Expression, name = ''): void {
    switch (node.kind) {
      case 'string':
        checkSecret(this.#checker, node, name)
        return
      case 'name': {
        const found = this.#find(node.text)
        if (found !== undefined) found.used = true
        return
      }
      case 'array':
        for (const item of node.items) this.expression(item, name)
        return
      case 'record':
        for (const entry of node.entries) this.expression(entry.value, entry.name.text)
        return
      case 'lambda':
        this.#scoped(() => {
          this.#bind(node.param.text, node.param.span, false)
          this.expression(node.body)
        })
        return
      case 'unary':
        this.expression(node.operand)
        if (node.operator === '-' && isCertain(node.operand) && !isNumeric(node.operand)) {
          this.#checker.add('E_TYPE', node, '"-" needs a number')
        }
        if (node.operator === '!') this.#truth(node.operand)
        return
      case 'binary':
        this.#binary(node)
        return
      case 'member':
        this.expression(node.object)
        return
      case 'index':
        this.expression(node.object)
        this.expression(node.index)
        return
      case 'call':
        this.#call(node)
        return
      case 'conditional':
        this.expression(node.condition)
        this.#truth(node.condition)
        this.#block(node.then)
        this.#block(node.otherwise)
    }
  }

  #binary(node: Extract<Expression, { kind: 'binary' }>): void {
    this.expression(node.left)
    this.expression(node.right)
    const sides = [node.left, node.right]
    if (node.operator === '&&' || node.operator === '||')
      for (const side of sides) this.#truth(side)
    if (!['-', '*', '/', '%', '<', '>', '<=', '>='].includes(node.operator)) return
    const isOrder = /^[<>]/.test(node.operator)
    for (const side of sides) {
      if (!isCertain(side) || isNumeric(side) || (isOrder && side.kind === 'string')) continue
      this.#checker.add('E_TYPE', side, `"${node.operator}" needs numbers`)
    }
  }

  #call(node: Extract<Expression, { kind: 'call' }>): void {
    for (const one of node.args) this.expression(one.value, one.name?.text ?? '')
    const { callee } = node
    if (callee.kind !== 'name') {
      this.expression(callee)
      return
    }
    const variable = this.#find(callee.text)
    if (variable !== undefined) {
      variable.used = true
      return
    }
    const known = this.#callables.get(callee.text)
    if (known !== undefined) this.#arguments(node, known)
    else if (!CALLS.has(callee.text)) {
      const near = nearest(callee.text, [...this.#callables.keys(), ...CALLS])
      this.#checker.add(
        'W_UNRESOLVED_CALL',
        callee,
        `there is no function ${quoted(callee.text)}`,
        near === undefined ? 'It fails when it is reached.' : `Did you mean "${near}"?`,
      )
    }
    this.#tool(node, callee.text)
  }

  #arguments(
    { args, span }: Extract<Expression, { kind: 'call' }>,
    { name, takes }: Callable,
  ): void {
    const [least, most] = takes
    if (args.length >= least && args.length <= most) return
    const wanted = least === most ? `${least}` : `${least} to ${most}`
    this.#checker.add('E_TYPE', { span }, `"${name}" takes ${wanted} arguments, not ${args.length}`)
  }

  #tool({ args }: Extract<Expression, { kind: 'call' }>, callee: string): void {
    const [first] = args
    const { tools, agents } = this.#checker.options
    if (first?.value.kind !== 'string') return
    const { value } = first.value
    if (callee === 'call_tool' && tools?.(value) === false) {
      this.#checker.add('W_UNRESOLVED_TOOL', first, `there is no tool ${quoted(value)}`)
    }
    if (callee === 'ask' && agents?.(value) === false) {
      this.#checker.add('E_UNKNOWN_AGENT_REF', first, `there is no agent ${quoted(value)}`)
    }
  }
}

/** A literal: its type is what it looks like. */
function isCertain({ kind }: Expression): boolean {
  return ['string', 'number', 'boolean', 'duration', 'size', 'array', 'record', 'lambda'].includes(
    kind,
  )
}

function isNumeric({ kind }: Expression): boolean {
  return kind === 'number' || kind === 'duration' || kind === 'size'
}
