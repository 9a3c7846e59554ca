/**
 * What may be bound to a statement, on both engines alike. Drivers accept more and store it wrongly:
 * node:sqlite takes a leading object or Date for named parameters and shifts the rest, binds NaN as NULL and
 * cuts text at a NUL when it is read back; postgres prints objects as `[object Object]`.
 */

export type Parameter = string | number | null | Uint8Array

/** The same list, typed. @throws TypeError for a value that one of the engines would store wrongly. */
export function checkParameters(values: readonly unknown[]): readonly Parameter[] {
  for (const [index, value] of values.entries()) {
    if (isParameter(value)) continue
    throw new TypeError(
      `Parameter ${index + 1} is ${describe(value)}; bind text without NUL, finite numbers, bytes or null`,
    )
  }
  return values as readonly Parameter[] // each one was checked above
}

function isParameter(value: unknown): value is Parameter {
  switch (typeof value) {
    case 'string':
      return !value.includes('\0')
    case 'number':
      return Number.isFinite(value)
    case 'object':
      return value === null || value instanceof Uint8Array
    default:
      return false
  }
}

/** The kind of the value, never the value: it may be a secret. */
function describe(value: unknown): string {
  if (typeof value === 'string') return 'text with a NUL character'
  if (typeof value === 'number') return 'a number that is not finite'
  if (typeof value !== 'object' || value === null) return `of type ${typeof value}`
  return `an object (${value.constructor?.name ?? 'no prototype'})`
}
