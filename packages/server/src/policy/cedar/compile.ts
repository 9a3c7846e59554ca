/**
 * Compiles expressions of Cedar's JSON policy form to closures. Covers the whole language except
 * templates, and refuses what it cannot evaluate exactly; it never guesses.
 */
import type { EvalContext } from './entity.ts'
import {
  type Json,
  type Place,
  readArray,
  readObject,
  readOnly,
  readString,
  readTypeName,
} from './est.ts'
import { EXT_FUNCTIONS } from './ext.ts'
import { constantFromJson } from './json.ts'
import { likeMatcher } from './like.ts'
import * as op from './operators.ts'
import { CedarError, CedarSet, type Value } from './value.ts'

/** A closure, and its value when that is known now. A constant that fails stays a closure. */
export interface Code {
  readonly run: (context: EvalContext) => Value | CedarError
  readonly constant?: Value
}

export function compileExpression(json: unknown, place: Place): Code {
  const [name, body] = readOnly(json, place)
  const here = place.at(name)
  const form = FORMS.get(name)
  return form === undefined ? extensionCall(name, body, here) : form(body, here)
}

type Form = (body: unknown, place: Place) => Code

const FORMS: ReadonlyMap<string, Form> = new Map<string, Form>([
  ['Value', (body, place) => constant(constantFromJson(body, place))],
  ['Var', variable],
  ['!', unary(op.not)],
  ['neg', unary(op.negate)],
  ['isEmpty', unary(op.isEmpty)],
  ['&&', (body, place) => ({ run: op.all(chain('&&', body, place).map((code) => code.run)) })],
  ['||', (body, place) => ({ run: op.any(chain('||', body, place).map((code) => code.run)) })],
  ['==', (body, place) => equality(body, place, true)],
  ['!=', (body, place) => equality(body, place, false)],
  ['<', binary(op.less)],
  ['<=', binary(op.lessOrEqual)],
  ['>', binary((left, right) => op.less(right, left))],
  ['>=', binary((left, right) => op.lessOrEqual(right, left))],
  ['+', binary(op.add)],
  ['-', binary(op.subtract)],
  ['*', binary(op.multiply)],
  ['contains', binary(op.contains)],
  ['containsAll', binary(op.containsAll)],
  ['containsAny', binary(op.containsAny)],
  ['getTag', binary(op.getTag)],
  ['hasTag', binary(op.hasTag)],
  ['in', membership],
  ['is', typeTest],
  ['.', attribute],
  ['has', presence],
  ['like', like],
  ['if-then-else', conditional],
  ['Set', setLiteral],
  ['Record', recordLiteral],
])

function constant(value: Value): Code {
  return { run: () => value, constant: value }
}

function variable(body: unknown, place: Place): Code {
  switch (body) {
    case 'principal':
      return { run: (context) => context.principal.uid }
    case 'action':
      return { run: (context) => context.action.uid }
    case 'resource':
      return { run: (context) => context.resource.uid }
    case 'context':
      return { run: (context) => context.context }
    default:
      throw place.refuse('not a variable')
  }
}

function unary(make: (arg: op.Run) => op.Run): Form {
  return (body, place) => {
    const { arg } = members(body, ['arg'], place)
    return { run: make(compileExpression(arg, place).run) }
  }
}

function binary(make: (left: op.Run, right: op.Run) => op.Run): Form {
  return (body, place) => {
    const { left, right } = operands(body, place)
    return { run: make(left.run, right.run) }
  }
}

function operands(body: unknown, place: Place): { left: Code; right: Code } {
  const { left, right } = members(body, ['left', 'right'], place)
  return {
    left: compileExpression(left, place.at('left')),
    right: compileExpression(right, place.at('right')),
  }
}

/** The operands of a run of one operator. A long chain leans left; flattened, it runs in a loop. */
function chain(name: '&&' | '||', body: unknown, place: Place): Code[] {
  const terms: Code[] = []
  let rest = body
  let here = place
  for (;;) {
    const { left, right } = members(rest, ['left', 'right'], here)
    terms.push(compileExpression(right, here.at('right')))
    const inner = readObject(left, here)
    here = here.at('left')
    if (inner[name] === undefined || Object.keys(inner).length !== 1) {
      terms.push(compileExpression(left, here))
      return terms.reverse()
    }
    rest = inner[name]
    here = here.at(name)
  }
}

function equality(body: unknown, place: Place, wanted: boolean): Code {
  const { left, right } = operands(body, place)
  if (right.constant !== undefined) {
    return { run: op.equalsConstant(left.run, right.constant, wanted) }
  }
  if (left.constant !== undefined) {
    return { run: op.equalsConstant(right.run, left.constant, wanted) }
  }
  return { run: op.equal(left.run, right.run, wanted) }
}

function membership(body: unknown, place: Place): Code {
  const { left, right } = operands(body, place)
  return { run: op.within(left.run, right.run) }
}

function typeTest(body: unknown, place: Place): Code {
  const { left, entity_type, in: ancestor } = members(body, ['left', 'entity_type', 'in?'], place)
  const subject = compileExpression(left, place.at('left')).run
  const isType = op.isType(subject, readTypeName(entity_type, place))
  if (ancestor === undefined) return { run: isType }
  const isIn = op.within(subject, compileExpression(ancestor, place.at('in')).run)
  return { run: op.all([isType, isIn]) }
}

function attribute(body: unknown, place: Place): Code {
  const { left, attr } = members(body, ['left', 'attr'], place)
  const name = readString(attr, place)
  if (isContext(left)) return { run: op.contextAttribute(name) }
  return { run: op.attribute(compileExpression(left, place.at('left')).run, name) }
}

function presence(body: unknown, place: Place): Code {
  const { left, attr } = members(body, ['left', 'attr'], place)
  const names = typeof attr === 'string' ? [attr] : readArray(attr, place)
  if (names.length === 0) throw place.refuse('`has` names no attribute')
  let subject = compileExpression(left, place.at('left')).run
  const tests: op.Run[] = []
  for (const name of names) {
    tests.push(op.has(subject, readString(name, place)))
    subject = op.attribute(subject, readString(name, place))
  }
  const [only] = tests
  return { run: tests.length === 1 && only !== undefined ? only : op.all(tests) }
}

function like(body: unknown, place: Place): Code {
  const { left, pattern } = members(body, ['left', 'pattern'], place)
  const segments = ['']
  for (const element of readArray(pattern, place)) {
    if (element === 'Wildcard') segments.push('')
    else {
      const { Literal } = members(element, ['Literal'], place)
      segments.push(`${segments.pop() ?? ''}${readString(Literal, place)}`)
    }
  }
  return { run: op.like(compileExpression(left, place.at('left')).run, likeMatcher(segments)) }
}

function conditional(body: unknown, place: Place): Code {
  const parts = members(body, ['if', 'then', 'else'], place)
  return {
    run: op.conditional(
      compileExpression(parts.if, place.at('if')).run,
      compileExpression(parts.then, place.at('then')).run,
      compileExpression(parts.else, place.at('else')).run,
    ),
  }
}

function setLiteral(body: unknown, place: Place): Code {
  const items = readArray(body, place).map((item) => compileExpression(item, place))
  const known = items.flatMap((item) => (item.constant === undefined ? [] : [item.constant]))
  if (known.length === items.length) return constant(new CedarSet(known))
  return { run: op.setOf(items.map((item) => item.run)) }
}

function recordLiteral(body: unknown, place: Place): Code {
  const fields = Object.entries(readObject(body, place)).map(
    ([name, value]) => [readString(name, place), compileExpression(value, place.at(name))] as const,
  )
  const known = fields.flatMap(([name, code]) =>
    code.constant === undefined ? [] : [[name, code.constant] as const],
  )
  if (known.length === fields.length) return constant(new Map(known))
  return { run: op.recordOf(fields.map(([name, code]) => [name, code.run])) }
}

function extensionCall(name: string, body: unknown, place: Place): Code {
  if (name === 'Slot') {
    throw place.refuse('templates are not supported', 'Write one policy for each case.')
  }
  const found = EXT_FUNCTIONS.get(name)
  if (found === undefined) throw place.refuse(`unknown operator or function "${name}"`)
  const args = readArray(body, place).map((arg) => compileExpression(arg, place))
  const [first, second] = args
  if (first === undefined || args.length !== found.arity) {
    throw place.refuse(`takes ${found.arity} argument${found.arity === 1 ? '' : 's'}`)
  }
  if (found.arity === 1) {
    if (first.constant !== undefined) return settled(found.call(first.constant))
    return { run: (context) => found.call(first.run(context)) }
  }
  if (second === undefined) throw place.refuse('takes 2 arguments')
  return { run: (context) => found.call(first.run(context), second.run(context)) }
}

/** A literal such as `ip("10.0.0.0/8")` is parsed once; if it is wrong it fails when reached. */
function settled(value: Value | CedarError): Code {
  return value instanceof CedarError ? { run: () => value } : constant(value)
}

function isContext(json: unknown): boolean {
  return typeof json === 'object' && json !== null && (json as Json)['Var'] === 'context'
}

type Members<N extends string> = { readonly [K in N as K extends `${infer B}?` ? B : K]: unknown }

/** The named members of an object that has no others; a trailing `?` marks an optional one. */
function members<const N extends string>(
  json: unknown,
  names: readonly N[],
  place: Place,
): Members<N> {
  const object = readObject(json, place)
  const allowed = names.map((name) => (name.endsWith('?') ? name.slice(0, -1) : name))
  for (const name of Object.keys(object)) {
    if (!allowed.includes(name)) throw place.refuse(`unknown member "${name}"`)
  }
  for (const name of names) {
    if (!name.endsWith('?') && object[name] === undefined) {
      throw place.refuse(`"${name}" is missing`)
    }
  }
  return object as Members<N> // checked above
}
