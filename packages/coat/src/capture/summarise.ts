/** Mode `summary`: of what type and size a value is, and of what its parts are called. No content. */
import type { Json } from './capturer.ts'
import {
  bytesIn,
  classNameOf,
  dataMember,
  functionName,
  isObject,
  isProxy,
  keysOf,
  kindOf,
  ownMember,
  sizeOf,
} from './intrinsics.ts'
import type { KeyRule } from './sensitive-key.ts'
import type { CleanText } from './serialise.ts'

export interface SummaryOptions {
  readonly keyRule: KeyRule
  readonly clean: CleanText
}

const WIDTH = 32
/** Lines and character sets are looked for this far into a text. */
const LOOKED_AT = 65_536
const ROLES: ReadonlySet<string> = new Set(
  'system developer user assistant tool function model human ai'.split(' '),
)

/** Never throws. */
export function summarise(value: unknown, options: SummaryOptions): Json {
  try {
    return summary(value, options)
  } catch {
    return { type: 'object' }
  }
}

function summary(value: unknown, options: SummaryOptions): Json {
  switch (typeof value) {
    case 'string':
      return textSummary(value)
    case 'number':
      return numberSummary(value)
    case 'boolean':
      return value
    case 'object':
      return value === null ? null : objectSummary(value, options)
    case 'function':
      return isProxy(value)
        ? { type: 'proxy' }
        : { type: 'function', name: options.clean(functionName(value), false) }
    default:
      return { type: typeof value }
  }
}

function textSummary(text: string): Json {
  const piece = text.length > LOOKED_AT ? text.slice(0, LOOKED_AT) : text
  let lines = piece === '' ? 0 : 1
  for (let at = piece.indexOf('\n'); at >= 0; at = piece.indexOf('\n', at + 1)) lines += 1
  return {
    type: 'string',
    len: text.length,
    lines,
    charset: charsetOf(piece),
    // What was counted is the beginning only.
    ...(piece !== text && { partial: true }),
  }
}

const NOT_ASCII = /[\u0080-\uffff]/
const NOT_LATIN1 = /[\u0100-\uffff]/

function charsetOf(text: string): string {
  if (!NOT_ASCII.test(text)) return 'ascii'
  return NOT_LATIN1.test(text) ? 'unicode' : 'latin1'
}

function numberSummary(value: number): Json {
  if (!Number.isFinite(value)) return { type: 'number', int: false }
  return {
    type: 'number',
    int: Number.isInteger(value),
    magnitude: value === 0 ? 0 : Math.floor(Math.log10(Math.abs(value))),
  }
}

function objectSummary(value: object, options: SummaryOptions): Json {
  const kind = kindOf(value)
  switch (kind) {
    case 'array':
      return arraySummary(value as unknown[])
    case 'plain':
    case 'instance':
      return membersSummary(value, options)
    case 'map':
    case 'set':
      return { type: kind, size: sizeOf(value, kind) }
    case 'bytes':
      return { type: 'bytes', len: bytesIn(value) }
    case 'handle':
      return { type: options.clean(classNameOf(value), false) || 'object' }
    default:
      return { type: kind }
  }
}

function membersSummary(value: object, { keyRule, clean }: SummaryOptions): Json {
  const all = keysOf(value)
  if (all === undefined) return { type: 'object' }
  const keys: string[] = []
  const sizes: [string, number][] = []
  for (const key of all.slice(0, WIDTH)) {
    const name = clean(key.slice(0, 128), key.length > 128).toWellFormed()
    keys.push(name)
    // How long a secret is says something of it.
    const verdict = keyRule(key)
    if (verdict === 'secret' || verdict === 'counter') continue
    const member = ownMember(value, key)
    const size = typeof member === 'string' ? undefined : sizeIn(member.value)
    if (size !== undefined) sizes.push([name, size])
  }
  if (all.length > WIDTH) keys.push(`…+${all.length - WIDTH} keys`)
  return { type: 'object', keys, sizes: Object.fromEntries(sizes) }
}

function sizeIn(value: unknown): number | undefined {
  if (typeof value === 'string') return value.length
  if (!isObject(value) || typeof value === 'function') return undefined
  const kind = kindOf(value)
  switch (kind) {
    case 'array':
      return (value as unknown[]).length
    case 'plain':
    case 'instance':
      return keysOf(value)?.length
    case 'map':
    case 'set':
      return sizeOf(value, kind)
    case 'bytes':
      return bytesIn(value)
    default:
      return undefined
  }
}

function arraySummary(items: unknown[]): Json {
  const shown: unknown[] = []
  for (let at = 0; at < Math.min(items.length, WIDTH); at += 1) {
    const item = ownMember(items, String(at))
    shown.push(typeof item === 'string' ? undefined : item.value)
  }
  const messages = shown.map(messageSummary)
  if (messages.length > 0 && messages.every((message) => message !== undefined))
    return { type: 'array', len: items.length, messages }
  return { type: 'array', len: items.length, types: [...new Set(shown.map(typeName))] }
}

/** Of a message of a chat: who speaks, and how much. */
function messageSummary(item: unknown): Json | undefined {
  const role = dataMember(item, 'role')
  if (typeof role !== 'string') return undefined
  return { role: ROLES.has(role) ? role : 'other', len: contentLength(dataMember(item, 'content')) }
}

/** Blocks of one message that are looked at, those within others included: they may share their parts. */
const MOST_BLOCKS = 256

/** Characters of text in the content of a message, be it one text or a list of blocks. */
export function contentLength(content: unknown): number {
  let length = 0
  let looked = 0
  const lists = [content]
  for (let list = lists.pop(); list !== undefined; list = lists.pop()) {
    if (typeof list === 'string') length += list.length
    if (!Array.isArray(list) || isProxy(list)) continue
    for (let at = 0; at < list.length && looked < MOST_BLOCKS; at += 1) {
      looked += 1
      const block = ownMember(list, String(at))
      if (typeof block === 'string') continue
      if (typeof block.value === 'string') length += block.value.length
      else {
        const text = dataMember(block.value, 'text')
        if (typeof text === 'string') length += text.length
        else lists.push(dataMember(block.value, 'content') ?? '')
      }
    }
  }
  return length
}

function typeName(value: unknown): string {
  if (value === null) return 'null'
  if (typeof value !== 'object') return typeof value
  const kind = kindOf(value)
  return kind === 'plain' || kind === 'instance' ? 'object' : kind
}
