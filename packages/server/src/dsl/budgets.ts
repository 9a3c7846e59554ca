/** What a program says it may use up, from its attributes. A budget that cannot be read is an error, never none. */
import { VestryError } from '@vestry/contract/errors'
import { parseDuties } from '../policy/obligations.ts'
import type { Json, ProgramDefinition } from './definition.ts'
import type { Permissions } from './permissions.ts'

type Budgets = Permissions['budgets']
type Attributes = Readonly<Record<string, Json>>

const MICROS = 1_000_000

/** The least of what the attributes, `budget` and every `with` say. @throws VestryError DSL_INVALID */
export function budgetsOf({ attributes, with: bodies }: ProgramDefinition): Budgets {
  const all = [attributes, ...bodies.map((body) => body.attributes)].flatMap(withBudget)
  const texts = (name: 'rate' | 'quota'): string | undefined => {
    const found = all.flatMap((one) => given(one, name)).map((value) => duty(name, value))
    return found.length === 0 ? undefined : [...new Set(found)].sort().join(', ')
  }
  const least = (values: readonly number[]): number | undefined =>
    values.length === 0 ? undefined : Math.min(...values)
  const timeouts = [
    ...bodies.flatMap((body) => (body.timeout_seconds === null ? [] : [body.timeout_seconds])),
    ...given(attributes, 'timeout').map(seconds),
  ]
  return defined({
    rate: texts('rate'),
    quota: texts('quota'),
    costMicros: least(all.flatMap((one) => given(one, 'max_cost')).map(dollars)),
    maxTokens: least(all.flatMap((one) => given(one, 'max_tokens')).map(wholeTokens)),
    timeoutSeconds: least(timeouts),
  })
}

/** `budget` is an amount, or a record of budgets. */
function withBudget(attributes: Attributes): Attributes[] {
  const budget = own(attributes, 'budget')
  if (budget === undefined) return [attributes]
  if (typeof budget === 'object' && budget !== null && !Array.isArray(budget))
    return [attributes, budget as Attributes]
  return [attributes, { max_cost: budget }]
}

function duty(name: 'rate' | 'quota', value: Json): string {
  if (typeof value !== 'string') throw unreadable(name, value)
  try {
    parseDuties('budget', 'permit', { [name]: value })
    return value.trim()
  } catch (cause) {
    const hint = cause instanceof VestryError ? cause.hint : undefined
    throw unreadable(name, value, hint)
  }
}

/** `0.5` or `"$0.50"`. */
function dollars(value: Json): number {
  const match = /^\$?(\d{1,9}(?:\.\d{1,6})?)$/.exec(String(value))
  if (match === null) throw unreadable('max_cost', value, 'Write an amount of dollars: 0.5.')
  return Math.round(Number(match[1]) * MICROS)
}

function wholeTokens(value: Json): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value > 0) return value
  throw unreadable('max_tokens', value, 'Write a whole number.')
}

const UNITS: Readonly<Record<string, number>> = {
  ms: 0.001,
  s: 1,
  m: 60,
  h: 3600,
  d: 86_400,
  seconds: 1,
  minutes: 60,
  hours: 3600,
}

/** A bare number is seconds. */
function seconds(value: Json): number {
  const match = /^(\d{1,9}(?:\.\d+)?)\.?([a-z]*)$/.exec(String(value))
  const unit = match?.[2] === '' ? 1 : UNITS[match?.[2] ?? '']
  if (match === null || unit === undefined) throw unreadable('timeout', value, 'Write 20s.')
  return Number(match[1]) * unit
}

function given(attributes: Attributes, name: string): Json[] {
  const value = own(attributes, name)
  return value === undefined || value === null ? [] : [value]
}

function own(attributes: Attributes, name: string): Json | undefined {
  return Object.hasOwn(attributes, name) ? attributes[name] : undefined
}

function unreadable(name: string, value: Json, hint?: string): VestryError {
  const shown = JSON.stringify(value).slice(0, 64)
  return new VestryError('DSL_INVALID', `The budget "${name}" cannot be read: ${shown}`, {
    ...(hint !== undefined && { hint }),
  })
}

function defined<T extends object>(values: { [K in keyof T]: T[K] | undefined }): T {
  return Object.fromEntries(
    Object.entries(values).filter(([, value]) => value !== undefined),
  ) as unknown as T // only members that may be absent were left out
}
