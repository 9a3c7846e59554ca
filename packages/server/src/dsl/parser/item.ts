/** What stands outside every brace: the items of a file. */
import type { Item, MemoryItem, PolicyItem, Property, TypeItem, WebhookItem } from '../ast.ts'
import { T } from '../token.ts'
import { agent, behavior, functionItem, policy } from './agent.ts'
import { type Cursor, PARSE_FAILURE } from './cursor.ts'
import { type PropertyForm, propertyBlock } from './property.ts'
import { params, type } from './statement.ts'

const READERS: Readonly<Record<string, (p: Cursor, from: number) => Item>> = {
  agent,
  behavior,
  channel,
  function: functionItem,
  memory,
  metadata,
  policy,
  schedule,
  struct: (p, from) => fieldsOf(p, from, 'struct'),
  type: typedef,
  webhook,
}
const WORDS = Object.keys(READERS)

/** @param found Filled one by one: what was read stays when the rest is given up. */
export function items(p: Cursor, found: Item[]): void {
  while (p.kind !== T.end) {
    const start = p.index
    try {
      found.push(item(p))
    } catch (thrown) {
      if (thrown !== PARSE_FAILURE) throw thrown
      p.leave(0)
      p.inHead = false
      p.newlineMode = false
      p.recoverItem(start)
    }
  }
}

function item(p: Cursor): Item {
  const from = p.start
  p.deepest = 0
  const word = p.kind === T.name ? p.word() : ''
  const read = Object.hasOwn(READERS, word) ? READERS[word] : undefined
  if (read === undefined) {
    if (p.kind === T.braceClose) p.fail('there is nothing to close', 'Remove the "}".')
    return p.fail(`expected ${WORDS.slice(0, -1).join(', ')} or ${WORDS.at(-1)}`, hintFor(p, word))
  }
  p.advance()
  return read(p, from)
}

function hintFor(p: Cursor, word: string): string | undefined {
  if (word === 'import' || word === 'macro') return `There is no "${word}" in this language.`
  return p.meant(word, WORDS)
}

function metadata(p: Cursor, from: number): Item {
  p.dialects.add('R')
  const form: PropertyForm = { what: 'metadata', separator: 'required', values: 'any' }
  return { kind: 'metadata', properties: propertyBlock(p, form), span: p.span(from) }
}

function typedef(p: Cursor, from: number): TypeItem {
  p.dialects.add('R')
  const name = p.name('the name of the type')
  p.expect(T.equals, '"="', 'after the name of the type')
  if (p.take(T.braceOpen)) {
    const fields = params(p, T.braceClose, '"}"')
    return { kind: 'type', name, alias: undefined, fields, span: p.span(from) }
  }
  return { kind: 'type', name, alias: type(p), fields: [], span: p.span(from) }
}

function fieldsOf(p: Cursor, from: number, kind: 'struct'): TypeItem {
  p.dialects.add('Q')
  const name = p.name('the name of the struct')
  p.expect(T.braceOpen, '"{"', 'before the fields')
  const fields = params(p, T.braceClose, '"}"')
  return { kind, name, alias: undefined, fields, span: p.span(from) }
}

function schedule(p: Cursor, from: number): Item {
  p.dialects.add('R')
  const name = p.name('the name of the schedule')
  const form: PropertyForm = { what: 'schedule', separator: 'required', values: 'plain' }
  return { kind: 'schedule', name, properties: propertyBlock(p, form), span: p.span(from) }
}

function channel(p: Cursor, from: number): Item {
  p.dialects.add('R')
  const name = p.name('the name of the channel')
  const policies: PolicyItem[] = []
  const classification: Property[] = []
  const form: PropertyForm = { what: 'channel', separator: 'required', values: 'list' }
  const properties = propertyBlock(p, form, () => {
    const start = p.start
    if (p.is('policy') && p.peek(1) === T.name) {
      p.advance()
      policies.push(policy(p, start))
      return true
    }
    return nestedProperties(p, 'data_classification', 'colon', classification)
  })
  return { kind: 'channel', name, properties, policies, classification, span: p.span(from) }
}

function memory(p: Cursor, from: number): MemoryItem {
  p.dialects.add('R')
  const name = p.name('the name of the memory')
  const search: Property[] = []
  const form: PropertyForm = { what: 'memory', separator: 'optional', values: 'plain' }
  const properties = propertyBlock(p, form, () => nestedProperties(p, 'search', 'optional', search))
  return { kind: 'memory', name, properties, search, span: p.span(from) }
}

function webhook(p: Cursor, from: number): WebhookItem {
  p.dialects.add('R')
  const name = p.name('the name of the webhook')
  const filter: Property[] = []
  const form: PropertyForm = { what: 'webhook', separator: 'optional', values: 'plain' }
  const properties = propertyBlock(p, form, () => nestedProperties(p, 'filter', 'optional', filter))
  return { kind: 'webhook', name, properties, filter, span: p.span(from) }
}

/** `search { … }` inside another block; two of them add up. */
function nestedProperties(
  p: Cursor,
  word: string,
  separator: PropertyForm['separator'],
  into: Property[],
): boolean {
  if (!(p.is(word) && p.peek(1) === T.braceOpen)) return false
  p.advance()
  into.push(...propertyBlock(p, { what: `"${word}"`, separator, values: 'plain' }))
  p.take(T.comma)
  return true
}
