/**
 * The reply of `admin.trace` drawn as a tree: spans of agents, and below them calls, each as caller → token →
 * decision → lease → what came of it. Pure.
 */
import { cellText, isRow, type Row, rowOf, rowsOf } from './cell.ts'
import { type Glyphs, UNICODE } from './glyphs.ts'
import {
  byWhom,
  callerText,
  durationText,
  eventWords,
  guessTag,
  type Speakers,
  spanFacts,
  speakersBelow,
  speakersOf,
  statusStyle,
} from './span-text.ts'
import type { Paint } from './style.ts'
import { textWidth } from './terminal-text.ts'
import { type Barred, type Interval, withBars } from './time-bar.ts'
import { isModelCall, modelLines } from './trace-model-call.ts'
import { detailBeside, endedText } from './trace-text.ts'
import { tellsUpstream, tokenLines, toolLines } from './trace-tool-call.ts'
import { agentTotalsLine, totalsLine } from './trace-totals.ts'

/** One line of the tree and what hangs below it. */
interface Branch {
  readonly line: string
  readonly bar?: Interval | undefined
  readonly children: readonly Branch[]
}

export interface TraceTextOptions {
  readonly glyphs?: Glyphs
  /** Of the terminal; without it there are no bars. */
  readonly columns?: number
}

export function traceText(
  reply: Row,
  paint: Paint,
  { glyphs = UNICODE, columns }: TraceTextOptions = {},
): string {
  const started = typeof reply['started_at'] === 'string' ? Date.parse(reply['started_at']) : 0
  const ofTransaction = textsOf(reply['txns']).includes(cellText(reply['id']))
  const pen = { startedMs: started, paint, glyphs, who: speakersOf(reply) }
  const branches = [
    ...rowsOf(reply, 'events').map((event) => eventBranch(event, pen)),
    ...rowsOf(reply, 'spans').map((span) => branchOf(span, pen)),
  ]
  const drawn = draw(branches, '', glyphs)
  const lines =
    columns === undefined
      ? drawn.map(({ text }) => text)
      : withBars(drawn, { totalMs: Number(reply['duration_ms']), columns, glyphs, paint })
  const more = reply['truncated'] === true ? [`${glyphs.ellipsis} only the newest are shown`] : []
  const { totals, agents } = reply
  const last = isRow(agents)
    ? [agentTotalsLine(agents, rowOf(reply, 'totals'), paint)]
    : ofTransaction && isRow(totals)
      ? [totalsLine(totals, paint)]
      : []
  return `${[headLine(reply, ofTransaction, paint), ...lines, ...more, ...last].join('\n')}\n`
}

function headLine(reply: Row, ofTransaction: boolean, paint: Paint): string {
  const callers = rowsOf(reply, 'callers').map(callerText)
  const isOfAgents = Array.isArray(reply['callers'])
  // Who has a claim was named with it already.
  const named = rowsOf(reply, 'callers').map(({ agent }) => `agent:${cellText(agent)}`)
  const actors = textsOf(reply['actors']).filter((actor) => !named.includes(actor))
  const runs = textsOf(reply['run_ids']).filter((run) => run !== cellText(reply['id']))
  return [
    paint('bold', `trace ${cellText(reply['id'])}`),
    ...callers,
    ...(isOfAgents ? actors : [cellText(reply['actors'])]),
    ...runs.map((run) => `run ${run}`),
    // What operators did about it in transactions of their own is shown all the same.
    ...(ofTransaction ? [] : textsOf(reply['txns'])),
    cellText(reply['started_at']),
    durationText(reply['duration_ms']),
  ].join('  ')
}

/** What all lines are drawn with. */
interface Pen {
  readonly startedMs: number
  readonly paint: Paint
  readonly glyphs: Glyphs
  readonly who: Speakers
}

function branchOf(item: Row, pen: Pen): Branch {
  return item['type'] === 'span' ? spanBranch(item, pen) : callBranch(item, pen)
}

function spanBranch(span: Row, pen: Pen): Branch {
  const { paint, startedMs } = pen
  const at = sinceStart(span, startedMs)
  const { duration_ms: duration, status } = span
  const by = byWhom(pen.who, span)
  const below = { ...pen, who: speakersBelow(pen.who, span) }
  return {
    line: told([
      paint('bold', `${cellText(span['op'])}  ${cellText(span['name'])}`),
      by && paint('yellow', by),
      paint('dim', `+${at}ms`),
      paint('dim', durationText(duration)),
      paint(statusStyle(status), cellText(status)),
      ...spanFacts(span),
      paint('dim', cellText(span['span_id'])),
    ]),
    bar: intervalOf(at, duration, status),
    children: [
      ...rowsOf(span, 'events').map((event) => eventBranch(event, below)),
      ...rowsOf(span, 'children').map((child) => branchOf(child, below)),
    ],
  }
}

function intervalOf(at: number, duration: unknown, status: unknown): Interval | undefined {
  if (typeof duration === 'number') return { fromMs: at, toMs: at + duration }
  return status === 'open' ? { fromMs: at, toMs: undefined } : undefined
}

function eventBranch(event: Row, { glyphs, paint, who }: Pen): Branch {
  const tag = guessTag(event)
  const by = byWhom(who, event)
  const words = eventWords(event).join('  ')
  return {
    line: told([`${glyphs.dot} ${words}`, by && paint('yellow', by), tag && paint('yellow', tag)]),
    children: [],
  }
}

function callBranch(span: Row, pen: Pen): Branch {
  const { paint, startedMs, who } = pen
  const outcome = rowOf(span, 'outcome')
  const { duration_ms: duration } = outcome
  const tag = guessTag(span)
  const by = byWhom(who, span)
  const at = sinceStart(span, startedMs)
  return {
    line: told([
      paint('bold', cellText(span['action'])),
      detailBeside(span['action'], span['detail']),
      by && paint('yellow', by),
      paint('dim', `+${at}ms`),
      paint('dim', durationText(duration)),
      tag && paint('yellow', tag),
    ]),
    bar: typeof duration === 'number' ? { fromMs: at, toMs: at + duration } : undefined,
    children: [
      ...factLines(span, paint).map((line) => ({ line, children: [] })),
      ...rowsOf(span, 'children').map((child) => branchOf(child, pen)),
    ],
  }
}

/** What is known of a call, a line each. */
export function factLines(span: Row, paint: Paint): string[] {
  const outcome = rowOf(span, 'outcome')
  return [
    ...tokenLines(span),
    decisionLine(rowOf(span, 'decision'), paint),
    ...toolLines(span),
    ...modelLines(span),
    leaseLine(span),
    ...lookupLines(span, paint),
    endedLine(outcome),
    outcomeLine(span, outcome, paint),
  ].filter((line) => line !== undefined)
}

function sinceStart({ at }: Row, startedMs: number): number {
  return typeof at === 'string' ? Date.parse(at) - startedMs : 0
}

function told(parts: readonly (string | undefined)[]): string {
  return parts.filter((part) => part !== undefined && part !== '').join('  ')
}

function decisionLine(decision: Row, paint: Paint): string | undefined {
  if (decision['id'] === undefined) return undefined
  const answer = decision['allow'] === true ? paint('green', 'allow') : paint('red', 'deny')
  const reason = cellText(decision['reason'])
  // Most reasons name the policy themselves.
  const policies = textsOf(decision['policies']).filter((name) => !reason.includes(name))
  const id = paint('dim', cellText(decision['id']))
  return ['decision', answer, ...policies, reason, id].join('  ')
}

function textsOf(value: unknown): string[] {
  return Array.isArray(value) ? value.map(cellText) : []
}

function leaseLine(span: Row): string | undefined {
  const { lease } = span
  if (lease === null || lease === undefined) return undefined
  const data = rowOf(span, 'data')
  const ttl = data['ttl'] === undefined ? '' : `  ttl ${cellText(data['ttl'])} s`
  return `lease  ${cellText(lease)}${ttl}`
}

/** `dns  api.openai.com  A+AAAA  allow  2 addresses  3ms` */
function lookupLines(span: Row, paint: Paint): string[] {
  return rowsOf(span, 'lookups').map((lookup) => {
    const { domain, qtype, decision, addresses, latency_ms: latency, error } = rowOf(lookup, 'data')
    const count = addresses === 1 ? '1 address' : `${cellText(addresses)} addresses`
    return told([
      'dns',
      cellText(domain),
      cellText(qtype),
      decision === 'deny' ? paint('red', 'deny') : 'allow',
      error === undefined ? count : cellText(error),
      durationText(latency),
    ])
  })
}

function endedLine({ ended }: Row): string | undefined {
  return isRow(ended) ? `ended  ${endedText(ended)}` : undefined
}

function outcomeLine(span: Row, outcome: Row, paint: Paint): string | undefined {
  const { code, status } = outcome
  if (code === undefined) return undefined
  const good = code === 'OK'
  const isTold = tellsUpstream(outcome) || outcome['mock'] === true
  const word = isModelCall(span) ? 'answered' : 'upstream'
  const shown = status === undefined || status === null || isTold ? '' : `  ${word} ${status}`
  return `outcome  ${paint(good ? 'green' : 'red', cellText(code))}${shown}`
}

function draw(branches: readonly Branch[], indent: string, glyphs: Glyphs): Barred[] {
  return branches.flatMap(({ line, bar, children }, index) => {
    const last = index === branches.length - 1
    const text = `${indent}${last ? glyphs.corner : glyphs.tee}${line}`
    return [
      { text, columns: textWidth(unpainted(text)), bar },
      ...draw(children, indent + (last ? '   ' : glyphs.pipe), glyphs),
    ]
  })
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: our own colours; data cannot hold them any more
const COLOURS = /\u001b\[[0-9;]*m/g

function unpainted(text: string): string {
  return text.replace(COLOURS, '')
}
