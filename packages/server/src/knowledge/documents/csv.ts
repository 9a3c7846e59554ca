/** Rows with the names of their columns: each can be understood by itself. */
import { parse } from 'csv-parse/sync'
import { invalid } from './limits.ts'
import type { Outline } from './outline.ts'

const DELIMITERS = [',', ';', '\t', '|'] as const
const MAX_COLUMNS = 1_000
const MAX_NAME_CHARS = 100
/** Rows of another length than the first are told up to here, by number. */
const SHOWN_ROWS = 5

/** The first row names the columns. Rows that are longer or shorter are kept, with a warning. */
export function readCsv(text: string, outline: Outline): void {
  const [names = [], ...rows] = parsed(text)
  if (names.length > MAX_COLUMNS) throw invalid(`has more than ${MAX_COLUMNS} columns`)
  const labels = names.map((name, at) => label(name, at))
  if (rows.length === 0) outline.block('row', names.join('; '))
  const ragged: number[] = []
  for (const [at, row] of rows.entries()) {
    if (row.length > MAX_COLUMNS) throw invalid(`has more than ${MAX_COLUMNS} columns`)
    if (row.length !== names.length) ragged.push(at + 2)
    outline.block('row', rowText(row, labels))
  }
  if (ragged.length > 0) outline.warn(raggedWarning(ragged))
}

function rowText(row: readonly string[], labels: readonly string[]): string {
  const named = row.map((value, at) => [labels[at] ?? label('', at), value.trim()] as const)
  return named.flatMap(([name, value]) => (value === '' ? [] : `${name}: ${value}`)).join('; ')
}

function label(name: string, at: number): string {
  const text = name.replace(/\s+/g, ' ').trim().slice(0, MAX_NAME_CHARS)
  return text === '' ? `column ${at + 1}` : text
}

function raggedWarning(rows: readonly number[]): string {
  const shown = rows.slice(0, SHOWN_ROWS).join(', ')
  const more = rows.length > SHOWN_ROWS ? ` and ${rows.length - SHOWN_ROWS} more` : ''
  return `Rows with another number of columns than the first: ${shown}${more}`
}

function parsed(text: string): string[][] {
  try {
    return parse(text, {
      delimiter: delimiterOf(text),
      relax_column_count: true,
      relax_quotes: true,
      skip_empty_lines: true,
    })
  } catch {
    throw invalid('is not CSV', 'Look for a quoted field that does not end.')
  }
}

/** The one that the first line has most of, outside of quotes. */
function delimiterOf(text: string): string {
  const end = text.indexOf('\n')
  const line = text.slice(0, end < 0 ? undefined : end).replace(/"[^"]*"/g, '')
  const counts = DELIMITERS.map((delimiter) => line.split(delimiter).length)
  return DELIMITERS[counts.indexOf(Math.max(...counts))] ?? ','
}
