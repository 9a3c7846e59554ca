/** Built-in functions that only compute. They see values, and no more of the process than that. */
import { hash } from 'node:crypto'
import { VestryError } from '@vestry/contract/errors'
import { readStrictJson } from '../../json/strict-json.ts'
import { Tagged, type Value } from '../host.ts'
import { fault } from './fault.ts'
import { splitAt } from './find-text.ts'
import { listSize, type Machine, textSize } from './machine.ts'
import { isIn } from './operators.ts'
import { jsonText, kept, plainText } from './text.ts'
import {
  adopt,
  COPY_STEP,
  isList,
  isRecord,
  kindOf,
  SEARCH_STEP,
  sortedKeys,
  TEXT_STEP,
} from './values.ts'

/** What a built-in function is called with. */
export interface Given {
  readonly machine: Machine
  readonly name: string
  readonly args: readonly Value[]
  readonly line: number
}

interface Builtin {
  /** How many arguments it takes. */
  readonly takes: readonly [least: number, most: number]
  readonly does: (given: Given) => Value
}

/** Characters of JSON that are read in one step. */
const JSON_STEP = 8

/** A Map and no object: `constructor` is no function of the language. */
export const BUILTINS: ReadonlyMap<string, Builtin> = new Map<string, Builtin>([
  ['Ok', { takes: [0, 1], does: ({ args }) => new Tagged('Ok', args) }],
  ['Error', { takes: [0, 1], does: ({ args }) => new Tagged('Error', args) }],
  ['Some', { takes: [1, 1], does: ({ args }) => new Tagged('Some', args) }],
  ['None', { takes: [0, 0], does: () => null }],
  ['error', { takes: [1, 1], does: raise }],
  ['hash', { takes: [1, 1], does: (given) => hash('sha256', plain(given)) }],
  ['json_parse', { takes: [1, 1], does: parseJson }],
  ['json_stringify', { takes: [1, 1], does: stringify }],
  ['len', { takes: [1, 1], does: length }],
  ['upper', { takes: [1, 1], does: (given) => changed(given, (text) => text.toUpperCase()) }],
  ['lower', { takes: [1, 1], does: (given) => changed(given, (text) => text.toLowerCase()) }],
  ['format', { takes: [1, 64], does: format }],
  ['contains', { takes: [2, 2], does: contains }],
  ['starts_with', { takes: [2, 2], does: (given) => text(given, 0).startsWith(text(given, 1)) }],
  ['ends_with', { takes: [2, 2], does: (given) => text(given, 0).endsWith(text(given, 1)) }],
  ['split', { takes: [2, 2], does: split }],
  ['join', { takes: [1, 2], does: join }],
  ['keys', { takes: [1, 1], does: keys }],
  ['values', { takes: [1, 1], does: values }],
  ['push', { takes: [2, 2], does: push }],
])

/** @throws VestryError DSL_RUNTIME_ERROR, DSL_LIMIT */
export function callBuiltin(builtin: Builtin, given: Given): Value {
  checkCount(given, builtin.takes)
  return builtin.does(given)
}

export function checkCount(
  { name, args, line }: Pick<Given, 'name' | 'args' | 'line'>,
  [least, most]: readonly [number, number],
): void {
  if (args.length >= least && args.length <= most) return
  const wanted = least === most ? `${least}` : `${least} to ${most}`
  throw fault(line, `${name} takes ${wanted} arguments, not ${args.length}`)
}

function raise(given: Given): never {
  const message = text(given, 0)
  throw new VestryError('DSL_RUNTIME_ERROR', message, { context: { line: given.line } })
}

function parseJson(given: Given): Value {
  const { machine, line } = given
  const source = text(given, 0)
  machine.reserve(2 * textSize(source.length), line)
  machine.work(source.length / JSON_STEP, line)
  try {
    return adopt(machine, readStrictJson(Buffer.from(source), new Set()), line)
  } catch (error) {
    if (!(error instanceof VestryError) || error.code !== 'BAD_REQUEST') throw error
    throw fault(line, 'json_parse was given what is not valid JSON')
  }
}

function stringify({ machine, args: [value = null], line }: Given): Value {
  return jsonText(machine, value, line)
}

/** Characters of a text, members of a list or record. */
function length(given: Given): Value {
  const { args, line, machine } = given
  const [value = null] = args
  if (typeof value === 'string') {
    machine.work(value.length / SEARCH_STEP, line)
    let characters = 0
    for (const _ of value) characters += 1
    return characters
  }
  if (isList(value)) return value.length
  if (isRecord(value)) return Object.keys(value).length
  throw fault(line, `len takes a text, a list or a record, not a ${kindOf(value)}`)
}

function changed(given: Given, change: (text: string) => string): Value {
  const { machine, line } = given
  const source = text(given, 0)
  // A character can become three.
  machine.reserve(textSize(3 * source.length), line)
  return kept(machine, change(source), line)
}

/** Each `{}` is the next argument. */
function format(given: Given): Value {
  const { machine, args, line } = given
  const pieces = text(given, 0).split('{}')
  if (pieces.length !== args.length) {
    const wanted = pieces.length - 1
    throw fault(line, `format has ${wanted} places {} and was given ${args.length - 1} values`)
  }
  const parts = pieces.map((piece, i) => {
    const value = args[i + 1]
    return value === undefined ? piece : piece + plainText(machine, value, line)
  })
  return joined(given, parts, '')
}

function contains({ machine, args: [whole = null, item = null], line }: Given): Value {
  return isIn(machine, item, whole, line)
}

function split(given: Given): Value {
  const { machine, line } = given
  const [whole, separator] = [text(given, 0), text(given, 1)]
  if (separator === '') throw fault(line, 'split needs something to split at')
  // Each character could be a part of its own.
  machine.reserve(textSize(whole.length), line)
  machine.work((whole.length + separator.length) / SEARCH_STEP, line)
  const parts = splitAt(whole, separator)
  machine.reserve(listSize(parts.length) + 24 * parts.length, line)
  machine.work(parts.length, line)
  return parts
}

function join(given: Given): Value {
  const { machine, line } = given
  const separator = given.args.length > 1 ? text(given, 1) : ''
  const members = list(given, 0)
  return joined(
    given,
    members.map((member) => plainText(machine, member, line)),
    separator,
  )
}

function joined({ machine, line }: Given, parts: readonly string[], separator: string): string {
  const total = parts.reduce((sum, part) => sum + part.length + separator.length, 0)
  machine.work(parts.length + total / TEXT_STEP, line)
  machine.reserve(textSize(total), line)
  return parts.join(separator)
}

function keys(given: Given): Value {
  const { machine, line } = given
  const names = sortedKeys(record(given, 0))
  machine.work(names.length, line)
  machine.reserve(listSize(names.length), line)
  return names
}

function values(given: Given): Value {
  const { machine, line } = given
  const whole = record(given, 0)
  const names = sortedKeys(whole)
  machine.work(names.length, line)
  machine.reserve(listSize(names.length), line)
  return names.map((name) => whole[name] ?? null)
}

/** A longer list; the one that was given stays what it was. */
function push(given: Given): Value {
  const { machine, args, line } = given
  const members = list(given, 0)
  machine.reserve(listSize(members.length + 1), line)
  machine.work(members.length / COPY_STEP, line)
  return [...members, args[1] ?? null]
}

function plain({ machine, args: [value = null], line }: Given): string {
  const text = plainText(machine, value, line)
  machine.work(text.length / TEXT_STEP, line)
  return text
}

function text({ machine, name, args, line }: Given, index: number): string {
  const value = args[index] ?? null
  if (typeof value !== 'string') throw fault(line, `${name} takes a text, not a ${kindOf(value)}`)
  machine.work(value.length / TEXT_STEP, line)
  return value
}

function list({ name, args, line }: Given, index: number): readonly Value[] {
  const value = args[index] ?? null
  if (!isList(value)) throw fault(line, `${name} takes a list, not a ${kindOf(value)}`)
  return value
}

function record({ name, args, line }: Given, index: number): Readonly<Record<string, Value>> {
  const value = args[index] ?? null
  if (!isRecord(value)) throw fault(line, `${name} takes a record, not a ${kindOf(value)}`)
  return value
}
