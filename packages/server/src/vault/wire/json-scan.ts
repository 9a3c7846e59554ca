/**
 * One pass over the bytes of a JSON text, before any parser sees it: bounds its depth and its number
 * of members, and lifts secret members of `params` out, so that their values never become JavaScript
 * strings. Grammar errors are left for the parser to name.
 */
import { unpooled } from '../../seal/secret.ts'

export const MAX_DEPTH = 32
/** Object members and array elements of the whole message, together. */
export const MAX_MEMBERS = 10_000

const QUOTE = 0x22
const COMMA = 0x2c
const COLON = 0x3a
const OPEN_LIST = 0x5b
const BACKSLASH = 0x5c
const CLOSE_LIST = 0x5d
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d
const SPACE = 0x20

const NOT_PLAIN = 'a secret member must be a string without escapes'

export type ScanFault = 'it is nested too deeply' | 'it has too many members' | typeof NOT_PLAIN

export interface Scan {
  fault?: ScanFault
  /** Raw string bytes of each secret member, in memory of their own. The caller wipes them. */
  lifted: Map<string, Uint8Array>
}

/**
 * @param bytes The JSON text. Lifted values are overwritten in place by an empty string and spaces.
 * @param secretMembers Names of members of `params` whose string values are lifted. A name counts
 *   however it is spelt; as for every parser after us, the last of equal names wins. `null` means
 *   absent; anything else but a string is a fault, and so are escapes inside it, since unescaping
 *   would mean building a string.
 */
export function scanJson(bytes: Buffer, secretMembers?: ReadonlySet<string>): Scan {
  const lifted = new Map<string, Uint8Array>()
  let depth = 0
  let members = 0
  /** Just inside a container: whatever comes next, unless it closes it, is its first member. */
  let first = false
  let inParams = false
  let lastStart = 0
  let lastEnd = 0
  /** Set between the colon of a secret member and its value. */
  let secret: string | undefined

  for (let at = 0; at < bytes.length; at += 1) {
    const byte = bytes[at] as number
    if (byte <= SPACE) continue
    if (first && byte !== CLOSE_LIST && byte !== CLOSE_OBJECT) members += 1
    first = false
    if (byte === QUOTE) {
      const end = endOfString(bytes, at + 1)
      if (secret === undefined) {
        lastStart = at + 1
        lastEnd = end
      } else {
        const value = copyPlain(bytes, at + 1, end)
        if (value === undefined) return { fault: NOT_PLAIN, lifted }
        lifted.set(secret, value)
        secret = undefined
        bytes[at + 1] = QUOTE
        bytes.fill(SPACE, at + 2, end + 1)
      }
      at = end
      continue
    }
    if (secret !== undefined) {
      if (bytes.toString('latin1', at, at + 4) !== 'null') return { fault: NOT_PLAIN, lifted }
      secret = undefined
    }
    switch (byte) {
      case OPEN_OBJECT:
      case OPEN_LIST:
        depth += 1
        first = true
        if (depth > MAX_DEPTH) return { fault: 'it is nested too deeply', lifted }
        break
      case CLOSE_OBJECT:
      case CLOSE_LIST:
        depth -= 1
        break
      case COMMA:
        members += 1
        break
      case COLON:
        if (secretMembers === undefined) break
        if (depth === 1) {
          inParams = nameAt(bytes, lastStart, lastEnd) === 'params'
          if (inParams) for (const name of lifted.keys()) forget(lifted, name)
        } else if (depth === 2 && inParams) {
          const name = nameAt(bytes, lastStart, lastEnd)
          if (name === undefined || !secretMembers.has(name)) break
          forget(lifted, name)
          secret = name
        }
    }
    if (members > MAX_MEMBERS) return { fault: 'it has too many members', lifted }
  }
  return { lifted }
}

/** Index of the closing quote, or the end of the text when there is none. */
function endOfString(bytes: Buffer, from: number): number {
  let at = from
  while (at < bytes.length) {
    const byte = bytes[at] as number
    if (byte === QUOTE) return at
    at += byte === BACKSLASH ? 2 : 1
  }
  return bytes.length
}

/** A copy of a string's bytes; undefined when they are not literally the value, or never end. */
function copyPlain(bytes: Buffer, start: number, end: number): Uint8Array | undefined {
  if (end >= bytes.length) return undefined
  for (let at = start; at < end; at += 1) {
    const byte = bytes[at] as number
    if (byte === BACKSLASH || byte < SPACE) return undefined
  }
  const copy = unpooled(end - start)
  copy.set(bytes.subarray(start, end))
  return copy
}

/** A member's name as a parser would read it; undefined when it would not. */
function nameAt(bytes: Buffer, start: number, end: number): string | undefined {
  const raw = bytes.toString('utf8', start, end)
  if (!raw.includes('\\')) return raw
  try {
    return JSON.parse(`"${raw}"`) as string
  } catch {
    return undefined
  }
}

function forget(lifted: Map<string, Uint8Array>, name: string): void {
  lifted.get(name)?.fill(0)
  lifted.delete(name)
}
