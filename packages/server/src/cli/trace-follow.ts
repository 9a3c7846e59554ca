/**
 * `vestry trace ID --follow`: the tree drawn anew whenever it has grown. On a terminal in its own place, never more
 * than fits on it; elsewhere each thing that happened as a line of its own.
 */
import { LongReply } from '../telemetry/correlation/long-reply.ts'
import { cellText, type Row, rowOf, rowsOf } from './cell.ts'
import type { CommandIo } from './command-io.ts'
import { fitLine } from './fit-line.ts'
import { glyphsFor } from './glyphs.ts'
import {
  byWhom,
  durationText,
  eventWords,
  guessTag,
  offsetText,
  type Speakers,
  spanFacts,
  speakersBelow,
  speakersOf,
} from './span-text.ts'
import { terminalColumns } from './terminal-columns.ts'
import { traceText } from './trace-tree.ts'

/** Ends when the trace seems to be over, or when it is interrupted, which is the way such a command ends well. */
export async function followTrace(io: CommandIo, id: string): Promise<void> {
  const { AdminClient } = await import('./admin-client.ts')
  await using admin = await AdminClient.open(io.address, io.signal)
  const show = viewerFor(io)
  let reply = new LongReply()
  try {
    await admin.call(
      'admin.trace',
      { id, follow: true },
      {
        signal: io.signal,
        timeoutMs: Number.POSITIVE_INFINITY,
        onMore: ({ told, ...frame }) => {
          if (told !== true) {
            reply.add(frame)
            return
          }
          show(reply.whole(frame))
          reply = new LongReply()
        },
      },
    )
  } catch (error) {
    if (!io.signal.aborted) throw error
  }
}

function viewerFor(io: CommandIo): (trace: Row) => void {
  if (io.json) return (trace) => io.printPart(trace, '')
  if (io.terminal.stdout.isTTY === true) return redrawing(io)
  const seen = new Set<string>()
  return (trace) => {
    for (const line of newLines(trace, seen)) io.printPart(trace, `${line}\n`)
  }
}

const UP = (lines: number): string => (lines === 0 ? '' : `\u001b[${lines}A`)
const CLEAR_BELOW = '\r\u001b[0J'

function redrawing(io: CommandIo): (trace: Row) => void {
  const { stdout } = io.terminal
  const glyphs = glyphsFor(io.env)
  let drawn = 0
  return (trace) => {
    const columns = terminalColumns(stdout, io.env)
    const lines = traceText(trace, io.paint, { columns, glyphs }).trimEnd().split('\n')
    // What scrolls away cannot be drawn again.
    const rows = Math.max(4, (stdout.rows ?? 24) - 2)
    const shown =
      lines.length <= rows
        ? lines
        : [
            lines[0] ?? '',
            `${glyphs.ellipsis} ${lines.length - rows + 2} more`,
            ...lines.slice(-(rows - 2)),
          ]
    // However narrow it really is.
    const width = stdout.columns ?? columns
    const fitted = shown.map((line) => fitLine(line, width, glyphs.ellipsis))
    stdout.write(`${UP(drawn)}${CLEAR_BELOW}${fitted.join('\n')}\n`)
    drawn = fitted.length
  }
}

/** What was not told before: spans when they begin and when they end, and what happened in them. */
function newLines(trace: Row, seen: Set<string>): string[] {
  const startedMs = Date.parse(String(trace['started_at']))
  const lines: { atMs: number; text: string }[] = []
  const tell = (key: string, atMs: number, words: readonly (string | undefined)[]): void => {
    if (seen.has(key)) return
    seen.add(key)
    const said = words.filter((word) => word !== undefined && word !== '')
    lines.push({ atMs, text: [offsetText(atMs - startedMs).padEnd(9), ...said].join('  ') })
  }
  const walk = (items: readonly Row[], who: Speakers): void => {
    for (const item of items) {
      const atMs = Date.parse(String(item['at']))
      const by = byWhom(who, item)
      const below = speakersBelow(who, item)
      if (item['type'] === 'span') tellSpan(item, atMs, by, tell)
      else tellCall(item, atMs, by, tell)
      tellEvents(rowsOf(item, 'events'), below, tell)
      walk(rowsOf(item, 'children'), below)
    }
  }
  const who = speakersOf(trace)
  tellEvents(rowsOf(trace, 'events'), who, tell)
  walk(rowsOf(trace, 'spans'), who)
  return lines.sort((one, other) => one.atMs - other.atMs).map(({ text }) => text)
}

type Tell = (key: string, atMs: number, words: readonly (string | undefined)[]) => void

function tellEvents(events: readonly Row[], who: Speakers, tell: Tell): void {
  for (const event of events) {
    const words = [...eventWords(event), byWhom(who, event), guessTag(event)]
    tell(`event ${String(event['seqs'])}`, Date.parse(String(event['at'])), words)
  }
}

function tellSpan(span: Row, atMs: number, by: string | undefined, tell: Tell): void {
  const { caller, span_id: id, op, name, status, duration_ms: duration } = span
  const key = `${cellText(span['trace_id'])} ${cellText(id)} ${cellText(caller)}`
  const title = `${cellText(op)}  ${cellText(name)}`
  tell(`start ${key}`, atMs, ['begins', title, by])
  if (status === 'open') return
  const lasted = typeof duration === 'number' ? duration : 0
  const words = ['ends  ', title, by, durationText(duration), cellText(status), ...spanFacts(span)]
  tell(`end ${key}`, atMs + lasted, words)
}

function tellCall(call: Row, atMs: number, by: string | undefined, tell: Tell): void {
  const outcome = rowOf(call, 'outcome')
  if (outcome['code'] === undefined) return
  const { action, detail } = call
  const words = [action, detail, outcome['code']].map(cellText)
  tell(`call ${String(call['seqs'])}`, atMs, [
    ...words,
    durationText(outcome['duration_ms']),
    by,
    guessTag(call),
  ])
}
