/**
 * The one reader of JSON bodies: what two parsers could read differently is refused. Reasons are short and say
 * nothing of the content, which may be a secret.
 */
import { isUtf8 } from 'node:buffer'
import { VestryError } from '@vestry/contract/errors'

/** Arrays and objects within each other. */
export const MAX_JSON_DEPTH = 64

/** They would reach prototypes in code that copies members by assignment. */
const FORBIDDEN_KEYS: ReadonlySet<string> = new Set(['__proto__', 'constructor', 'prototype'])
/** For readers that never copy members by assignment: schemas of tools name what code names. */
export const ONLY_PROTO: ReadonlySet<string> = new Set(['__proto__'])

/** What is wrong with a text, for who counts it. */
export type JsonProblem = 'utf8' | 'syntax' | 'depth' | 'key_twice' | 'key' | 'surrogate' | 'number'

export class JsonRefused extends VestryError {
  readonly problem: JsonProblem

  constructor(problem: JsonProblem, reason: string) {
    super('BAD_REQUEST', `The body ${reason}`)
    this.name = 'VestryError' // callers tell errors by their code
    this.problem = problem
  }
}

const QUOTE = 0x22
const COLON = 0x3a
const OPEN_ARRAY = 0x5b
const BACKSLASH = 0x5c
const CLOSE_ARRAY = 0x5d
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d

/**
 * @param forbidden Keys that are refused.
 * @param maxDepth Arrays and objects within each other.
 * @returns Plain objects, arrays, strings, finite numbers, booleans and null.
 * @throws JsonRefused for what is not UTF-8, not JSON, nested deeper than `maxDepth`, or
 *   holds a key twice, a key of prototypes, an unpaired surrogate or a number beyond the range of a double.
 */
export function readStrictJson(
  bytes: Uint8Array,
  forbidden: ReadonlySet<string> = FORBIDDEN_KEYS,
  maxDepth: number = MAX_JSON_DEPTH,
): unknown {
  if (!isUtf8(bytes)) throw new JsonRefused('utf8', 'is not valid UTF-8')
  // Before parsing: a megabyte of brackets would become a hundred of objects.
  const members = countMembers(bytes, maxDepth)
  const value = parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8'))
  // The parser keeps the last of equal keys, so a lost member is a key that came twice.
  if (check(value, forbidden) !== members) throw new JsonRefused('key_twice', 'holds a key twice')
  return value
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // Without its cause, which quotes the text.
    throw new JsonRefused('syntax', 'is not valid JSON')
  }
}

/** The colons outside of strings. For what turns out not to be JSON the number means nothing. @throws JsonRefused */
export function countMembers(bytes: Uint8Array, maxDepth: number): number {
  const { length } = bytes
  let depth = 0
  let members = 0
  for (let at = 0; at < length; at += 1) {
    switch (bytes[at]) {
      case QUOTE:
        at = endOfString(bytes, at + 1)
        break
      case COLON:
        members += 1
        break
      case OPEN_ARRAY:
      case OPEN_OBJECT:
        depth += 1
        if (depth > maxDepth)
          throw new JsonRefused('depth', `is nested deeper than ${maxDepth} levels`)
        break
      case CLOSE_ARRAY:
      case CLOSE_OBJECT:
        depth -= 1
        break
    }
  }
  return members
}

/** Where the closing quote is, or the end of the data. */
function endOfString(bytes: Uint8Array, from: number): number {
  const { length } = bytes
  let at = from
  while (at < length) {
    const byte = bytes[at]
    if (byte === QUOTE) return at
    at += byte === BACKSLASH ? 2 : 1
  }
  return at
}

/** @returns The number of members in all objects. */
function check(value: unknown, forbidden: ReadonlySet<string>): number {
  if (typeof value === 'string') checkText(value)
  else if (typeof value === 'number') {
    if (!Number.isFinite(value))
      throw new JsonRefused('number', 'holds a number that is out of range')
  } else if (Array.isArray(value)) {
    let members = 0
    for (const item of value) members += check(item, forbidden)
    return members
  } else if (typeof value === 'object' && value !== null) {
    return checkMembers(value, forbidden)
  }
  return 0
}

function checkMembers(object: object, forbidden: ReadonlySet<string>): number {
  const record = object as Readonly<Record<string, unknown>>
  const keys = Object.keys(record)
  let members = keys.length
  for (const key of keys) {
    if (forbidden.has(key)) throw new JsonRefused('key', 'holds a key that is not allowed')
    checkText(key)
    members += check(record[key], forbidden)
  }
  return members
}

/** The bytes are UTF-8, so only an escape can have put half a pair there. @throws JsonRefused */
export function checkText(text: string): void {
  if (!text.isWellFormed()) throw new JsonRefused('surrogate', 'holds an unpaired surrogate')
}
