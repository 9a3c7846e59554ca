/** The body of an agent, part by part. */
import type {
  AgentItem,
  AgentPart,
  BehaviorItem,
  FunctionItem,
  Param,
  PolicyItem,
  Rule,
} from '../ast.ts'
import { T } from '../token.ts'
import { type Cursor, PARSE_FAILURE } from './cursor.ts'
import { array, expression } from './expression.ts'
import { type PropertyForm, property, propertyBlock } from './property.ts'
import { newlineBlock, params, strictBlock, type } from './statement.ts'

const PART_WORDS = [
  'action',
  'behavior',
  'capabilities',
  'function',
  'policies',
  'policy',
  'resources',
  'security',
  'trigger',
  'with',
]
const ATTRIBUTE: PropertyForm = { what: 'the agent', separator: 'required', values: 'any' }

export function agent(p: Cursor, from: number): AgentItem {
  const name = p.name('the name of the agent')
  if (p.kind === T.minus) p.fail('a name has no hyphens', 'Use an underscore instead.')
  const parameters = p.take(T.parenOpen) ? params(p, T.parenClose, '")"') : []
  const returns = p.take(T.arrow) ? type(p) : undefined
  const opened = p.start
  p.expect(T.braceOpen, '"{"', 'before the body of the agent')
  const depth = p.enter()
  const body: AgentPart[] = []
  while (p.kind !== T.braceClose && p.kind !== T.end && !startsAgent(p)) {
    const start = p.index
    try {
      body.push(part(p))
    } catch (thrown) {
      if (thrown !== PARSE_FAILURE) throw thrown
      p.leave(depth + 1)
      p.inHead = false
      p.newlineMode = false
      p.recover(start)
    }
  }
  p.leave(depth)
  if (startsAgent(p)) {
    p.error('E_SYNTAX', 'the agent before this one is not closed', { hint: 'Add "}" before it.' })
  } else p.close('agent body', opened)
  return { kind: 'agent', name, params: parameters, returns, body, span: p.span(from) }
}

/** `agent b {` in the first column, where a part of the agent before was expected. */
function startsAgent(p: Cursor): boolean {
  return p.is('agent') && p.peek(1) === T.name && p.startsItem()
}

function part(p: Cursor): AgentPart {
  const from = p.start
  const next = p.peek(1)
  const isNamed = next === T.name
  const word = p.kind === T.name ? p.word() : ''
  if (word === 'capabilities' && (next === T.equals || next === T.colon)) return capabilities(p)
  if (next !== T.equals && next !== T.colon) {
    if (word === 'trigger' && isNamed) return trigger(p)
    if (word === 'action' && isNamed) return action(p)
    if (word === 'policy' && isNamed) return advanced(p, from, policy)
    if (word === 'function' && isNamed) return advanced(p, from, functionItem)
    if (word === 'behavior' && isNamed) return advanced(p, from, behavior)
    if (word === 'with') return withPart(p)
    if (word === 'resources' || word === 'security' || word === 'policies') {
      p.advance()
      p.dialects.add('Q')
      const form: PropertyForm = { what: `"${word}"`, separator: 'colon', values: 'list' }
      return { kind: word, properties: propertyBlock(p, form), span: p.span(from) }
    }
    if (word !== '') misplaced(p, word)
  }
  if (p.kind !== T.name) p.fail('expected an attribute or a part of the agent')
  const found = property(p, ATTRIBUTE)
  return { kind: 'attribute', property: found, span: found.span }
}

function advanced<Item>(p: Cursor, from: number, read: (p: Cursor, from: number) => Item): Item {
  p.advance()
  return read(p, from)
}

function misplaced(p: Cursor, word: string): void {
  if (['schedule', 'channel', 'memory', 'webhook', 'metadata', 'type', 'struct'].includes(word)) {
    p.fail('expected a part of the agent', `Write "${word}" outside the agent.`)
  }
  const hint = p.meant(word, PART_WORDS)
  if (hint !== undefined) p.fail('expected ":" or "=", or a part of the agent', hint)
}

function capabilities(p: Cursor): AgentPart {
  const from = p.start
  p.advance()
  const separator = p.kind === T.equals ? '=' : ':'
  p.advance()
  p.dialects.add('R')
  const value = array(p)
  const span = p.span(from)
  p.take(T.comma)
  return { kind: 'capabilities', separator, value, span }
}

function trigger(p: Cursor): AgentPart {
  const from = p.start
  p.advance()
  p.dialects.add('S')
  const name = p.name('the name of the trigger')
  const form: PropertyForm = { what: 'trigger', separator: 'required', values: 'any' }
  return { kind: 'trigger', name, properties: propertyBlock(p, form), span: p.span(from) }
}

function action(p: Cursor): AgentPart {
  const from = p.start
  p.advance()
  p.dialects.add('S')
  const name = p.name('the name of the action')
  const parameters = p.take(T.parenOpen) ? params(p, T.parenClose, '")"') : []
  const returns = p.take(T.arrow) ? type(p) : undefined
  const block = newlineBlock(p, 'action body')
  return { kind: 'action', name, params: parameters, returns, block, span: p.span(from) }
}

function withPart(p: Cursor): AgentPart {
  const from = p.start
  p.advance()
  p.dialects.add('R')
  const properties = []
  const form: PropertyForm = { what: '"with"', separator: 'required', values: 'list' }
  while (p.kind === T.name) properties.push(property(p, form))
  const block = strictBlock(p, 'body of "with"')
  return { kind: 'with', properties, block, span: p.span(from) }
}

/** After the word `policy`. */
export function policy(p: Cursor, from: number): PolicyItem {
  p.dialects.add('R')
  const name = p.name('the name of the policy')
  if (p.is('with')) p.fail('expected "{"', 'Policies in a file carry no signature.')
  const opened = p.start
  p.expect(T.braceOpen, '"{"', 'before the rules of the policy')
  const depth = p.enter()
  const rules: Rule[] = []
  while (p.kind !== T.braceClose && p.kind !== T.end) {
    const start = p.index
    try {
      rules.push(rule(p))
    } catch (thrown) {
      if (thrown !== PARSE_FAILURE) throw thrown
      p.leave(depth + 1)
      p.recover(start)
    }
  }
  p.leave(depth)
  p.close('policy body', opened)
  return { kind: 'policy', name, rules, span: p.span(from) }
}

const EFFECTS = ['allow', 'deny', 'require', 'audit'] as const

function rule(p: Cursor): Rule {
  const from = p.start
  const word = p.kind === T.name ? p.word() : ''
  const effect = EFFECTS.find((known) => known === word)
  if (effect === undefined) {
    if (p.kind === T.comma || p.kind === T.semicolon) {
      p.fail('expected a rule', 'Rules end with their line; remove it.')
    }
    return p.fail('expected allow, deny, require or audit', p.meant(word, EFFECTS))
  }
  p.advance()
  p.expect(T.colon, '":"', `after "${effect}"`)
  const target = expression(p)
  const condition = p.takeWord('if') ? expression(p) : undefined
  return { effect, target, condition, span: p.span(from) }
}

/** After the word `function`. */
export function functionItem(p: Cursor, from: number): FunctionItem {
  const name = p.name('the name of the function')
  p.expect(T.parenOpen, '"("', 'after the name of the function')
  const parameters = params(p, T.parenClose, '")"')
  const returns = p.take(T.arrow) ? type(p) : undefined
  const block = strictBlock(p, 'function body')
  return { kind: 'function', name, params: parameters, returns, block, span: p.span(from) }
}

/** After the word `behavior`. */
export function behavior(p: Cursor, from: number): BehaviorItem {
  p.dialects.add('Q')
  const name = p.name('the name of the behavior')
  const opened = p.start
  p.expect(T.braceOpen, '"{"', 'before the body of the behavior')
  const depth = p.enter()
  let input: readonly Param[] = []
  let output: readonly Param[] = []
  let steps: BehaviorItem['steps'] | undefined
  while (p.kind !== T.braceClose && p.kind !== T.end) {
    const start = p.index
    try {
      const word = p.kind === T.name ? p.word() : ''
      const isAgain =
        (word === 'input' && input.length > 0) || (word === 'output' && output.length > 0)
      if (isAgain || (word === 'steps' && steps !== undefined)) {
        p.error('E_DUPLICATE', `"${word}" is written twice`, { hint: 'Put both into one.' })
      }
      if (word === 'input') input = fields(p)
      else if (word === 'output') output = fields(p)
      else if (word === 'steps') {
        p.advance()
        steps = newlineBlock(p, 'body of "steps"')
      } else p.fail('expected input, output or steps', p.meant(word, ['input', 'output', 'steps']))
    } catch (thrown) {
      if (thrown !== PARSE_FAILURE) throw thrown
      p.leave(depth + 1)
      p.recover(start)
    }
  }
  p.leave(depth)
  if (steps === undefined && p.kind !== T.end) {
    p.error('E_SYNTAX', `behavior "${name.text.slice(0, 40)}" has no steps`, {
      from: name.span.start.offset,
      to: name.span.end.offset,
      hint: 'Add steps { … }.',
    })
  }
  p.close('behavior body', opened)
  const span = p.span(from)
  return {
    kind: 'behavior',
    name,
    input,
    output,
    steps: steps ?? { statements: [], value: undefined, span },
    span,
  }
}

function fields(p: Cursor): readonly Param[] {
  p.advance()
  p.expect(T.braceOpen, '"{"', 'before the fields')
  return params(p, T.braceClose, '"}"')
}
