/**
 * A run as it goes: on a terminal its steps in their own place, never more than fit on it; elsewhere a line for each
 * change. Interrupted, it ends the watching only.
 */
import { VestryError } from '@vestry/contract/errors'
import { cellText, type Row, rowOf, rowsOf } from './cell.ts'
import type { CommandIo } from './command-io.ts'
import { fitLine } from './fit-line.ts'
import { type Glyphs, glyphsFor } from './glyphs.ts'
import { type Paint, paintFor, type Style } from './style.ts'
import { facts } from './table.ts'
import type { OutputStream } from './terminal.ts'

/** Waits for the end of the run, and prints what came of it. */
export async function watchRun(io: CommandIo, id: string): Promise<void> {
  const { AdminClient } = await import('./admin-client.ts')
  try {
    await using admin = await AdminClient.open(io.address, io.signal)
    const call = { signal: io.signal, timeoutMs: Number.POSITIVE_INFINITY, onMore: viewerFor(io) }
    await admin.call('admin.workflow.watch', { id }, call)
    await tellEnd(io, await admin.call('admin.workflow.execution', { id }, { signal: io.signal }))
  } catch (error) {
    if (!io.signal.aborted) throw error
    io.note(`The run goes on. Look again: vestry workflow watch ${cellText(id)}`)
  }
}

async function tellEnd(io: CommandIo, reply: Row): Promise<void> {
  const { execution_id, status, result, error } = reply
  const shown = Object.entries({ execution_id, status, result, error }).flatMap(([name, value]) => {
    if (value === null) return []
    return [[name, typeof value === 'object' ? JSON.stringify(value) : value] as const]
  })
  io.print(reply, (paint) => facts(shown, paint))
  if (status === 'completed') return
  const { code, step, message } = rowOf(reply, 'error')
  const where = step === undefined ? '' : ` in step ${cellText(step)}`
  throw new VestryError(
    'WORKFLOW_STEP_FAILED',
    `the run ended as ${cellText(status)}${where}: ${cellText(message ?? code ?? '')}`,
  )
}

function viewerFor(io: CommandIo): (frame: Row) => void {
  const { progress } = io
  if (progress !== undefined) return redrawing(io, progress)
  const told = new Map<unknown, unknown>()
  return (frame) => {
    for (const step of rowsOf(frame, 'steps')) {
      if (told.get(step['id']) === step['status']) continue
      told.set(step['id'], step['status'])
      io.note(stepWords(step).join(' '))
    }
  }
}

const UP = (lines: number): string => (lines === 0 ? '' : `\u001b[${lines}A`)
const CLEAR_BELOW = '\r\u001b[0J'

function redrawing(io: CommandIo, stderr: OutputStream): (frame: Row) => void {
  const glyphs = glyphsFor(io.env)
  const paint = paintFor(stderr, io.env)
  let drawn = 0
  return (frame) => {
    const steps = rowsOf(frame, 'steps')
    // What scrolls away cannot be drawn again.
    const rows = Math.max(4, (stderr.rows ?? 24) - 2)
    const hidden = steps.length <= rows ? 0 : steps.length - rows + 1
    const lines = [
      ...(hidden === 0 ? [] : [`${glyphs.ellipsis} ${hidden} more`]),
      ...steps.slice(hidden).map((step) => stepRow(step, paint, glyphs)),
    ].map((line) => fitLine(line, stderr.columns ?? 80, glyphs.ellipsis))
    stderr.write(`${UP(drawn)}${CLEAR_BELOW}${lines.map((line) => `${line}\n`).join('')}`)
    drawn = lines.length
  }
}

function stepRow(step: Row, paint: Paint, { dot }: Glyphs): string {
  const style = STYLES[String(step['status'])]
  const text = stepWords(step).join('  ')
  return style === undefined ? `${dot} ${text}` : `${paint(style, dot)} ${text}`
}

const STYLES: Readonly<Record<string, Style>> = {
  running: 'yellow',
  waiting: 'cyan',
  completed: 'green',
  failed: 'red',
  skipped: 'dim',
}

/** `greet completed (3 ms)`, `pay failed (40 ms) ACCESS_DENIED`, `ask waiting` */
function stepWords({ id, status, duration_ms: ms, code }: Row): string[] {
  const isOpen = status === 'running' || status === 'waiting'
  return [
    cellText(id),
    cellText(status),
    ...(isOpen ? [] : [`(${cellText(ms)} ms)`]),
    ...(code === null || code === undefined ? [] : [cellText(code)]),
  ]
}
