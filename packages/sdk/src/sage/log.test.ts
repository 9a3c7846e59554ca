import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { ConfigurationError } from './errors.ts'
import { bindLogging, configureLogging, getLogger, loggingFromEnvironment } from './log.ts'

afterEach(() => {
  vi.restoreAllMocks()
  configureLogging()
})

function captured(options: Parameters<typeof configureLogging>[0] = {}): string[] {
  const lines: string[] = []
  configureLogging({ write: (line) => lines.push(line), ...options })
  return lines
}

describe('sage §15.6: records', () => {
  test('sage §20.14: go to stderr, also before anything is configured', () => {
    const out = vi.spyOn(process.stdout, 'write').mockReturnValue(true)
    const err = vi.spyOn(process.stderr, 'write').mockReturnValue(true)
    getLogger('x').info('hello', { a: 1 })
    expect(out).not.toHaveBeenCalled()
    expect(err.mock.calls[0]?.[0]).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z \[info {3}\] hello a=1\n$/)
  })

  test('as JSON have the four members, then the fields, one object per line', () => {
    const lines = captured({ format: 'json', fields: { run_id: 'r' } })
    bindLogging({ org_id: 'o' })
    getLogger('mine')
      .bind({ stage: 1 })
      .warning('an event', { text: 'two\nlines', error: new Error('x') })
    expect(lines).toHaveLength(1)
    expect(lines[0]).toMatch(/^\{.*\}\n$/)
    const record = JSON.parse(lines[0] ?? '')
    expect(Object.keys(record)).toEqual([
      'event',
      'level',
      'logger',
      'timestamp',
      'run_id',
      'org_id',
      'stage',
      'text',
      'error',
    ])
    expect(record).toMatchObject({
      event: 'an event',
      level: 'warning',
      logger: 'mine',
      stage: 1,
      text: 'two\nlines',
      error: { name: 'Error', message: 'x' },
    })
    expect(record.timestamp).toBe(new Date(record.timestamp).toISOString())
  })

  test('below the level are left out; debug is on when asked for', () => {
    const lines = captured({ format: 'json' })
    const all = () => {
      const logger = getLogger()
      for (const level of ['debug', 'info', 'warning', 'error'] as const) logger[level](level)
    }
    all()
    expect(lines).toHaveLength(3)
    configureLogging({ format: 'json', level: 'debug', write: (line) => lines.push(line) })
    all()
    expect(lines).toHaveLength(7)
    configureLogging({ level: 'error', write: (line) => lines.push(line) })
    all()
    expect(lines).toHaveLength(8)
  })

  test('cannot be forged by a field or a line break', () => {
    const lines = captured({ format: 'json' })
    getLogger().info('x', { event: 'agent_completed', level: 'error', timestamp: 0 })
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({
      event: 'x',
      level: 'info',
      event_: 'agent_completed',
    })
    const text = captured()
    getLogger().info('one\n2026 [info] two', { a: 'b\nc', d: ' e' })
    expect(text).toHaveLength(1)
    expect(text[0]?.trimEnd().split('\n')).toHaveLength(1)
  })

  test('sage §9: hold no credentials, in event, fields and causes', () => {
    const jwt = `eyJhbGciOiJFUzI1NiJ9.${'m'.repeat(40)}.${'n'.repeat(40)}`
    for (const format of ['json', 'text'] as const) {
      const lines = captured({ format })
      const cause = new Error('inner', { cause: { header: `Bearer ${jwt}` } })
      getLogger().error(`failed ${jwt}`, {
        jwt,
        nested: { list: [jwt] },
        error: new Error(jwt, { cause }),
        key: 'sk-ant-api03-marker-marker',
        exception: `Error: ${jwt}\n    at x`,
      })
      expect(lines.join('')).not.toMatch(/mmmm|nnnn|eyJ|marker/)
      expect(lines.join('')).toContain('[secret]')
    }
  })

  test('survive values that JSON cannot hold and a stream that is gone', () => {
    const lines = captured({ format: 'json' })
    getLogger().info('x', {
      big: 10n,
      fn: () => 1,
      symbol: Symbol('s'),
      undef: undefined,
      nan: Number.NaN,
    })
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({ big: '10', nan: 'NaN' })
    configureLogging({
      write: () => {
        throw new Error('EPIPE')
      },
    })
    expect(() => getLogger().info('x')).not.toThrow()
  })
})

test('nobody who forges a record or a screen', () => {
  const lines = captured()
  getLogger().info('a\nb\u001b[2J', { 'c\nd': 'e\nf' })
  expect(lines[0]).toMatch(/a b \[2J c d="e\\nf"\n$/)
})

test('a listener that went away does not end the run', async () => {
  const program = `import { getLogger } from ${JSON.stringify(import.meta.resolve('./log.ts'))}
    const timer = setInterval(() => getLogger().info('x'), 5)
    process.stdin.once('end', () => clearInterval(timer)).resume()`
  const flags = ['--conditions=source', '--input-type=module', '-e', program]
  const child = spawn(process.execPath, flags, { stdio: ['pipe', 'ignore', 'pipe'] })
  await once(child.stderr, 'data')
  child.stderr.destroy()
  const ended = once(child, 'exit')
  setTimeout(() => child.stdin.end(), 100)
  expect(await ended).toEqual([0, null])
})

test('sage §3: the environment sets format and level; what does not exist is 43', () => {
  expect(loggingFromEnvironment({})).toEqual({ format: 'text', level: 'info' })
  expect(loggingFromEnvironment({ SAGE_LOG_FORMAT: '', SAGE_LOG_LEVEL: '' })).toEqual({
    format: 'text',
    level: 'info',
  })
  expect(loggingFromEnvironment({ SAGE_LOG_FORMAT: 'JSON', SAGE_LOG_LEVEL: 'Warn' })).toEqual({
    format: 'json',
    level: 'warning',
  })
  expect(() => loggingFromEnvironment({ SAGE_LOG_FORMAT: 'xml' })).toThrow(ConfigurationError)
  expect(() => loggingFromEnvironment({ SAGE_LOG_LEVEL: 'constructor' })).toThrow(
    ConfigurationError,
  )
})
