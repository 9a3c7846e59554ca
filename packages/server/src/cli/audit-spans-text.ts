/** The record by traces of agents, drawn: each span, what it caused below it, and what nobody can be named for. Pure. */
import { cellText, counted, type Row, rowsOf } from './cell.ts'
import { type Glyphs, UNICODE } from './glyphs.ts'
import {
  byWhom,
  callerText,
  durationText,
  eventWords,
  guessTag,
  offsetText,
  type Speakers,
  spanFacts,
  speakersBelow,
  speakersOf,
  statusStyle,
} from './span-text.ts'
import type { Paint } from './style.ts'
import { textWidth } from './terminal-text.ts'

/** Wider names push the columns of their own line only. */
const MAX_NAME_COLUMNS = 64

export function spansText(reply: Row, paint: Paint, glyphs: Glyphs = UNICODE): string {
  const traces = rowsOf(reply, 'traces')
  const lines = [
    ...traces.flatMap((trace) => traceLines(trace, paint, glyphs)),
    ...(traces.length === 0 ? ['no traces'] : []),
    ...unattributedLines(rowsOf(reply, 'unattributed'), paint, glyphs),
    ...producerLines(rowsOf(reply, 'producers'), paint, glyphs),
  ]
  return `${lines.join('\n')}\n`
}

/** A line whose name and columns are aligned with those of its trace. */
interface Line {
  readonly name: string
  readonly rest: readonly string[]
}

function traceLines(trace: Row, paint: Paint, glyphs: Glyphs): string[] {
  const lines: Line[] = []
  const pen = { paint, glyphs, who: speakersOf(trace) }
  for (const event of rowsOf(trace, 'events')) lines.push(eventLine(event, glyphs.pipe, pen))
  for (const span of rowsOf(trace, 'spans'))
    addSpan(lines, span, { lead: glyphs.tee, inner: glyphs.pipe }, pen)
  const width = Math.min(
    MAX_NAME_COLUMNS,
    lines.reduce((max, { name }) => Math.max(max, textWidth(name)), 0),
  )
  return [
    headLine(trace, paint),
    ...lines.map(({ name, rest }) => {
      const space = ' '.repeat(Math.max(0, width - textWidth(name)))
      return `${name}${space}  ${rest.join('  ')}`.trimEnd()
    }),
  ]
}

function headLine(trace: Row, paint: Paint): string {
  const { run_ids: runs, started_at: started, open } = trace
  const callers = rowsOf(trace, 'callers').map(callerText)
  return [
    paint('bold', `trace ${cellText(trace['trace_id'])}`),
    ...(callers.length === 0 ? ['process not known'] : callers),
    ...(Array.isArray(runs) ? runs.map((run) => `run ${cellText(run)}`) : []),
    exactTime(started),
    durationText(trace['duration_ms']) + (open === true ? ' and open' : ''),
    `${counted(trace['span_count'], 'span')} ${counted(trace['event_count'], 'event')}`,
  ].join('  ')
}

interface Place {
  readonly lead: string
  readonly inner: string
}

/** What all lines are drawn with. */
interface Pen {
  readonly paint: Paint
  readonly glyphs: Glyphs
  readonly who: Speakers
}

function addSpan(lines: Line[], span: Row, { lead, inner }: Place, pen: Pen): void {
  const { paint, glyphs } = pen
  const by = byWhom(pen.who, span)
  const below = { ...pen, who: speakersBelow(pen.who, span) }
  lines.push({
    name: `${lead}${cellText(span['op']).padEnd(5)} ${cellText(span['name'])}`,
    rest: [
      offsetText(span['offset_ms']).padEnd(8),
      durationText(span['duration_ms']).padEnd(7),
      paint(statusStyle(span['status']), cellText(span['status']).padEnd(5)),
      ...spanFacts(span),
      ...(by === undefined ? [] : [paint('yellow', by)]),
    ],
  })
  for (const event of rowsOf(span, 'events')) lines.push(eventLine(event, inner, below))
  const children = rowsOf(span, 'spans')
  for (const [index, child] of children.entries()) {
    const isLast = index === children.length - 1
    const place = {
      lead: inner + (isLast ? glyphs.corner : glyphs.tee),
      inner: inner + (isLast ? '   ' : glyphs.pipe),
    }
    addSpan(lines, child, place, below)
  }
}

function eventLine(event: Row, inner: string, { paint, glyphs, who }: Pen): Line {
  const marks = [byWhom(who, event), guessTag(event)].filter((mark) => mark !== undefined)
  return {
    name: `${inner}  ${glyphs.dot} ${eventWords(event).join('  ')}`,
    rest: [offsetText(event['offset_ms']).padEnd(8), ...marks.map((mark) => paint('yellow', mark))],
  }
}

function unattributedLines(events: readonly Row[], paint: Paint, glyphs: Glyphs): string[] {
  if (events.length === 0) return []
  return [
    paint('bold', `unattributed (${events.length})`),
    ...events.map((event) => {
      const pid = typeof event['pid'] === 'number' ? [`pid ${event['pid']}`] : []
      return `   ${[`${glyphs.dot} ${eventWords(event).join('  ')}`, exactTime(event['at']), ...pid].join('  ')}`
    }),
  ]
}

function producerLines(producers: readonly Row[], paint: Paint, glyphs: Glyphs): string[] {
  const label = 'producers:'
  if (producers.length === 0) return [`${label} none`]
  return producers.map((producer, index) => {
    const { first_seq: first, last_seq: last, unexplained } = producer
    const lost = typeof unexplained === 'number' && unexplained > 0
    return [
      `${index === 0 ? label : ' '.repeat(label.length)} ${cellText(producer['id'])}`,
      `seq ${cellText(first)}${glyphs.dash}${cellText(last)}`,
      `missing ${cellText(producer['missing'])}`,
      `dropped ${cellText(producer['dropped'])}`,
      ...(lost ? [paint('red', `${unexplained} lost without a report`)] : []),
    ].join('  ')
  })
}

/** To the millisecond, and safe to show. */
function exactTime(time: unknown): string {
  return typeof time === 'string' ? cellText(`${time.replace('T', ' ')}`) : cellText(time)
}
