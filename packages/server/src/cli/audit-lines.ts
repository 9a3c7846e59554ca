/** Records and reports of the log as lines for a person. Pure. */
import { cellText, counted, type Row, rowOf } from './cell.ts'
import { durationText } from './span-text.ts'
import type { Paint, Style } from './style.ts'
import { facts } from './table.ts'
import { usedNothing } from './trace-model-call.ts'
import { detailBeside, dollars } from './trace-text.ts'

/** `seq  time  ✓ actor  action  detail  code`, one line; `…` marks what is about to be done. */
export function recordLine(record: Row, paint: Paint): string {
  const success = record['success'] === true
  const intent = record['phase'] === 'intent'
  const mark = intent ? paint('dim', '…') : success ? paint('green', '✓') : paint('red', '✗')
  const outcome = rowOf(record, 'outcome')
  const parts = [
    paint('dim', cellText(record['seq']).padStart(6)),
    paint('dim', cellText(record['timestamp'])),
    mark,
    cellText(record['actor']).padEnd(16),
    cellText(record['action']).padEnd(20),
    ...(record['source'] === 'coat'
      ? agentEventFacts(record)
      : [detailBeside(record['action'], record['detail'])]),
    ...modelFacts(record),
  ]
  const { code, status } = outcome
  if (code !== undefined && code !== 'OK')
    parts.push(paint(success ? 'dim' : 'red', cellText(code)))
  if (typeof status === 'number' && record['source'] !== 'llm') parts.push(`upstream ${status}`)
  const decision = rowOf(record, 'decision')['id']
  if (decision !== undefined) parts.push(paint('dim', cellText(decision)))
  return `${parts.join('  ')}\n`
}

/** Of an event of an agent: what it is of, how it ended, and where it belongs. */
function agentEventFacts(record: Row): string[] {
  const event = rowOf(record, 'event')
  const payload = rowOf(event, 'payload')
  const { kind } = event
  if (typeof kind !== 'string') return [detailBeside(record['action'], record['detail'])]
  const { input, output } = rowOf(payload, 'usage')
  const { status, duration_ms: duration } = payload
  const overwrote = rowOf(event, 'envpod')['overwrote']
  const error = rowOf(payload, 'error')['type'] ?? payload['error']
  return [
    cellText(kind),
    shown(payload['fn'] ?? payload['name'] ?? payload['host']),
    shown(status),
    typeof duration === 'number' ? durationText(duration) : undefined,
    typeof error === 'string' ? cellText(error) : undefined,
    shown(payload['response_model'] ?? payload['model']),
    typeof input === 'number' ? `in ${input}` : undefined,
    typeof output === 'number' ? `out ${output}` : undefined,
    shown(rowOf(record, 'span')['span_id']),
    record['agent'] === undefined && typeof record['pid'] === 'number'
      ? `pid ${record['pid']}`
      : undefined,
    // It said to be somebody it was not.
    Array.isArray(overwrote) ? `forged ${cellText(overwrote)}` : undefined,
  ].filter((part) => part !== undefined)
}

function shown(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? cellText(value) : undefined
}

/** Of a call of a model: which one, where its name is not told already, and what it used and cost. */
function modelFacts(record: Row): string[] {
  if (record['source'] !== 'llm') return []
  const { provider, model } = rowOf(record, 'data')
  const outcome = rowOf(record, 'outcome')
  const { cost_micros: cost, status, mock, replayed, truncated } = outcome
  const { total } = rowOf(outcome, 'usage')
  const nothing = usedNothing(outcome)
  const name = `${cellText(provider)}:${cellText(model)}`
  const isTold = model === undefined || cellText(record['detail']).endsWith(name)
  return [
    isTold ? undefined : name,
    typeof total === 'number' && !nothing ? counted(total, 'token') : undefined,
    typeof cost === 'number' && !nothing ? dollars(cost) : undefined,
    mock === true ? 'mock' : undefined,
    replayed === true ? 'given again' : undefined,
    truncated === true ? 'cut short' : undefined,
    typeof status === 'number' && status >= 400 ? `answered ${status}` : undefined,
  ].filter((part) => part !== undefined)
}

const STATUS: Readonly<Record<string, Style>> = { intact: 'green', truncated: 'red', broken: 'red' }

/** The report of a verification. */
export function verifyText(report: Row, paint: Paint): string {
  const status = String(report['status'])
  const bad = rowOf(report, 'bad')
  return (
    `${paint(STATUS[status] ?? 'yellow', status.toUpperCase())}\n` +
    facts(
      [
        ['records', report['entries']],
        ['segments', report['segments']],
        ['from', report['first_time']],
        ['to', report['last_time']],
        ['last', report['last_seq']],
        [
          'checkpoints',
          `${cellText(report['checkpoints'])}, signatures ${cellText(report['signatures'])}`,
        ],
        ['first bad record', bad['seq']],
        [
          'what is wrong',
          bad['kind'] === undefined
            ? undefined
            : `${cellText(bad['kind'])}: ${cellText(bad['detail'])}`,
        ],
        ['in', bad['file']],
        ['torn line', report['torn'] === null ? undefined : report['torn']],
        ['problem', report['problem'] === null ? undefined : report['problem']],
        ['end', rowOf(report, 'truncation')['statement']],
      ],
      paint,
    )
  )
}
