import { expect, test } from 'vitest'
import { agentOf } from '../agent.test-kit.ts'
import type { Value } from '../host.ts'
import { SecretRef } from '../host.ts'
import { callablesOf } from '../interpreter/program.ts'
import { evaluateRules, unmetRequirements } from './evaluate-rules.ts'
import type { Operation } from './operation.ts'

const call = (name: string, args: Record<string, Value> = {}): Operation => {
  return { op: 'tool call', name, args }
}
const http = (name: string, args: Record<string, Value> = {}): Operation => {
  return { op: 'http', name, args }
}

function judge(
  rules: readonly string[],
  operation: Operation,
  more: {
    capabilities?: string[]
    scope?: Record<string, Value>
    functions?: Record<string, string>
  } = {},
) {
  const agent = agentOf({ policies: { guard: rules }, functions: more.functions ?? {} })
  return evaluateRules({
    policies: agent.code.policies,
    capabilities: more.capabilities ?? [],
    operation,
    scope: more.scope ?? {},
    functions: callablesOf(agent),
  })
}

test('runtime §20.24: deny beats allow, in whatever order they are written', () => {
  for (const rules of [
    ['allow: any', 'deny: "notes:append"'],
    ['deny: "notes:append"', 'allow: any'],
  ]) {
    expect(judge(rules, call('notes:append'))).toMatchObject({ allow: false })
    expect(judge(rules, call('notes:read'))).toMatchObject({ allow: true })
  }
})

test('runtime §11.6: what the program allows is all that it may do', () => {
  const rules = ['allow: ["classify", "publish"]', 'deny: http(any)']
  expect(judge(rules, call('classify'))).toMatchObject({ allow: true, rule: 'dsl:guard#1' })
  expect(judge(rules, { op: 'publish', name: 'labels', args: {} }).allow).toBe(true)
  expect(judge(rules, call('notes:append'))).toMatchObject({ allow: false })
  expect(judge(rules, http('api.example.com'))).toMatchObject({ allow: false, rule: 'dsl:guard#2' })
})

test('runtime §11.6: without allow rules only what is declared is allowed', () => {
  for (const [capabilities, allowed] of [
    [[], false],
    [['notes:append'], true],
    [['notes'], true],
    [['note'], false],
    [['http'], false],
    [['tool'], true],
    [['tool:notes:*'], true],
    [['*'], true],
  ] as const) {
    const found = judge([], call('notes:append'), { capabilities: [...capabilities] })
    expect(found.allow, capabilities.join()).toBe(allowed)
  }
  const tagged = { ...call('x:y'), tags: ['classify'] }
  expect(judge([], tagged, { capabilities: ['classify'] }).allow).toBe(true)
  expect(judge([], { op: 'workflow', name: 'nightly', args: {} }).allow).toBe(true)
})

test('runtime §20.24: a condition that cannot be evaluated is false for allow and true for deny', () => {
  for (const condition of [
    'nobody',
    'nobody.x == 1',
    '1',
    '"yes"',
    'ticket.gone',
    '1 / 0 == 1',
    'now() == 1',
    'call_tool("x:y")',
    'spin()',
    'deep(1)',
    'key == "x"',
    '{}.constructor == 1',
  ]) {
    const functions = { 'spin()': 'while true { }', 'deep(n: int)': 'deep(n + 1)' }
    const scope = { ticket: { size: 1 }, key: new SecretRef('k') }
    const ask = (effect: string) =>
      judge([`${effect}: any if ${condition}`], call('x:y'), { scope, functions })
    expect(ask('allow'), condition).toMatchObject({ allow: false, holds: [] })
    expect(ask('deny'), condition).toMatchObject({ allow: false, holds: ['dsl:guard#1'] })
  }
})

test('runtime §20.24: a target that nobody can read denies everything and allows nothing', () => {
  for (const target of ['1 + 2', 'x => x', 'http(1)', 'http("a", "b")', '{ a: 1 }']) {
    expect(judge([`allow: ${target}`], http('a')).allow, target).toBe(false)
    expect(judge([`deny: ${target}`, 'allow: any'], http('a')).allow, target).toBe(false)
  }
})

test('a call pattern binds the argument that its condition asks about', () => {
  const rules = [
    'allow: http(url) if starts_with(url, "https://api.")',
    'allow: call_tool(name) if name == "a:b"',
  ]
  expect(judge(rules, http('api.x', { url: 'https://api.x/1' })).allow).toBe(true)
  expect(judge(rules, http('api.x', { url: 'http://api.x/1' })).allow).toBe(false)
  expect(judge(rules, call('a:b')).allow).toBe(true)
  expect(judge(rules, call('a:c')).allow).toBe(false)
  expect(judge(['allow: http("*.example.com")'], http('api.example.com')).allow).toBe(true)
  expect(judge(['allow: http("*.example.com")'], http('example.org')).allow).toBe(false)
  expect(judge(['allow: notes.append'], call('notes:append')).allow).toBe(true)
})

test('conditions see the scope and the program’s own functions, and hold under their names', () => {
  const rules = ['allow: "notes" if small(ticket)', 'deny: "notes:drop" if true', 'allow: "mail"']
  const functions = { 'small(t: any)': 't.size <= 4096' }
  const at = (size: number, name = 'notes:append') =>
    judge(rules, call(name), { scope: { ticket: { size } }, functions })
  expect(at(10)).toEqual({
    allow: true,
    rule: 'dsl:guard#1',
    holds: ['dsl:guard#1'],
    audit: 'always',
  })
  expect(at(5000)).toMatchObject({ allow: false, holds: [] })
  expect(at(10, 'notes:drop')).toMatchObject({
    allow: false,
    rule: 'dsl:guard#2',
    holds: ['dsl:guard#1', 'dsl:guard#2'],
  })
})

test('audit rules select what is logged', () => {
  const audit = (rules: string[]) => judge(['allow: any', ...rules], call('a:b')).audit
  expect(audit([])).toBe('always')
  expect(audit(['audit: all_operations'])).toBe('always')
  expect(audit(['audit: errors_only'])).toBe('errors')
  expect(audit(['audit: none'])).toBe('never')
  expect(audit(['audit: "a:b"'])).toBe('always')
  expect(audit(['audit: http'])).toBe('never')
})

test('runtime §11.6: what is required must hold before a run starts', () => {
  const unmet = (
    rules: string[],
    settings: Record<string, Value> = {},
    capabilities: string[] = [],
  ) => {
    const { policies } = agentOf({ policies: { guard: rules } }).code
    return unmetRequirements({ policies, capabilities, settings, scope: { input: { n: 1 } } })
  }
  const sandboxed = ['require: { sandbox: "tier1", network: false }']
  expect(unmet(sandboxed, { sandbox: 'tier1', network: false })).toEqual([])
  expect(unmet(sandboxed, { sandbox: 'tier2', network: false })).toEqual(['dsl:guard#1'])
  expect(unmet(sandboxed, { sandbox: 'tier1' })).toEqual(['dsl:guard#1'])
  expect(unmet(['require: input.n == 1', 'require: input.n > 1', 'require: nobody'])).toEqual([
    'dsl:guard#2',
    'dsl:guard#3',
  ])
  expect(unmet(['require: publish'], {}, ['publish'])).toEqual([])
  expect(unmet(['require: false if input.n == 2', 'require: true if nobody'])).toEqual([
    'dsl:guard#2',
  ])
})
