/** The answer of `policy test`, for a person: the decision, what each policy contributed, what it grants. Pure. */
import { cellText, isRow, type Row, rowOf, rowsOf } from './cell.ts'
import type { Paint, Style } from './style.ts'
import { facts } from './table.ts'
import { safeText } from './terminal-text.ts'

const MARKS: Readonly<Record<string, { mark: string; style: Style }>> = {
  holds: { mark: '✓', style: 'green' },
  fails: { mark: '✗', style: 'red' },
  error: { mark: '!', style: 'yellow' },
}

export function explanation(
  reply: Row,
  asked: { agent: string; action?: string; path?: string; tool?: string; runs?: string },
  paint: Paint,
): string {
  const allowed = reply['allowed'] === true
  const answer = allowed ? paint('green', 'ALLOW') : paint('red', 'DENY')
  const on = asked.path ?? asked.tool ?? asked.runs ?? ''
  const what = `${asked.agent}  ${asked.action ?? 'run'}  ${on}`
  const { granted_ttl: ttl, exists } = reply
  const closest = rowOf(reply, 'closest')
  const nearest =
    closest['policy'] === undefined
      ? undefined
      : `${cellText(closest['policy'])}: ${cellText(closest['clause'])}`
  return [
    `${answer}  ${safeText(what)}\n`,
    `  ${cellText(reply['reason'])}\n\n`,
    ...rowsOf(reply, 'policies').map((policy) => policyLines(policy, paint)),
    facts(
      [
        ['ttl', ttl === undefined || ttl === null ? undefined : `${cellText(ttl)} s`],
        ['reason code', reply['reason_code']],
        ['nearest', nearest],
        [
          'credential',
          exists === undefined ? undefined : exists === true ? 'exists' : 'does not exist',
        ],
        ['obligations', allowed ? obligations(rowOf(reply, 'obligations')) : undefined],
        ['policy set', reply['policy_set']],
      ],
      paint,
    ),
  ].join('')
}

function policyLines(policy: Row, paint: Paint): string {
  const head = `${mark(policy['state'], paint)} ${cellText(policy['effect'])} ${cellText(policy['id'])}\n`
  const clauses = rowsOf(policy, 'clauses').map((clause) => {
    return `    ${mark(clause['state'], paint)} ${cellText(clause['name'])}\n`
  })
  return `${head}${clauses.join('')}\n`
}

function mark(state: unknown, paint: Paint): string {
  const known = typeof state === 'string' ? MARKS[state] : undefined
  return known === undefined ? '·' : paint(known.style, known.mark)
}

/** What asks for nothing is not worth a word. */
function obligations(all: Row): string | undefined {
  const asked = Object.entries(all).filter(
    ([name, value]) =>
      value !== null &&
      value !== false &&
      !(Array.isArray(value) && value.length === 0) &&
      !(name === 'renewable' && value === true),
  )
  if (asked.length === 0) return undefined
  return asked
    .map(([name, value]) => `${name} ${Array.isArray(value) ? items(value) : cellText(value)}`)
    .join('; ')
}

function items(values: readonly unknown[]): string {
  return values.map((value) => (isRow(value) ? `{${cellText(value)}}` : cellText(value))).join(', ')
}
