/**
 * One pass over the bytes of a JSON text, before any parser sees it: bounds its depth and its number
 * of members, and lifts secret string members out, so that their values never become JavaScript
 * strings. Grammar errors are left for the parser to name.
 */
import { unpooled } from '../../seal/secret.ts'

export const MAX_DEPTH = 32
export const MAX_MEMBERS = 10_000

const QUOTE = 0x22
const BACKSLASH = 0x5c
const COLON = 0x3a
const COMMA = 0x2c
const SPACE = 0x20

export type ScanFault = 'too deep' | 'too many members' | 'a secret member must be a plain string'

export interface Scan {
  fault?: ScanFault
  /** Raw string bytes of each secret member, in memory of their own. The caller wipes them. */
  lifted: Map<string, Uint8Array>
}

/**
 * @param bytes The JSON text. Lifted values are overwritten in place by an empty string and spaces.
 * @param secretMembers Names of members of `params` whose string values are lifted; escapes inside them are a fault, since
 *   unescaping would mean building a string.
 */
export function scanJson(bytes: Buffer, secretMembers?: ReadonlySet<string>): Scan {
  const lifted = new Map<string, Uint8Array>()
  let depth = 0
  let members = 0
  let lastString: { start: number; end: number } | undefined
  let pendingName: string | undefined
  let at = 0
  while (at < bytes.length) {
    const byte = bytes[at] as number
    if (byte === QUOTE) {
      const end = endOfString(bytes, at + 1)
      if (pendingName !== undefined) {
        const body = bytes.subarray(at + 1, end)
        if (body.includes(BACKSLASH))
          return { fault: 'a secret member must be a plain string', lifted }
        const copy = unpooled(body.length)
        copy.set(body)
        lifted.get(pendingName)?.fill(0)
        lifted.set(pendingName, copy)
        if (end < bytes.length) {
          bytes[at + 1] = QUOTE
          bytes.fill(SPACE, at + 2, end + 1)
        }
        pendingName = undefined
      } else {
        lastString = { start: at + 1, end }
      }
      at = end + 1
      continue
    }
    if (byte === COLON) {
      members += 1
      if (members > MAX_MEMBERS) return { fault: 'too many members', lifted }
      if (secretMembers !== undefined && lastString !== undefined) {
        const name = bytes.toString('latin1', lastString.start, lastString.end)
        if (depth === 2 && secretMembers.has(name)) pendingName = name
      }
    } else if (byte === COMMA) {
      members += 1
      if (members > MAX_MEMBERS * 2) return { fault: 'too many members', lifted }
    } else if (byte === 0x7b || byte === 0x5b) {
      depth += 1
      if (depth > MAX_DEPTH) return { fault: 'too deep', lifted }
      if (pendingName !== undefined)
        return { fault: 'a secret member must be a plain string', lifted }
    } else if (byte === 0x7d || byte === 0x5d) {
      depth -= 1
    } else if (pendingName !== undefined && byte > SPACE) {
      return { fault: 'a secret member must be a plain string', lifted }
    }
    at += 1
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
