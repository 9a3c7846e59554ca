import { describe, expect, test } from 'vitest'
import { checkExport } from './doctor-export.ts'
import { exportText } from './telemetry.ts'

const plain = (_style: string, text: string) => text
const STATUS = {
  configured: true,
  logs: 'http://collector:4318/v1/logs',
  traces: null,
  state: 'idle',
  seq: 42,
  lag: 1,
  open_spans: 2,
  sent: { logs: 10, spans: 1 },
  failures: 0,
  rejected: 0,
  lost: 0,
}

describe('vestry telemetry status', () => {
  test('says where it goes and how far it is', () => {
    const text = exportText(STATUS, plain)
    expect(text).toContain('http://collector:4318/v1/logs')
    expect(text).toContain('through record 42, 1 record behind')
    expect(text).toContain('10 events, 1 span')
    expect(text).not.toContain('refused')
  })

  test('says why it waits and what was refused, on lines that cannot be forged', () => {
    const text = exportText(
      {
        ...STATUS,
        problem: 'it answered 503\u001b[2J',
        refused: { count: 3, first: 7, last: 9, reason: 'logs: it answered 400' },
      },
      plain,
    )
    expect(text).toContain('it answered 503')
    expect(text).not.toContain('\u001b')
    expect(text).toContain('3 from records 7 to 9: logs: it answered 400')
  })

  test('says so when there is none', () => {
    expect(exportText({ configured: false }, plain)).toContain('telemetry.otel.endpoint')
  })
})

describe('vestry doctor', () => {
  test('is silent about an export that there is not', () => {
    expect(checkExport({})).toEqual([])
  })

  test('warns of what is in the way, what was refused, and what is gone', () => {
    const refused = { count: 3, first: 7, last: 9, reason: 'logs: it answered 400' }
    const checks = checkExport({ ...STATUS, problem: 'it is away', refused, lost: 5 })
    expect(checks.map(({ status }) => status)).toEqual(['warn', 'warn', 'warn'])
    expect(JSON.stringify(checks)).toContain('vestry telemetry export --from 7')
    expect(checkExport(STATUS)[0]?.status).toBe('ok')
  })
})
