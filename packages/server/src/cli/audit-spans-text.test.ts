import { expect, test } from 'vitest'
import { correlate } from '../telemetry/correlation/correlate.ts'
import { Log, spanId, traceId } from '../telemetry/correlation/records.test-kit.ts'
import { spansText } from './audit-spans-text.ts'
import type { Row } from './cell.ts'
import { ASCII, glyphsFor, UNICODE } from './glyphs.ts'
import { noPaint } from './style.ts'

const T = traceId(0x6e1f)
const WHO = { agent: 'auditor', claimId: 'jti_0c5e', producer: 'p_77aa10e4c2d98b35' }

/** An agent that reconciles a ledger, with a lookup, a secret and an action in the queue. */
function ledger(): Log {
  const log = new Log()
  const run = { trace: T, span: spanId(0), run: 'run_51b0' }
  const llm = { trace: T, span: spanId(1), parent: spanId(0) }
  const tool = { trace: T, span: spanId(2), parent: spanId(0) }
  log.event('agent.run.start', run, 0, { fn: 'reconcile', op: 'run' }, WHO)
  log.event('agent.llm.request', llm, 1, { fn: 'askModel', model: 'claude-sonnet-4-6' }, WHO)
  log.event('x.coat.io', llm, 12, { proto: 'dns', host: 'api.anthropic.com' }, WHO)
  log.dns('api.anthropic.com', 14, 4_000)
  log.add({ atMs: 20, source: 'vault', action: 'vault_get', detail: 'ANTHROPIC_API_KEY' })
  log.event('x.coat.tie', llm, 40, { name: 'prompt', data: { chars: 7 } }, WHO)
  const usage = { usage: { input: 812, output: 164 } }
  log.event('agent.llm.response', llm, 1_205, { status: 'ok', duration_ms: 1_204, ...usage }, WHO)
  log.event(
    'agent.tool.call',
    tool,
    1_210,
    { fn: 'writeLedger', tool: { name: 'writeLedger' } },
    WHO,
  )
  const queued = {
    source: 'queue',
    action: 'queue_submit',
    detail: 'id=8c1f02aa tier=staged',
  } as const
  log.add({ atMs: 1_212, ...queued, pid: 4_000 })
  const failed = { status: 'error', duration_ms: 4, error: { type: 'EACCES' } }
  log.event('agent.tool.result', tool, 1_214, failed, WHO)
  log.event('agent.run.end', run, 1_903, { fn: 'reconcile', status: 'ok', duration_ms: 1_903 }, WHO)
  log.dns('metrics.example.net', 90_000, 4_000)
  return log
}

const drawn = (log: Log, glyphs = UNICODE): string =>
  spansText(correlate(log.records, { isWhole: true }) as unknown as Row, noPaint, glyphs)

test('telemetry §16.37: the record by spans is a tree of what agents did and what it caused; guesses are marked', () => {
  expect(drawn(ledger())).toBe(`\
trace ${T}  agent auditor (jti_0c5e)  run run_51b0  2026-05-02 09:14:07.480Z  1.903s  3 spans 4 events
├─ run   reconcile                               +0ms      1.903s   ok
│  ├─ llm   askModel                             +1ms      1.204s   ok     claude-sonnet-4-6  in 812 out 164
│  │    · dns_query  api.anthropic.com A allow   +14ms
│  │    · vault_get  ANTHROPIC_API_KEY           +20ms     [heuristic]
│  │    · tie  prompt  {"chars":7}               +40ms
│  └─ tool  writeLedger                          +1.21s    4ms      error  EACCES
│       · queue_submit  id=8c1f02aa tier=staged  +1.21s
unattributed (1)
   · dns_query  metrics.example.net A allow  2026-05-02 09:15:37.480Z  pid 4000
producers: p_77aa10e4c2d98b35  seq 1–8  missing 0  dropped 0
`)
})

test('callers without a claim are called anonymous, by their fingerprint', () => {
  const log = new Log()
  log.event('agent.run.start', { trace: T, span: spanId(0) }, 0, { fn: 'run' })
  expect(drawn(log)).toMatch(
    /^trace \S+ {2}anonymous anon_pid4000 {2}.* and open {2}1 span 0 events$/m,
  )
})

test('what a producer numbered and nobody reported as dropped is told', () => {
  const log = new Log()
  log.event('agent.run.start', { trace: T, span: spanId(0) }, 0, { fn: 'run' })
  log.skip('p_1', 3)
  log.event('agent.run.end', { trace: T, span: spanId(0) }, 5, { status: 'ok' })
  expect(drawn(log)).toContain(
    'producers: p_1  seq 1–5  missing 3  dropped 0  3 lost without a report\n',
  )
})

test('names from agents cannot draw lines, move the cursor or turn text around', () => {
  const log = new Log()
  const name = 'a\n├─ forged\u001b[2J\u202egnp.exe'
  log.event('agent.run.start', { trace: T, span: spanId(0) }, 0, { fn: name })
  log.event('x.coat.tie', { trace: T, span: spanId(0) }, 1, { name, data: `\r${name}` })
  log.dns(`${name}.example`, 9_000_000)
  const text = drawn(log)
  expect(text).toContain('run   a\\n├─ forged\\x1b[2J\\u202egnp.exe')
  expect(text.split('\n')).toHaveLength(drawn(ledger()).split('\n').length - 7 + 1)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what is looked for
  expect(text).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e]/)
})

test('a locale that is not UTF-8 gets ASCII', () => {
  const text = drawn(ledger(), ASCII)
  expect(text).toMatch(/^\|- run {3}reconcile/m)
  expect(text).toMatch(/^\| {2}`- tool {2}writeLedger/m)
  expect([...text].every((character) => character.charCodeAt(0) < 128)).toBe(true)
  expect(glyphsFor({ LC_ALL: 'C' })).toBe(ASCII)
  expect(glyphsFor({ LC_ALL: '', LANG: 'de_DE.UTF-8' })).toBe(UNICODE)
  expect(glyphsFor({})).toBe(UNICODE)
})

test('nothing at all is said in so many words', () => {
  expect(drawn(new Log())).toBe('no traces\nproducers: none\n')
})

test('what a process without a claim says in the trace of an agent is told as its own', () => {
  const log = ledger()
  const forger = { pid: 666, startTime: '9', producer: 'p_forger' }
  const below = { trace: T, span: spanId(9), parent: spanId(0) }
  log.event('agent.tool.call', below, 1_300, { fn: 'forged' }, forger)
  log.event('x.coat.tie', { trace: T, span: spanId(0) }, 1_301, { name: 'lie' }, forger)
  const carried = {
    trace_id: T.slice(3),
    span_id: 'a'.repeat(16),
    parent_span_id: spanId(0).slice(3),
  }
  log.vault(1_302, { pid: 777, actor: 'agent:mallory', span: carried, detail: 'stolen' })
  const text = drawn(log)
  expect(text).toMatch(/^trace \S+ {2}agent auditor \(jti_0c5e\) {2}anonymous anon_pid666 {2}/)
  const by = 'by anonymous anon_pid666'
  expect(text).toMatch(/run {3}reconcile .* by agent auditor \(jti_0c5e\)$/m)
  expect(text).toMatch(new RegExp(`tool {2}forged .* ${by}$`, 'm'))
  expect(text).toMatch(new RegExp(`tie {2}lie .* ${by}$`, 'm'))
  expect(text).toMatch(/credential\.retrieve {2}stolen .* by agent:mallory {2}\[heuristic\]$/m)
  expect(text.match(/ by /g)).toHaveLength(4)
})
