/** Values of options: numbers, times, pairs. Each refuses with the option's name and what it expects. Pure. */
import { VestryError } from '@vestry/contract/errors'

const UNITS: Readonly<Record<string, number>> = {
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
}
const AGE = /^(\d{1,6})([smhdw])$/
/** A date, or a date and a time with its offset: without one the machine's zone would decide. */
const MOMENT =
  /^\d{4}-\d{2}-\d{2}(?:[Tt ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:[Zz]|[+-]\d{2}:\d{2}))?$/

export function integer(option: string, min: number, max: number): (text: string) => number {
  return (text) => {
    const value = /^-?\d{1,15}$/.test(text) ? Number(text) : Number.NaN
    if (value >= min && value <= max) return value
    throw wrong(option, `expects a whole number from ${min} to ${max}`)
  }
}

/** A moment as epoch milliseconds: RFC 3339, a date (UTC), or an age such as `15m`, `2h`, `7d`. */
export function moment(option: string, now: () => number = Date.now): (text: string) => number {
  return (text) => {
    const [, count, unit] = AGE.exec(text) ?? []
    if (count !== undefined && unit !== undefined) return now() - Number(count) * (UNITS[unit] ?? 0)
    return parseMoment(option, text, 'a time such as 2026-05-02T09:00:00Z, or an age such as 2h')
  }
}

/** A moment to come, as epoch milliseconds: RFC 3339 or a date (UTC). */
export function futureMoment(option: string): (text: string) => number {
  return (text) => parseMoment(option, text, 'a time such as 2027-01-31T00:00:00Z')
}

/** Seconds: a number, or a duration such as `10m`. */
export function seconds(option: string, max: number): (text: string) => number {
  return (text) => {
    const [, count, unit] = AGE.exec(text) ?? []
    const value =
      count !== undefined && unit !== undefined
        ? (Number(count) * (UNITS[unit] ?? 0)) / 1_000
        : /^\d{1,12}$/.test(text)
          ? Number(text)
          : Number.NaN
    if (value >= 0 && value <= max) return value
    throw wrong(option, `expects seconds, or a duration such as 10m, up to ${max} s`)
  }
}

/** Whole minutes: a duration such as `15m` or `2h`, or seconds. */
export function minutes(option: string, max: number): (text: string) => number {
  const inSeconds = seconds(option, max * 60)
  return (text) => {
    const value = inSeconds(text) / 60
    if (Number.isInteger(value) && value >= 1) return value
    throw wrong(option, 'expects whole minutes, such as 15m')
  }
}

export function oneOf<T extends string>(
  option: string,
  choices: readonly T[],
): (text: string) => T {
  return (text) => {
    const found = choices.find((choice) => choice === text)
    if (found !== undefined) return found
    throw wrong(option, `expects one of ${choices.join(', ')}`)
  }
}

/** Collects a repeated option. */
export function list(text: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), text]
}

/** Collects `KEY=VALUE` of a repeated option. */
export function pairs(
  option: string,
): (text: string, before: Record<string, string> | undefined) => Record<string, string> {
  return (text, before) => {
    const at = text.indexOf('=')
    if (at < 1) throw wrong(option, 'expects KEY=VALUE')
    return { ...before, [text.slice(0, at)]: text.slice(at + 1) }
  }
}

/** A JSON object. */
export function jsonObject(option: string): (text: string) => Record<string, unknown> {
  return (text) => {
    let value: unknown
    try {
      value = JSON.parse(text)
    } catch (cause) {
      throw wrong(option, 'expects JSON', cause)
    }
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { ...value }
    throw wrong(option, 'expects a JSON object')
  }
}

function parseMoment(option: string, text: string, expected: string): number {
  const value = MOMENT.test(text) ? Date.parse(text.replace(' ', 'T').toUpperCase()) : Number.NaN
  if (Number.isNaN(value)) throw wrong(option, `expects ${expected}`)
  return value
}

function wrong(option: string, expected: string, cause?: unknown): VestryError {
  return new VestryError('USAGE', `${option} ${expected}`, {
    hint: 'See --help',
    ...(cause !== undefined && { cause }),
  })
}
