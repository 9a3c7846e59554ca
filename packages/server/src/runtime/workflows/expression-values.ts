/** Values within expressions, and what can be done with them. */
import { VestryError } from '@vestry/contract/errors'
import { SecretRef } from '../../dsl/host.ts'

/** A text of which one part is a secret: it is put together where it is sent. */
export class SecretText {
  readonly before: string
  readonly secret: SecretRef
  constructor(before: string, secret: SecretRef) {
    this.before = before
    this.secret = secret
  }
  toJSON(): string {
    return '[secret]'
  }
}

export function textOf(value: unknown): string {
  if (typeof value === 'string') return value
  if (value instanceof SecretRef || value instanceof SecretText)
    throw wrong('a secret can only be sent, not written down')
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}

export function read(object: unknown, name: unknown): unknown {
  if (isSecret(object)) throw wrong('nothing can be read of a secret')
  if (Array.isArray(object) || typeof object === 'string') {
    if (typeof name !== 'number' || !Number.isSafeInteger(name))
      throw wrong(`${kindOf(object)} is read by a whole number`)
    const found: unknown = object[name]
    if (found === undefined) throw wrong(`there is nothing at position ${name}`)
    return found
  }
  if (isRecord(object) && typeof name === 'string') {
    if (Object.hasOwn(object, name)) return object[name]
    throw wrong(`there is no member "${name.slice(0, 64)}"`)
  }
  throw wrong(`${kindOf(object)} has no members`)
}

export function compared(operator: '<' | '>' | '<=' | '>=', a: unknown, b: unknown): boolean {
  const order =
    typeof a === 'string' && typeof b === 'string'
      ? Number(a > b) - Number(a < b)
      : number(a) - number(b)
  if (operator === '<') return order < 0
  if (operator === '>') return order > 0
  return operator === '<=' ? order <= 0 : order >= 0
}

export function computed(operator: string, a: number, b: number): number {
  if (operator === '-') return finite(a - b)
  if (operator === '*') return finite(a * b)
  if (b === 0) throw wrong('division by zero')
  return finite(operator === '/' ? a / b : a % b)
}

export function finite(value: number): number {
  if (Number.isFinite(value)) return value
  throw wrong('the number is too large')
}

export function truth(value: unknown): boolean {
  if (typeof value === 'boolean') return value
  throw wrong(`${kindOf(value)} is neither true nor false`)
}

export function number(value: unknown): number {
  if (typeof value === 'number') return value
  throw wrong(`${kindOf(value)} is not a number`)
}

export function text(value: unknown): string {
  if (typeof value === 'string') return value
  throw wrong(`${kindOf(value)} is not a text`)
}

export function array(value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value
  throw wrong(`${kindOf(value)} is not a list`)
}

export function record(value: unknown): Readonly<Record<string, unknown>> {
  if (isRecord(value)) return value
  throw wrong(`${kindOf(value)} is not a record`)
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !isSecret(value)
}

export function isSecret(value: unknown): value is SecretRef | SecretText {
  return value instanceof SecretRef || value instanceof SecretText
}

export function kindOf(value: unknown): string {
  if (value === null || value === undefined) return 'null'
  if (isSecret(value)) return 'a secret'
  if (Array.isArray(value)) return 'a list'
  return typeof value === 'object' ? 'a record' : `a ${typeof value}`
}

export function wrong(why: string): VestryError {
  return new VestryError('INVALID_PARAMS', why)
}
