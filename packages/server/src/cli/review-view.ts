/**
 * A tool as it is put before whoever has to decide about it: its text with nothing hidden, what the analysis found, and
 * what changed since it was signed. Pure.
 */
import { readToolJson } from '../json/number-tokens.ts'
import { cellText, isRow, type Row, rowOf, rowsOf } from './cell.ts'
import { brokenLine, markedLines } from './marked-text.ts'
import { noPaint, type Paint, type Style } from './style.ts'

const INDENT = '  '
/** A digest and its label fit eighty columns. */
const LABEL = 6
const FINDING_INDENT = '            '

const STYLES: Readonly<Record<string, Style>> = {
  critical: 'red',
  high: 'red',
  medium: 'yellow',
  low: 'dim',
}

/** @param columns Of the terminal. */
export function reviewText(review: Row, columns: number, paint: Paint): string {
  const tool = rowOf(review, 'tool')
  const sections = [
    headText(review, tool, columns, paint),
    section('DESCRIPTION', indented(textOf(tool['description']), INDENT, columns, paint), paint),
    section('SCHEMA', schemaLines(review, columns, paint), paint),
    findingsText(review, columns, paint),
    diffText(review, columns, paint),
    decisionText(review, columns, paint),
  ]
  return sections.filter((text) => text !== '').join('\n')
}

/** What is to be said of its state in a word or two. */
export function stateText(review: Row): string {
  const type = String(rowOf(review, 'state')['type'] ?? review['status'])
  return type.replaceAll('_', ' ')
}

export function stateStyle(review: Row): Style | undefined {
  const status = String(review['status'])
  if (rowOf(review, 'state')['type'] === 'analysis_failed') return 'red'
  if (status === 'signed' || status === 'approved') return 'green'
  if (status === 'rejected') return 'red'
  return status === 'pending_review' || status === 'under_review' ? 'yellow' : undefined
}

/** `80 · 1 critical, 2 low` */
export function riskText({ risk_score: score, finding_counts: counts }: Row): string | undefined {
  if (typeof score !== 'number') return undefined
  const found = isRow(counts)
    ? Object.entries(counts).flatMap(([severity, count]) =>
        count === 0 ? [] : `${cellText(count)} ${severity}`,
      )
    : []
  return `${score} · ${found.length === 0 ? 'no findings' : found.join(', ')}`
}

export function riskStyle({ finding_counts: counts }: Row): Style | undefined {
  if (!isRow(counts)) return undefined
  const worst = Object.keys(STYLES).find((severity) => Number(counts[severity] ?? 0) > 0)
  return worst === undefined ? 'green' : STYLES[worst]
}

function headText(review: Row, tool: Row, columns: number, paint: Paint): string {
  const provider = rowOf(tool, 'provider')
  const state = rowOf(review, 'state')
  const name = `${textOf(tool['name'])} of ${textOf(provider['name'])}`
  const title = brokenLine(name, columns, paint).map((line) => paint('bold', line))
  const priority = review['priority'] === 'normal' ? '' : `, ${cellText(review['priority'])}`
  const coloured = (style: Style | undefined, text: string) =>
    style === undefined ? text : paint(style, text)
  const rows: (readonly [string, string | undefined])[] = [
    ['review', cellText(review['review_id'])],
    ['state', coloured(stateStyle(review), stateText(review)) + priority],
    ['risk', riskText(review) && coloured(riskStyle(review), riskText(review) ?? '')],
    ['from', `${cellText(review['submitted_by'])}, ${cellText(review['submitted_at'])}`],
    ['reason', optional(review['reason'])],
    ['key at', optional(provider['public_key_url'])],
    ['digest', cellText(review['schema_hash'])],
    ['claim', optional(state['human_reviewer_id'])],
    ['error', optional(state['failure'])],
  ]
  const lines = rows.flatMap(([label, text]) =>
    text === undefined ? [] : `${paint('dim', label.padEnd(LABEL))}  ${text}`,
  )
  return `${[...title, ...lines].join('\n')}\n`
}

function optional(value: unknown): string | undefined {
  return value === undefined || value === null ? undefined : cellText(value)
}

/** Numbers as they were written, and every member of it: what is not shown was not reviewed. */
function schemaLines(review: Row, columns: number, paint: Paint): string[] {
  const document = readToolJson(Buffer.from(textOf(review['canonical_json'])))
  const schema = isRow(document) ? document['schema'] : {}
  const json = JSON.stringify(schema, null, 2)
  return json.split('\n').flatMap((line) => {
    const margin = /^ */.exec(line)?.[0] ?? ''
    const rest = line.slice(margin.length)
    // What goes on from the line before stands two columns further.
    return brokenLine(rest, columns - INDENT.length - margin.length - 2, paint).map(
      (part, index) => `${INDENT}${margin}${index === 0 ? '' : '  '}${part}`,
    )
  })
}

function findingsText(review: Row, columns: number, paint: Paint): string {
  const analysis = review['analysis']
  if (!isRow(analysis)) return ''
  const findings = rowsOf(analysis, 'findings')
  if (findings.length === 0) return section('FINDINGS', [`${INDENT}none`], paint)
  const lines = findings.flatMap((finding) => {
    const severity = String(finding['severity'])
    const style = STYLES[severity] ?? 'dim'
    const sure = Math.round(Number(finding['confidence']) * 100)
    const head = `${INDENT}${paint(style, severity.padEnd(8))}  ${cellText(finding['rule_id'])}  ${cellText(finding['title'])}`
    const body = (text: string) => indented(text, FINDING_INDENT, columns, paint)
    const evidence = textOf(finding['evidence'])
    const advice = textOf(finding['recommendation'])
    return [
      head,
      ...brokenLine(
        `at ${textOf(finding['location'])}, ${sure} % sure`,
        columns - FINDING_INDENT.length,
        paint,
      ).map((line) => FINDING_INDENT + line),
      ...body(textOf(finding['description'])),
      ...(evidence === '' ? [] : body(`found: ${evidence}`)),
      ...(advice === '' ? [] : body(`→ ${advice}`)),
    ]
  })
  return section(`FINDINGS`, lines, paint)
}

function diffText(review: Row, columns: number, paint: Paint): string {
  const diff = review['diff']
  if (!isRow(diff)) return ''
  const against = rowOf(diff, 'against')
  const title =
    against['kind'] === 'signed'
      ? `CHANGED SINCE ${cellText(against['review_id'])}, SIGNED ${cellText(against['at'])}`
      : 'CHANGED SINCE IT WAS FIRST SEEN'
  const lines = rowsOf(diff, 'changes').flatMap((change) => {
    const side = (name: 'before' | 'after', sign: string, style: Style) =>
      Object.hasOwn(change, name)
        ? indented(valueText(change, name), `${INDENT}  ${sign} `, columns, noPaint).map((line) =>
            paint(style, line),
          )
        : []
    const place = `${textOf(change['kind'])} ${textOf(change['location'])}`
    const where = brokenLine(place, columns - INDENT.length, paint).map((line) => INDENT + line)
    return [...where, ...side('before', '-', 'red'), ...side('after', '+', 'green')]
  })
  const more = Number(diff['total_changes']) - rowsOf(diff, 'changes').length
  if (more > 0) lines.push(`${INDENT}and ${more} more`)
  return section(title, lines, paint)
}

function decisionText(review: Row, columns: number, paint: Paint): string {
  const decision = review['decision']
  if (!isRow(decision)) return ''
  const by = decision['reviewer_id'] ?? 'a rule of the configuration'
  const said = textOf(decision['comments'])
  return section(
    'DECISION',
    [
      `${INDENT}${cellText(decision['decision'])} by ${cellText(by)}, ${cellText(decision['decided_at'])}`,
      ...(said === '' ? [] : indented(said, INDENT, columns, paint)),
    ],
    paint,
  )
}

function section(title: string, lines: readonly string[], paint: Paint): string {
  return `${paint('dim', title)}\n${lines.map((line) => `${line.trimEnd()}\n`).join('')}`
}

function indented(text: string, indent: string, columns: number, paint: Paint): string[] {
  const blank = ' '.repeat(indent.length)
  return markedLines(text, columns - indent.length, paint).map(
    (line, index) => `${index === 0 ? indent : blank}${line}`,
  )
}

/** Text as it is, anything else as it was written. */
function valueText(change: Row, name: 'before' | 'after'): string {
  const value = change[name]
  return typeof value === 'string' ? value : textOf(change[`${name}_json`])
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : ''
}
