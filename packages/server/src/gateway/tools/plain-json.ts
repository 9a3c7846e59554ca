/**
 * Copies data from outside into plain JSON of bounded size, so that what comes after may recurse, and may write
 * members by name without meeting a prototype.
 */
import type { Json, JsonObject } from './tool.ts'

export interface PlainLimits {
  /** Containers within containers. */
  readonly depth: number
  /** Values in all. */
  readonly values: number
  /** Members of one list. */
  readonly items: number
  /** What to do with members named `__proto__` and `constructor`. */
  readonly unsafe: 'drop' | 'refuse'
}

/** Says what is wrong without repeating any of the data. */
export class NotPlain extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'NotPlain'
  }
}

/** @throws NotPlain */
export function plainJson(value: unknown, limits: PlainLimits): Json {
  let left = limits.values
  const copy = (from: unknown, depth: number): Json => {
    left -= 1
    if (left < 0) throw new NotPlain(`must hold at most ${limits.values} values`)
    switch (typeof from) {
      case 'boolean':
        return from
      case 'string':
        return wellFormed(from)
      case 'number':
        if (Number.isFinite(from)) return from
        throw new NotPlain('must hold finite numbers only')
      case 'object':
        if (from === null) return null
        break
      default:
        throw new NotPlain('must be plain JSON')
    }
    if (depth >= limits.depth) throw new NotPlain(`must not nest deeper than ${limits.depth}`)
    if (Array.isArray(from)) {
      if (from.length <= limits.items) return Array.from(from, (item) => copy(item, depth + 1))
      throw new NotPlain(`must hold no list of more than ${limits.items} items`)
    }
    if (!isPlain(from)) throw new NotPlain('must be plain JSON')
    const to: JsonObject = {}
    for (const [name, member] of Object.entries(from)) {
      if (name !== '__proto__' && name !== 'constructor') {
        to[wellFormed(name)] = copy(member, depth + 1)
      } else if (limits.unsafe === 'refuse') {
        throw new NotPlain(`must have no member named ${name}`)
      }
    }
    return to
  }
  return copy(value, 0)
}

export function isJsonObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

/** Half a surrogate pair has no UTF-8 form: what was checked would not be what is sent. */
function wellFormed(text: string): string {
  if (text.isWellFormed()) return text
  throw new NotPlain('must hold well-formed text only')
}
