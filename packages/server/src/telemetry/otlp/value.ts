/** Attribute values, and their form as OTLP's `AnyValue`. */
import type { Message } from './schema.ts'

/** A number that is a measure, not a count: 1 stays a double, so that a receiver sees one type per name. */
export class Double {
  readonly value: number

  constructor(value: number) {
    this.value = value === 0 ? 0 : value // JSON has no negative zero
  }
}

export function measure(value: unknown): Double | undefined {
  return typeof value === 'number' && Number.isFinite(value) ? new Double(value) : undefined
}

export type Value = string | boolean | number | Double | readonly Value[] | ValueMap
/** Only on log records; on spans a structured value is JSON text. */
export interface ValueMap {
  readonly [name: string]: Value
}

export function anyValue(value: Value): Message {
  if (typeof value === 'string') return { stringValue: value.toWellFormed() }
  if (typeof value === 'boolean') return { boolValue: value }
  if (typeof value === 'number')
    return Number.isSafeInteger(value) ? { intValue: value } : { doubleValue: value }
  if (value instanceof Double) return { doubleValue: value.value }
  if (isList(value)) return { arrayValue: { values: value.map(anyValue) } }
  return { kvlistValue: { values: keyValues(Object.entries(value)) } }
}

export function keyValues(entries: Iterable<readonly [string, Value]>): Message[] {
  return [...entries].map(([key, value]) => ({ key, value: anyValue(value) }))
}

/** Bytes it takes, roughly: what bounds a record need not be exact. */
export function sizeOf(value: Value): number {
  if (typeof value === 'string') return Buffer.byteLength(value)
  if (typeof value !== 'object' || value instanceof Double) return 8
  if (isList(value)) return value.reduce<number>((sum, item) => sum + sizeOf(item), 8)
  return Object.entries(value).reduce((sum, [key, item]) => sum + key.length + sizeOf(item), 8)
}

function isList(value: Value): value is readonly Value[] {
  return Array.isArray(value)
}
