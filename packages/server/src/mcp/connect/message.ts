/**
 * Reads what a server sent. Listings of tools keep how their numbers were written, since their schemas are compared
 * by digest; everything else is plain JSON of bounded depth.
 */
import { isUtf8 } from 'node:buffer'
import type { JSONRPCMessage } from '@modelcontextprotocol/sdk/types.js'
import { readToolJson } from '../../json/number-tokens.ts'
import { countMembers, MAX_JSON_DEPTH } from '../../json/strict-json.ts'

export interface Understood {
  readonly kind: 'answer' | 'request' | 'notification'
  readonly message: JSONRPCMessage
}

/** Messages in one array, as the revision 2025-03-26 allowed it. */
const MAX_BATCH = 256
/** Of an id the server made up: ids of requests are kept until they are answered. */
const MAX_ID_CHARS = 256
const INVALID = -32_700

const QUOTE = 0x22
const BACKSLASH = 0x5c
const OPEN = new Set([0x5b, 0x7b])
const CLOSE = new Set([0x5d, 0x7d])

type Json = Readonly<Record<string, unknown>>

/** @returns undefined for what is no message. An answer that cannot be read becomes an error with its id. */
export function readMessages(bytes: Uint8Array): readonly Understood[] | undefined {
  if (!isUtf8(bytes)) return unreadable(bytes, 'Not UTF-8')
  try {
    // Before parsing: a megabyte of brackets would become a hundred of objects.
    countMembers(bytes, MAX_JSON_DEPTH)
  } catch {
    return unreadable(bytes, `Nested deeper than ${MAX_JSON_DEPTH}`)
  }
  let value: unknown
  try {
    value = JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8'))
  } catch {
    return undefined
  }
  if (listsTools(value)) {
    try {
      value = readToolJson(bytes)
    } catch (error) {
      return unreadable(bytes, error instanceof Error ? error.message : 'Not readable')
    }
  }
  if (!Array.isArray(value)) return understood([value])
  return value.length > 0 && value.length <= MAX_BATCH ? understood(value) : undefined
}

function understood(values: readonly unknown[]): Understood[] | undefined {
  const found = values.map(classify)
  return found.every((one) => one !== undefined) ? found : undefined
}

/** The library checks the rest of a message's form. */
function classify(value: unknown): Understood | undefined {
  if (!isObject(value) || value['jsonrpc'] !== '2.0') return undefined
  const message = value as unknown as JSONRPCMessage // told apart below, checked by the library
  const { id } = value
  const hasId = typeof id === 'number' || (typeof id === 'string' && id.length <= MAX_ID_CHARS)
  if (typeof value['method'] === 'string')
    return { kind: hasId ? 'request' : 'notification', message }
  const answers = isObject(value['result']) || isObject(value['error'])
  return hasId && answers ? { kind: 'answer', message } : undefined
}

function listsTools(value: unknown): boolean {
  if (Array.isArray(value)) return value.some(listsTools)
  return isObject(value) && isObject(value['result']) && Array.isArray(value['result']['tools'])
}

function unreadable(bytes: Uint8Array, reason: string): Understood[] | undefined {
  const id = idOf(bytes)
  if (id === undefined) return undefined
  const error = { code: INVALID, message: reason }
  return [{ kind: 'answer', message: { jsonrpc: '2.0', id, error } }]
}

/** The number at the member `id` of the outermost object: our ids are whole numbers. */
function idOf(bytes: Uint8Array): number | undefined {
  let depth = 0
  for (let at = 0; at < bytes.length; at += 1) {
    const byte = bytes[at] as number
    if (OPEN.has(byte)) depth += 1
    else if (CLOSE.has(byte)) depth -= 1
    else if (byte === QUOTE) {
      const end = endOfString(bytes, at + 1)
      if (depth === 1 && Buffer.from(bytes.subarray(at, end + 1)).equals(ID_KEY)) {
        const [, id] = /^"id"\s*:\s*(\d{1,15})\b/.exec(textAt(bytes, at)) ?? []
        if (id !== undefined) return Number(id)
      }
      at = end
    }
  }
  return undefined
}

const ID_KEY = Buffer.from('"id"')

function textAt(bytes: Uint8Array, at: number): string {
  return Buffer.from(bytes.subarray(at, at + 64)).toString('latin1')
}

function endOfString(bytes: Uint8Array, from: number): number {
  for (let at = from; at < bytes.length; at += 1) {
    if (bytes[at] === BACKSLASH) at += 1
    else if (bytes[at] === QUOTE) return at
  }
  return bytes.length
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
