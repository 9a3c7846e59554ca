/** The reply of `admin.trace` drawn as a tree: caller → token → decision → lease → what came of it. Pure. */
import { cellText, isRow, type Row, rowOf, rowsOf } from './cell.ts'
import type { Paint } from './style.ts'
import { isModelCall, modelLines } from './trace-model-call.ts'
import { detailBeside, endedText } from './trace-text.ts'
import { tellsUpstream, tokenLines, toolLines } from './trace-tool-call.ts'
import { totalsLine } from './trace-totals.ts'

/** One line of the tree and what hangs below it. */
interface Branch {
  readonly lines: readonly string[]
  readonly children: readonly Branch[]
}

export function traceText(reply: Row, paint: Paint): string {
  const started = typeof reply['started_at'] === 'string' ? Date.parse(reply['started_at']) : 0
  const ofTransaction = textsOf(reply['txns']).includes(cellText(reply['id']))
  const head = [
    paint('bold', `trace ${cellText(reply['id'])}`),
    cellText(reply['actors']),
    // What operators did about it in transactions of their own is shown all the same.
    ...(ofTransaction ? [] : textsOf(reply['txns'])),
    cellText(reply['started_at']),
    duration(reply['duration_ms']),
  ]
  const branches = rowsOf(reply, 'spans').map((span) => branchOf(span, started, paint))
  const more = reply['truncated'] === true ? ['… only the newest are shown'] : []
  const { totals } = reply
  const last = ofTransaction && isRow(totals) ? [totalsLine(totals, paint)] : []
  return `${[head.join('  '), ...draw(branches, ''), ...more, ...last].join('\n')}\n`
}

function branchOf(span: Row, startedMs: number, paint: Paint): Branch {
  const at = typeof span['at'] === 'string' ? Date.parse(span['at']) - startedMs : 0
  const outcome = rowOf(span, 'outcome')
  const facts = [
    ...tokenLines(span),
    decisionLine(rowOf(span, 'decision'), paint),
    ...toolLines(span),
    ...modelLines(span),
    leaseLine(span),
    endedLine(outcome),
    outcomeLine(span, outcome, paint),
  ]
  return {
    lines: [
      [
        paint('bold', cellText(span['action'])),
        detailBeside(span['action'], span['detail']),
        paint('dim', `+${at}ms`),
        paint('dim', duration(outcome['duration_ms'])),
      ]
        .filter((part) => part !== '')
        .join('  '),
    ],
    children: [
      ...facts
        .filter((line) => line !== undefined)
        .map((line) => ({ lines: [line], children: [] })),
      ...rowsOf(span, 'children').map((child) => branchOf(child, startedMs, paint)),
    ],
  }
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

function endedLine({ ended }: Row): string | undefined {
  return isRow(ended) ? `ended  ${endedText(ended)}` : undefined
}

function outcomeLine(span: Row, outcome: Row, paint: Paint): string | undefined {
  const { code, status } = outcome
  if (code === undefined) return undefined
  const good = code === 'OK'
  const told = tellsUpstream(outcome) || outcome['mock'] === true
  const word = isModelCall(span) ? 'answered' : 'upstream'
  const shown = status === undefined || status === null || told ? '' : `  ${word} ${status}`
  return `outcome  ${paint(good ? 'green' : 'red', cellText(code))}${shown}`
}

function draw(branches: readonly Branch[], indent: string): string[] {
  return branches.flatMap(({ lines, children }, index) => {
    const last = index === branches.length - 1
    const inner = indent + (last ? '   ' : '│  ')
    const [first = '', ...rest] = lines
    return [
      `${indent}${last ? '└─ ' : '├─ '}${first}`,
      ...rest.map((line) => inner + line),
      ...draw(children, inner),
    ]
  })
}

function duration(ms: unknown): string {
  if (typeof ms !== 'number') return ''
  return ms < 1_000 ? `${Math.round(ms * 10) / 10}ms` : `${(ms / 1_000).toFixed(3)}s`
}
