/** The functions that expressions may call. */
import { array, isRecord, kindOf, read, record, text, textOf, wrong } from './expression-values.ts'

type Fn = (args: readonly unknown[]) => unknown

export const FUNCTIONS: Readonly<Record<string, Fn>> = {
  len: ([value]) => {
    if (typeof value === 'string') return [...value].length
    if (Array.isArray(value)) return value.length
    if (isRecord(value)) return Object.keys(value).length
    throw wrong(`${kindOf(value)} has no length`)
  },
  upper: ([value]) => text(value).toUpperCase(),
  lower: ([value]) => text(value).toLowerCase(),
  trim: ([value]) => text(value).trim(),
  contains: ([where, what]) =>
    Array.isArray(where) ? where.includes(what) : text(where).includes(text(what)),
  starts_with: ([value, start]) => text(value).startsWith(text(start)),
  ends_with: ([value, end]) => text(value).endsWith(text(end)),
  split: ([value, by]) => text(value).split(text(by)),
  join: ([list, by]) => array(list).map(textOf).join(text(by)),
  keys: ([value]) => Object.keys(record(value)).sort(),
  values: ([value]) => {
    const of = record(value)
    return Object.keys(of)
      .sort()
      .map((name) => of[name])
  },
  push: ([list, value]) => [...array(list), value],
  json_stringify: ([value]) => JSON.stringify(value),
  json_parse: ([value]) => {
    try {
      return JSON.parse(text(value))
    } catch {
      throw wrong('the text is not JSON')
    }
  },
  get: ([of, name, otherwise = null]) => {
    try {
      return read(of, name)
    } catch {
      return otherwise
    }
  },
}
