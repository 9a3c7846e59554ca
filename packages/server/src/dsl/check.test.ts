import { expect, test } from 'vitest'
import type { CheckOptions } from './check.ts'
import { compileSource } from './compile.ts'
import { ERROR_CODES, WARNING_CODES } from './diagnostic.ts'

const agent = (body: string): string => `agent a { policy p { deny: x } ${body} }`
const code = (body: string): string => agent(`with { ${body} }`)
const beside = (item: string): string => `${agent('')}\n${item}`
const HARD = 'k9Xv2Lq8Zr4Tn7Wb'

/** Code, a program that has it, a near one that has not. */
const LISTED: readonly (readonly [string, string, string, CheckOptions?])[] = [
  ['E_SYNTAX', 'agent a { name }', 'agent a { name: x }'],
  ['E_UNEXPECTED_EOF', 'agent a {', 'agent a {}'],
  ['E_MISSING_SEMICOLON', code('f()\n g();'), code('f();\n g();')],
  ['E_DUPLICATE', agent('name: "x" name: "y"'), agent('name: "x" version: "y"')],
  ['E_DUPLICATE', 'agent a {}\nagent a {}', 'agent a {}\nagent b {}'],
  ['E_NO_AGENT', 'type x = y', 'type x = y\nagent a {}'],
  ['E_AGENT_NAME', 'agent a {} agent b {}', 'agent a {} agent c {}', { agentName: 'c' }],
  ['W_AGENT_NAME', 'agent a {}', 'agent c {}', { agentName: 'c' }],
  ['E_AGENT_EXISTS', 'agent a {}', 'agent b {}', { registered: (name) => name === 'a' }],
  ['E_SANDBOX', agent('with sandbox = "tier9" { }'), agent('with sandbox = "GVisor" { }')],
  ['E_TIMEOUT', agent('with timeout = "soon" { }'), agent('with timeout = "20s" { }')],
  ['E_TIMEOUT', agent('with timeout = 0 { }'), agent('with timeout = 1 { }')],
  ['W_NUMERIC_TIMEOUT', agent('with timeout = 30000 { }'), agent('with timeout = 3600 { }')],
  ['E_SCHEDULE', beside('schedule s { agent: "a" }'), beside('schedule s { cron: "0 3 * * *" }')],
  [
    'E_SCHEDULE',
    beside('schedule s { cron: "0 3 * * *" at: "2032-01-01T00:00:00Z" }'),
    beside('schedule s { at: "2032-01-01T00:00:00Z" }'),
  ],
  [
    'E_CRON',
    beside('schedule s { cron: "0 99 * * *" }'),
    beside('schedule s { cron: "0 0 3 * * 7 2032" }'),
  ],
  ['E_CRON', agent('schedule: "often"'), agent('schedule: "0 3 * * MON"')],
  [
    'E_TIMEZONE',
    beside('schedule s { cron: "0 3 * * *" timezone: "Mars/Base" }'),
    beside('schedule s { cron: "0 3 * * *" timezone: "Europe/Vienna" }'),
  ],
  ['E_CHANNEL', beside('channel c { workspace: "x" }'), beside('channel c { platform: "slack" }')],
  ['E_WEBHOOK', beside('webhook w { provider github }'), beside('webhook w { path "hooks/x" }')],
  ['E_WEBHOOK', beside('webhook w { path "../x" }'), beside('webhook w { path "/x.y" }')],
  ['E_MEMORY_STORE', beside('memory m { store sqlite }'), beside('memory m { store markdown }')],
  [
    'E_RETENTION',
    beside('memory m { store markdown retention forever }'),
    beside('memory m { store markdown retention 6months }'),
  ],
  [
    'E_UNKNOWN_AGENT_REF',
    beside('schedule s { cron: "0 3 * * *" agent: "b" }'),
    beside('schedule s { cron: "0 3 * * *" agent: "a" }'),
    { agents: () => false },
  ],
  ['E_TYPE', code('let x = "a" * 2; f(x);'), code('let x = 3 * 2; f(x);')],
  ['E_TYPE', code('if 1 { }'), code('if true { }')],
  ['E_TYPE', agent('tools: "x"'), agent('tools: ["x"]')],
  [
    'E_TYPE',
    agent('function f(x: int) { g(); } with { f(); }'),
    agent('function f(x: int) { g(); } with { f(1); }'),
  ],
  [
    'E_TOO_DEEP',
    code(`let x = ${'['.repeat(300)};`),
    code(`let _x = ${'['.repeat(100)}${']'.repeat(100)};`),
  ],
  ['E_TOO_LARGE', `agent a {}${' '.repeat(262_144)}`, `agent a {}${' '.repeat(200_000)}`],
  ['E_SECRET_LITERAL', agent(`password: "${HARD}"`), agent('password: vault://db/password')],
  ['E_SECRET_LITERAL', code(`f("ghp_${HARD}${HARD}");`), code('f("ghp_token");')],
  ['E_SECRET_LITERAL', code(`f({ api_key: "${HARD}" });`), code('f({ api_key: secret("x") });')],
  ['W_UNKNOWN_ATTRIBUTE', agent('modle: "x"'), agent('model: "x"')],
  ['W_UNRESOLVED_CALL', code('publsh("x", 1);'), code('publish("x", 1);')],
  [
    'W_UNRESOLVED_TOOL',
    agent('tools: ["x"]'),
    agent('tools: ["y"]'),
    { tools: (name) => name === 'y' },
  ],
  ['W_NO_POLICY', 'agent a { action b { } }', agent('action b { }')],
  ['W_PERMISSIVE_POLICY', agent('policy q { allow: any }'), agent('policy q { allow: any if x }')],
  ['W_UNREACHABLE', code('return; f();'), code('f(); return;')],
  ['W_UNUSED', code('let x = 1;'), code('let _x = 1;')],
  [
    'W_SHADOWED',
    code('let x = 1; if x == 1 { let x = 2; f(x); }'),
    code('let x = 1; if x == 1 { let y = 2; f(y); }'),
  ],
  ['W_BLOCK_COMMENT', '/* x */ agent a {}', '// x\nagent a {}'],
  ['W_DIALECT', agent('action b { }'), 'agent a { action b { } }'],
]

const CASES = LISTED.map(
  ([wanted, wrong, near, options]) => [wanted, wrong, near, options ?? {}] as const,
)

test.each(CASES)('runtime §11.7: %s is told of %s, not of %s', (wanted, wrong, near, options) => {
  const has = compileSource(wrong, options).diagnostics
  const found = has.find((one) => one.code === wanted)
  expect(has.map((one) => one.code)).toContain(wanted)
  expect(found?.severity).toBe(wanted.startsWith('E_') ? 'error' : 'warning')
  expect(found?.message).not.toContain(HARD)
  expect(compileSource(near, options).diagnostics.map((one) => one.code)).not.toContain(wanted)
})

test('runtime §20.23: every code has a program that has it', () => {
  const tried = new Set(CASES.map(([wanted]) => wanted))
  expect([...ERROR_CODES, ...WARNING_CODES].filter((one) => !tried.has(one))).toEqual([])
})

test('runtime §11.1: the same source has the same definition', () => {
  const source = beside('webhook w { path "hooks/x" secret vault://w/key }')
  const [first, second] = [compileSource(source), compileSource(source)]
  expect(first.agent?.definition).toEqual(second.agent?.definition)
  expect(first.agent?.definition.source_hash).toMatch(/^[0-9a-f]{64}$/)
  expect(first.agent?.definition.webhooks).toMatchObject([{ secret_ref: 'vault://w/key' }])
})
