/** Bars that show when, within a whole, something ran, and for how long. Pure. */
import type { Glyphs } from './glyphs.ts'
import type { Paint } from './style.ts'
import { textWidth } from './terminal-text.ts'

export interface Interval {
  /** Since the whole began. */
  readonly fromMs: number
  /** undefined while it goes on. */
  readonly toMs: number | undefined
}

export interface Barred {
  /** Safe, unpainted as far as its width goes. */
  readonly text: string
  readonly columns: number
  readonly bar: Interval | undefined
}

const MIN_BAR = 8
const MAX_BAR = 32
const GAP = 2

/** Puts the bars behind the lines, all in the same columns; a line that reaches into them goes without. */
export function withBars(
  lines: readonly Barred[],
  {
    totalMs,
    columns,
    glyphs,
    paint,
  }: { totalMs: number; columns: number; glyphs: Glyphs; paint: Paint },
): string[] {
  const widest = lines.reduce(
    (max, { bar, columns: own }) => (bar === undefined ? max : Math.max(max, own)),
    0,
  )
  const ends = textWidth(glyphs.barLeft) + textWidth(glyphs.barRight)
  const room = columns - widest - GAP - ends
  const width = Math.min(MAX_BAR, Math.max(MIN_BAR, room))
  const at = Math.min(widest + GAP, columns - width - ends)
  return lines.map(({ text, columns: own, bar }) => {
    if (bar === undefined || totalMs <= 0 || own + GAP > at) return text
    return text + ' '.repeat(at - own) + paint('cyan', barText(bar, totalMs, width, glyphs))
  })
}

/** `▕  ███   ▏`: at least one column wide. */
export function barText(
  { fromMs, toMs }: Interval,
  totalMs: number,
  width: number,
  glyphs: Glyphs,
): string {
  const scale = (ms: number): number => Math.min(1, Math.max(0, ms / totalMs)) * width
  const from = Math.min(width - 1, Math.floor(scale(fromMs)))
  const to = Math.max(from + 1, Math.round(scale(toMs ?? totalMs)))
  const fill = glyphs.barFill.repeat(to - from)
  const drawn = toMs === undefined ? fill.slice(0, -1) + glyphs.barOpen : fill
  return glyphs.barLeft + ' '.repeat(from) + drawn + ' '.repeat(width - to) + glyphs.barRight
}
