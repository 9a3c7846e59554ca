/** Rows in columns, and facts under labels. Plain text; colour is put around it by the caller's `paint`. */
import { cellText, type Row } from './cell.ts'
import type { Paint, Style } from './style.ts'
import { textWidth } from './terminal-text.ts'

export interface Column {
  readonly title: string
  /** A member of the row, or how to make the value from it. */
  readonly value: string | ((row: Row) => unknown)
  readonly align?: 'right'
  readonly style?: (row: Row) => Style | undefined
}

const GAP = '  '

/** @returns Lines with a line feed each, or `empty` when there are no rows. */
export function table(
  columns: readonly Column[],
  rows: readonly Row[],
  { paint, empty }: { paint: Paint; empty: string },
): string {
  if (rows.length === 0) return `${empty}\n`
  const cells = rows.map((row) => columns.map((column) => cellText(valueIn(column, row))))
  const widths = columns.map(({ title }, at) =>
    Math.max(textWidth(title), ...cells.map((line) => textWidth(line[at] ?? ''))),
  )
  const last = columns.length - 1
  const pad = (text: string, at: number): string => {
    const space = ' '.repeat(Math.max(0, (widths[at] ?? 0) - textWidth(text)))
    if (columns[at]?.align === 'right') return space + text
    return at === last ? text : text + space
  }
  const header = columns.map(({ title }, at) => paint('dim', pad(title, at))).join(GAP)
  const lines = cells.map((line, index) =>
    line
      .map((text, at) => {
        const row = rows[index]
        const style = row === undefined ? undefined : columns[at]?.style?.(row)
        return style === undefined ? pad(text, at) : paint(style, pad(text, at))
      })
      .join(GAP)
      .trimEnd(),
  )
  return `${[header.trimEnd(), ...lines].join('\n')}\n`
}

/** `label  value` lines; what is undefined is left out. */
export function facts(pairs: readonly (readonly [string, unknown])[], paint: Paint): string {
  const shown = pairs.filter(([, value]) => value !== undefined)
  const width = Math.max(0, ...shown.map(([label]) => label.length))
  return shown
    .map(([label, value]) => `${paint('dim', label.padEnd(width))}${GAP}${cellText(value)}\n`)
    .join('')
}

function valueIn({ value }: Column, row: Row): unknown {
  return typeof value === 'string' ? row[value] : value(row)
}
