/** Expressions as text, the shortest that is read back as the same tree. */
import type { Argument, Expression, Type } from './ast.ts'

const PRECEDENCE: Readonly<Record<string, number>> = {
  '||': 1,
  '&&': 2,
  '==': 3,
  '!=': 3,
  in: 3,
  '<': 4,
  '>': 4,
  '<=': 4,
  '>=': 4,
  '+': 5,
  '-': 5,
  '*': 6,
  '/': 6,
  '%': 6,
}
const UNARY = 7
const POSTFIX = 8

export interface TextOptions {
  /** As the source has it; without it, in the normal form. */
  readonly raw?: (literal: Expression) => string
  /** A `conditional` whose blocks do not fit on one line. */
  readonly conditional?: (node: Extract<Expression, { kind: 'conditional' }>) => string
}

export function expressionText(node: Expression, options: TextOptions = {}): string {
  return text(node, 0, options)
}

/** In the head of `if` or `for`, where `{` begins a block. */
export function headText(node: Expression, options: TextOptions = {}): string {
  const plain = text(node, 0, options)
  return opensRecord(node) ? `(${plain})` : plain
}

export function typeText({ name, args }: Type): string {
  return args.length === 0 ? name.text : `${name.text}<${args.map(typeText).join(', ')}>`
}

export function argumentText({ name, value }: Argument, options: TextOptions = {}): string {
  return name === undefined ? text(value, 0, options) : `${name.text}: ${text(value, 0, options)}`
}

export function entryText(
  { name, value }: { readonly name: { readonly text: string }; readonly value: Expression },
  options: TextOptions = {},
): string {
  return `${keyText(name.text)}: ${text(value, 0, options)}`
}

export function stringText(value: string): string {
  const escaped = value.replace(/["\\\n\r\t]|[^\P{C}\u200c\u200d]/gu, (found) => {
    const short: Readonly<Record<string, string>> = {
      '"': '\\"',
      '\\': '\\\\',
      '\n': '\\n',
      '\r': '\\r',
      '\t': '\\t',
    }
    if (short[found] !== undefined) return short[found]
    return [...Array(found.length).keys()]
      .map((at) => `\\u${found.charCodeAt(at).toString(16).padStart(4, '0')}`)
      .join('')
  })
  return `"${escaped}"`
}

function keyText(key: string): string {
  return /^[A-Za-z_][A-Za-z0-9_]*$/.test(key) ? key : stringText(key)
}

function text(node: Expression, least: number, options: TextOptions): string {
  const [plain, precedence] = withPrecedence(node, options)
  return precedence < least ? `(${plain})` : plain
}

function withPrecedence(node: Expression, options: TextOptions): [string, number] {
  const of = (child: Expression, least = 0): string => text(child, least, options)
  switch (node.kind) {
    case 'array':
      return [`[${node.items.map((item) => of(item)).join(', ')}]`, POSTFIX]
    case 'record':
      return [recordText(node, options), POSTFIX]
    case 'lambda':
      return [`${node.param.text} => ${of(node.body)}`, 0]
    case 'unary':
      return [`${node.operator}${of(node.operand, UNARY)}`, UNARY]
    case 'binary': {
      const own = PRECEDENCE[node.operator] ?? 1
      return [`${of(node.left, own)} ${node.operator} ${of(node.right, own + 1)}`, own]
    }
    case 'member':
      return [`${memberObject(node.object, options)}.${node.name.text}`, POSTFIX]
    case 'index':
      return [`${of(node.object, POSTFIX)}[${of(node.index)}]`, POSTFIX]
    case 'call': {
      const args = node.args.map((one) => argumentText(one, options)).join(', ')
      return [`${of(node.callee, POSTFIX)}(${args})`, POSTFIX]
    }
    case 'conditional':
      return [(options.conditional ?? conditionalText)(node), 0]
    default:
      return [options.raw === undefined ? literalText(node) : options.raw(node), POSTFIX]
  }
}

/** `1.seconds` would be a duration. */
function memberObject(object: Expression, options: TextOptions): string {
  const plain = text(object, POSTFIX, options)
  return object.kind === 'number' ? `(${plain})` : plain
}

function recordText(node: Extract<Expression, { kind: 'record' }>, options: TextOptions): string {
  const type = node.type === undefined ? '' : `${node.type.text} `
  if (node.entries.length === 0) return `${type}{}`
  return `${type}{ ${node.entries.map((one) => entryText(one, options)).join(', ')} }`
}

/** Only where both blocks are a single value; others need the formatter. */
function conditionalText(node: Extract<Expression, { kind: 'conditional' }>): string {
  const side = ({ statements, value }: typeof node.then): string => {
    const inner = value === undefined ? '' : ` ${expressionText(value)} `
    return statements.length === 0 ? `{${inner}}` : `{ … }`
  }
  return `if ${headText(node.condition)} ${side(node.then)} else ${side(node.otherwise)}`
}

function literalText(node: Expression): string {
  switch (node.kind) {
    case 'string':
      return stringText(node.value)
    case 'number':
      return numberText(node.value)
    case 'boolean':
      return String(node.value)
    case 'duration':
    case 'size':
      return node.text
    case 'secret':
      return `vault://${node.path}`
    case 'name':
      return node.text
    default:
      throw new TypeError(`${node.kind} is no literal`)
  }
}

/** The language has no exponents. */
function numberText(value: number): string {
  const plain = String(value)
  if (!plain.includes('e')) return plain
  return Number.isInteger(value) ? BigInt(value).toString() : value.toFixed(100).replace(/0+$/, '')
}

/** A record stands in it outside all brackets. */
function opensRecord(node: Expression): boolean {
  switch (node.kind) {
    case 'record':
    case 'conditional':
      return true
    case 'lambda':
      return opensRecord(node.body)
    case 'unary':
      return opensRecord(node.operand)
    case 'binary':
      return opensRecord(node.left) || opensRecord(node.right)
    case 'member':
    case 'index':
      return opensRecord(node.object)
    case 'call':
      return opensRecord(node.callee)
    default:
      return false
  }
}
