/** What expressions and texts with `${…}` in them are worth. Pure, bounded, and without a way out. */
import { VestryError } from '@vestry/contract/errors'
import type { Expression } from '../../dsl/ast.ts'
import { SecretRef } from '../../dsl/host.ts'
import { parseExpression } from './expression.ts'
import { FUNCTIONS } from './expression-functions.ts'
import {
  compared,
  computed,
  finite,
  isRecord,
  isSecret,
  kindOf,
  number,
  read,
  SecretText,
  textOf,
  truth,
  wrong,
} from './expression-values.ts'

export type Scope = Readonly<Record<string, unknown>>

const MAX_WORK = 200_000
const MAX_TEXT = 4_194_304
const MAX_PARSED = 2_000
const parsed = new Map<string, Expression>()

/** @throws VestryError INVALID_PARAMS, saying what cannot be computed. */
export function evaluate(source: string, scope: Scope): unknown {
  return new Evaluator(scope).value(cached(source))
}

/** Whether it holds. Only `true` and `false` say so. */
export function holds(source: string, scope: Scope): boolean {
  const value = evaluate(source, scope)
  if (typeof value !== 'boolean') throw wrong(`a condition is true or false, not ${kindOf(value)}`)
  return value
}

/**
 * A value in which every text may have expressions in it. A text that is one expression alone is worth what that is
 * worth; of several parts it is a text.
 */
export function filled(value: unknown, scope: Scope): unknown {
  if (typeof value === 'string') return filledText(value, scope)
  if (Array.isArray(value)) return value.map((item) => filled(item, scope))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) => [name, filled(member, scope)]),
  )
}

/** Expressions of a text, and what stands between them. @throws VestryError WORKFLOW_INVALID */
export function partsOf(text: string): ({ text: string } | { expression: string })[] {
  const parts: ({ text: string } | { expression: string })[] = []
  let at = 0
  for (;;) {
    const start = text.indexOf('${', at)
    if (start < 0) break
    if (start > at) parts.push({ text: text.slice(at, start) })
    const end = endOf(text, start + 2)
    parts.push({ expression: text.slice(start + 2, end) })
    at = end + 1
  }
  if (at < text.length || parts.length === 0) parts.push({ text: text.slice(at) })
  return parts
}

function endOf(text: string, from: number): number {
  let depth = 0
  let quote: string | undefined
  for (let at = from; at < text.length; at += 1) {
    const one = text[at]
    if (quote !== undefined) {
      if (one === '\\') at += 1
      else if (one === quote) quote = undefined
    } else if (one === '"' || one === "'") quote = one
    else if (one === '{') depth += 1
    else if (one === '}') {
      if (depth === 0) return at
      depth -= 1
    }
  }
  throw new VestryError('WORKFLOW_INVALID', '"${" has no end')
}

function filledText(text: string, scope: Scope): unknown {
  if (!text.includes('${')) return text
  const parts = partsOf(text)
  const [first] = parts
  if (parts.length === 1 && first !== undefined && 'expression' in first)
    return evaluate(first.expression, scope)
  let out = ''
  for (const [n, part] of parts.entries()) {
    const value = 'text' in part ? part.text : evaluate(part.expression, scope)
    if (value instanceof SecretRef) {
      if (n !== parts.length - 1) throw wrong('a secret stands at the end of a text, or alone')
      return new SecretText(out, value)
    }
    out += textOf(value)
    if (out.length > MAX_TEXT) throw wrong('the text grows too long')
  }
  return out
}

function cached(source: string): Expression {
  const known = parsed.get(source)
  if (known !== undefined) return known
  const expression = parseExpression(source)
  if (parsed.size >= MAX_PARSED) parsed.clear()
  parsed.set(source, expression)
  return expression
}

class Evaluator {
  readonly #scope: Scope
  #work = 0

  constructor(scope: Scope) {
    this.#scope = scope
  }

  value(e: Expression): unknown {
    this.#spend(1)
    switch (e.kind) {
      case 'string':
      case 'number':
      case 'boolean':
        return e.value
      case 'name':
        return this.#name(e.text)
      case 'array':
        return e.items.map((item) => this.value(item))
      case 'record':
        return Object.fromEntries(
          e.entries.map(({ name, value }) => [name.text, this.value(value)]),
        )
      case 'unary':
        return this.#unary(e)
      case 'binary':
        return this.#binary(e)
      case 'member':
        return read(this.value(e.object), e.name.text)
      case 'index':
        return read(this.value(e.object), this.value(e.index))
      case 'call':
        return this.#call(e)
      default:
        throw wrong(`${e.kind} has no place here`)
    }
  }

  #name(name: string): unknown {
    if (name === 'null' || name === 'None') return null
    if (Object.hasOwn(this.#scope, name)) return this.#scope[name]
    throw wrong(`"${name}" is not known`)
  }

  #unary({ operator, operand }: Extract<Expression, { kind: 'unary' }>): unknown {
    const value = this.value(operand)
    if (operator === '!') return !truth(value)
    return -number(value)
  }

  #binary({ operator, left, right }: Extract<Expression, { kind: 'binary' }>): unknown {
    const a = this.value(left)
    if (operator === '||') return truth(a) || truth(this.value(right))
    if (operator === '&&') return truth(a) && truth(this.value(right))
    const b = this.value(right)
    switch (operator) {
      case '==':
        return this.#equal(a, b)
      case '!=':
        return !this.#equal(a, b)
      case 'in':
        return this.#contains(b, a)
      case '+':
        return this.#sum(a, b)
      case '<':
      case '>':
      case '<=':
      case '>=':
        return compared(operator, a, b)
      default:
        return computed(operator, number(a), number(b))
    }
  }

  #sum(a: unknown, b: unknown): unknown {
    if (Array.isArray(a) && Array.isArray(b)) {
      this.#spend(a.length + b.length)
      return [...a, ...b]
    }
    if (typeof a !== 'string' && typeof b !== 'string') return finite(number(a) + number(b))
    const text = textOf(a) + textOf(b)
    if (text.length > MAX_TEXT) throw wrong('the text grows too long')
    return text
  }

  #contains(where: unknown, what: unknown): boolean {
    if (typeof where === 'string' && typeof what === 'string') return where.includes(what)
    if (Array.isArray(where)) return where.some((one) => this.#equal(one, what))
    if (isRecord(where) && typeof what === 'string') return Object.hasOwn(where, what)
    throw wrong(`nothing can be in ${kindOf(where)}`)
  }

  #equal(a: unknown, b: unknown): boolean {
    this.#spend(1)
    if (isSecret(a) || isSecret(b)) throw wrong('a secret cannot be compared')
    if (Array.isArray(a) && Array.isArray(b))
      return a.length === b.length && a.every((one, at) => this.#equal(one, b[at]))
    if (!isRecord(a) || !isRecord(b)) return a === b
    const names = Object.keys(a)
    return (
      names.length === Object.keys(b).length &&
      names.every((name) => Object.hasOwn(b, name) && this.#equal(a[name], b[name]))
    )
  }

  #call({ callee, args }: Extract<Expression, { kind: 'call' }>): unknown {
    const name = callee.kind === 'name' ? callee.text : ''
    const run = Object.hasOwn(FUNCTIONS, name) ? FUNCTIONS[name] : undefined
    if (run === undefined) throw wrong(`there is no function "${name}"`)
    const values = args.map(({ value }) => this.value(value))
    for (const value of values) if (isSecret(value)) throw wrong('a secret can only be sent')
    return run(values)
  }

  #spend(amount: number): void {
    this.#work += amount
    if (this.#work > MAX_WORK) throw wrong('it takes too much work')
  }
}
