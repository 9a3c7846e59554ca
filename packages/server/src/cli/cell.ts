/** What a reply's members look like to a person. Everything that comes out is safe for a terminal. */
import { safeText } from './terminal-text.ts'

export type Row = Readonly<Record<string, unknown>>

const NOTHING = '–'
const TIME = /^(\d{4}-\d{2}-\d{2})T(\d{2}:\d{2}:\d{2})(?:\.\d+)?Z$/

/** One value on one line. */
export function cellText(value: unknown): string {
  if (value === null || value === undefined || value === '') return NOTHING
  if (typeof value === 'string') return safeText(readableTime(value))
  if (typeof value === 'boolean') return value ? 'yes' : 'no'
  if (Array.isArray(value)) return value.length === 0 ? NOTHING : value.map(cellText).join(', ')
  if (typeof value === 'object') return objectText(value)
  return safeText(String(value))
}

/** `1 lease`, `2 leases`. */
export function counted(count: unknown, one: string, several = `${one}s`): string {
  return `${cellText(count)} ${count === 1 ? one : several}`
}

/** The rows under `name` of a reply; what is no object there is left out. */
export function rowsOf(reply: Row, name: string): Row[] {
  const list = reply[name]
  return Array.isArray(list) ? list.filter(isRow) : []
}

/** The object under `name`, or an empty one. */
export function rowOf(reply: Row, name: string): Row {
  const value = reply[name]
  return isRow(value) ? value : {}
}

export function isRow(value: unknown): value is Row {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Times are RFC 3339 in UTC; a person reads them better with a space. */
function readableTime(text: string): string {
  const [, day, time] = TIME.exec(text) ?? []
  return day === undefined || time === undefined ? text : `${day} ${time}Z`
}

function objectText(value: object): string {
  const pairs = Object.entries(value)
  if (pairs.length === 0) return NOTHING
  return pairs.map(([name, member]) => `${safeText(name)}=${cellText(member)}`).join(' ')
}
