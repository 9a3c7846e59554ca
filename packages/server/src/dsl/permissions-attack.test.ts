/** What a source could try to be granted more than it shows, and what a caller could try on a program's conditions. */
import { expect, test } from 'vitest'
import { TestHost } from './agent.test-kit.ts'
import { compileSource } from './compile.ts'
import type { CheckedAgent } from './definition.ts'
import type { EFFECTS } from './host.ts'
import { interpret } from './interpreter/interpret.ts'
import { DEFAULT_RUN_LIMITS } from './interpreter/machine.ts'
import { permissionChanges } from './permission-changes.ts'
import type { Permission } from './permissions.ts'
import { permissionsOf } from './permissions-of.ts'
import { evaluateRules } from './rules/evaluate-rules.ts'
import { scopeOf } from './scope.ts'

function agent(source: string, agentName = 'a'): CheckedAgent {
  const { agent: found, diagnostics } = compileSource(source, { agentName })
  if (found === undefined) throw new Error(diagnostics.map(({ message }) => message).join('; '))
  return found
}

const shown = ({ kind, name }: Permission) => `${kind} ${name}`
const asks = (source: string, name = 'a') =>
  permissionsOf(agent(source, name))
    .allows.filter(({ kind }) => kind !== 'knowledge')
    .map(shown)
const action = (body: string) => `agent a { action b { ${body} } }`
const changes = (old: string, next: string) =>
  permissionChanges(permissionsOf(agent(old)), permissionsOf(agent(next))).map(
    ({ direction, text }) => `${direction}: ${text}`,
  )

test('runtime §11.6: a condition sees attributes, declared parameters, input and payload, whatever the caller sends', () => {
  const checked = agent(`agent a(size: int) {
    limit: 3
    policy p { allow: "notes:append" if input.n < limit && open != true && null == None }
  }`)
  const sent = { limit: 1e9, open: false, null: 1, None: 2, size: 4, input: { n: 5 }, payload: {} }
  const scope = scopeOf(checked, sent)
  expect(scope).toEqual({ limit: 3, size: 4, input: { n: 5 }, payload: {} })
  const question = {
    policies: checked.code.policies,
    capabilities: [],
    operation: { op: 'tool call', name: 'notes:append', args: {} },
  } as const
  expect(evaluateRules({ ...question, scope }).allow).toBe(false)
  const forged = { limit: 3, input: { n: 1 }, open: false, null: 1, None: 2 }
  expect(evaluateRules({ ...question, scope: forged }).allow).toBe(true)
})

test('a call asks for the one thing that it names, never for a pattern', () => {
  expect(asks(action('call_tool("*")\n ask("*")\n trigger_workflow("*")\n secret("**")'))).toEqual(
    [],
  )
  expect(asks(action('call_tool("notes:*")\n secret("db/*")\n call_tool("mcp/*")'))).toEqual([])
  expect(asks(action('http_request("https://*/x")\n http_request("https://*.a.com/")'))).toEqual([])
  expect(asks(action('call_tool("notes:\\u002a")'))).toEqual([])
})

test('aliases, shadows and names that are worked out ask for nothing', () => {
  const bodies = [
    'let t = call_tool\n t("mail:send")',
    'let n = "mail:send"\n call_tool(n)',
    'call_tool("mail:" + "send")',
    'call_tool("mail:send", name: "x" + "y")',
    'http_request("https://a.com" + input)',
    'http_request("https://a.com@" + input)',
    'http_request("https://a.com\\\\" + input)',
  ]
  for (const body of bodies) expect(asks(action(body))).toEqual([])
  const own = 'agent a { function call_tool(x: String) { x; } action b { call_tool("mail:send") } }'
  expect(asks(own)).toEqual([])
})

test('the arguments of calls are read as the host reads them', () => {
  expect(asks(action('http_request("POST", "https://a.com/x")'))).toEqual(['host a.com'])
  expect(asks(action('http_request("https://b.com", url: "https://a.com/x")'))).toEqual([
    'host a.com',
  ])
  expect(
    asks(action('trigger_workflow({ id: "x" })\n trigger_workflow(workflow_id: "w")')),
  ).toEqual(['workflow w'])
  // Cyrillic а, and an address that is not what it looks like.
  expect(asks(action('http_request("https://\u0430.com/")'))).toEqual(['host xn--80a.com'])
  expect(asks(action('http_request("https://a.com@evil.com/")'))).toEqual(['host evil.com'])
})

test('two agents in one file: what only one of them calls, and its webhook, is not for the other', () => {
  const source = `agent a { action x { log("info", "x") } }
agent b { action y { notify() } }
function notify() { later(); }
function later() { call_tool("mail:send"); }
webhook w { path "w" agent "b" secret vault://hooks/w }`
  expect(asks(source, 'a')).toEqual([])
  expect(asks(source, 'b')).toEqual(['credential hooks/w', 'tool mail:send'])
})

test('rules narrow by the meaning of names, not by their letters', () => {
  const hosts = (list: string, rule: string) =>
    asks(`agent a { hosts: [${list}] policy p { allow: ${rule} } }`)
  expect(hosts('"*.a.com"', 'http("x.y.a.com")')).toEqual([])
  expect(hosts('"a.com"', 'http("a.com:8080")')).toEqual([])
  expect(hosts('"a.com:8080"', 'http("a.com")')).toEqual(['host a.com:8080'])
  expect(asks('agent a { tools: ["*"] policy p { allow: ["mail", "mcp/x:y"] } }')).toEqual([
    'tool mail:*',
  ])
})

test('a deny holds for the tool of a server by either of its names', () => {
  const source = 'agent a { tools: ["mcp/files"] policy p { deny: "files:read" } }'
  expect(permissionsOf(agent(source)).denies.map(shown)).toContain('mcp mcp/files:read')
  const { policies } = agent(source).code
  const operation = { op: 'tool call', name: 'mcp/files:read', args: {} } as const
  const verdict = evaluateRules({ policies, capabilities: ['mcp/files'], operation, scope: {} })
  expect(verdict).toMatchObject({ allow: false, rule: 'dsl:p#1' })
})

test('a host with its port is what it is called in rules and attributes', () => {
  const { code } = agent('agent a { policy p { allow: http("a.com:8080") } }')
  const operation = { op: 'http', name: 'a.com', tags: ['a.com:8080'], args: {} } as const
  const question = { policies: code.policies, capabilities: [], scope: {} }
  expect(evaluateRules({ ...question, operation }).allow).toBe(true)
  expect(evaluateRules({ ...question, operation: { ...operation, tags: ['a.com'] } }).allow).toBe(
    false,
  )
})

test('what a condition hangs on is told when it changes: functions, attributes, bound arguments', () => {
  const program = (limit: number, body: string, target: string) => `agent a {
    limit: ${limit}
    function small(n: int) -> bool { ${body} }
    policy p { allow: ${target} if small(input.n) }
    action b { call_tool("mail:send") }
  }`
  const old = program(3, 'n < limit', '"mail:send"')
  expect(changes(old, old)).toEqual([])
  for (const next of [
    program(9, 'n < limit', '"mail:send"'),
    program(3, 'true', '"mail:send"'),
    program(3, 'n < limit', 'call_tool("mail:send", input)'),
  ]) {
    expect(changes(old, next).filter((one) => one.startsWith('wider'))).not.toEqual([])
  }
  const said = changes(old, program(9, 'n < limit', '"mail:send"'))
  expect(said[0]).toContain('where limit = 9 and small(n) { n < limit }')
})

test('a denial and a requirement that are gone are told', () => {
  const denied = 'agent a { hosts: ["*.a.com"] policy p { deny: "x.a.com" } }'
  const free = 'agent a { hosts: ["*.a.com"] policy p { } }'
  expect(changes(denied, free)).toContain('wider: is no longer kept from this: reach host x.a.com')
  const held = 'agent a { policy p { require: { sandbox: "tier1" } } with sandbox = tier1 { 1 } }'
  expect(changes(held, 'agent a { with timeout = 1s { 1 } }')).toContain(
    'wider: no longer requires, before it runs, the sandbox tier1',
  )
})

test('metadata cannot reach behind itself', () => {
  const { metadata, attributes } = agent(
    'metadata { __proto__ = { model: "openai:gpt-4o" } }\nagent a {}',
  ).definition
  expect(Object.getPrototypeOf(metadata)).toBe(Object.prototype)
  expect(attributes).toEqual({})
})

test('runtime §11.8: whatever a generated program asks its host for by a literal name is in its permissions', async () => {
  let state = 7
  const random = (below: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
  const pick = (list: readonly string[]): string => list[random(list.length)] ?? ''
  const calls = [
    ...['call_tool("t:x")', 'call_tool(args: {}, name: "mcp/s:y")', 'ask("helper", 1)'],
    ...['secret("k")', 'trigger_workflow("w")', 'http_request("GET", "https://a.com/x")'],
    ...['http_request("https://b.com/" + "y")', 'trigger_workflow(id: "v", params: {})'],
  ]
  const wraps = [
    (call: string) => `let _x = ${call}`,
    (call: string) => `map([1], y => ${call})`,
    (call: string) => `if true { ${call}; }`,
    (call: string) => `try { ${call}; } catch (e) { ${pick(calls)}; }`,
    (call: string) => `for i in [1] { ${call}; }`,
    (call: string) => `match 1 { 1 => { ${call}; } }`,
    (call: string) => `let _l = [{ a: ${call} }]`,
    (call: string) => `f${random(3)}(${call})`,
    () => `let g = f${random(3)}\n g(1)`,
  ]
  for (let n = 0; n < 300; n++) {
    const body = Array.from({ length: 3 }, () => wraps[random(wraps.length)]?.(pick(calls)))
    const functions = [0, 1, 2].map(
      (i) => `function f${i}(x: any = ${pick(calls)}) { ${pick(calls)}; }`,
    )
    const checked = agent(`agent a { action b {\n${body.join('\n')}\n} }\n${functions.join('\n')}`)
    const host = new TestHost(() => 1)
    const limits = { ...DEFAULT_RUN_LIMITS, steps: 20_000 }
    const signal = new AbortController().signal
    await interpret({ agent: checked, host, params: {}, limits, signal })
    const asked = new Set(permissionsOf(checked).allows.map(shown))
    for (const call of host.calls) {
      const text = [...call.args, ...Object.values(call.named)].filter(
        (one) => typeof one === 'string',
      )
      const name = text.at(-1) ?? ''
      const wanted: Partial<Record<(typeof EFFECTS)[number], string>> = {
        call_tool: `${name.startsWith('mcp/') ? 'mcp' : 'tool'} ${name}`,
        ask: `agent ${name}`,
        secret: `secret ${name}`,
        trigger_workflow: `workflow ${name}`,
        http_request: `host ${name.split('/')[2]}`,
      }
      expect(asked).toContain(wanted[call.name])
    }
  }
})
