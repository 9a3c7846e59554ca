import { hash } from 'node:crypto'
import { VestryError } from '@vestry/contract/errors'
import { expect, test } from 'vitest'
import { agentOf, resultOf, runAgent, TestHost } from '../agent.test-kit.ts'
import { SecretRef, Tagged } from '../host.ts'

const FAULT = expect.objectContaining({ code: 'DSL_RUNTIME_ERROR' })
const LIMIT = expect.objectContaining({ code: 'DSL_LIMIT' })
const json = (value: unknown): unknown => JSON.parse(JSON.stringify(value))

test.each([
  ['1 + 2 * 3 - 4 / 2', 5],
  ['7 % 4', 3],
  ['-3 + 1', -2],
  ['"a" + "b" + 1', 'ab1'],
  ['[1] + [2, 3]', [1, 2, 3]],
  ['!true || 1 < 2 && "a" < "b"', true],
  ['[1, { a: "x" }] == [1, { a: "x" }]', true],
  ['1 == "1"', false],
  ['null == None', true],
  ['2 in [1, 2]', true],
  ['"a" in { a: 1 }', true],
  ['"ell" in "hello"', true],
  ['{ a: { b: [1, 2] } }.a.b[1]', 2],
  ['"häß"[1]', 'ä'],
  ['{ a: 1 }["a"]', 1],
  ['if 1 > 2 { "x" } else { "y" }', 'y'],
  ['90.seconds > 1m', true],
  ['1KB + 1B == 1025B', true],
  ['len("a😀")', 2],
  ['upper("ab") + lower("CD")', 'ABcd'],
  ['format("{}-{}", 1, [true])', '1-[true]'],
  ['join(split("a,b,c", ","), "+")', 'a+b+c'],
  ['keys({ b: 1, a: 2 })', ['a', 'b']],
  ['values({ b: 1, a: 2 })', [2, 1]],
  ['push([1], 2)', [1, 2]],
  ['map([1, 2], x => x * 2)', [2, 4]],
  ['filter([1, 2, 3], x => x != 2)', [1, 3]],
  ['json_stringify({ b: 1, a: [null, "x"] })', '{"a":[null,"x"],"b":1}'],
  ['json_parse("{\\"a\\":[1,true]}")', { a: [1, true] }],
  ['hash("abc")', hash('sha256', 'abc')],
  ['contains([1, 2], 2) && starts_with("abc", "ab") && ends_with("abc", "bc")', true],
])('runtime §11.6: %s', async (source, wanted) => {
  expect(json(await resultOf(source))).toEqual(wanted)
})

test.each([
  ['let a = 1\n a += 2\n a *= 5\n a', 15],
  [
    'let a = { b: [1, 2] }\n let c = a\n a.b[0] = 9\n a.d = 3\n [a, c]',
    [{ b: [9, 2], d: 3 }, { b: [1, 2] }],
  ],
  [
    'let s = 0\n for x in [1, 2, 3, 4] { if x == 2 { continue }\n if x == 4 { break }\n s += x }\n s',
    4,
  ],
  ['let n = 0\n while n < 5 { n += 1 }\n n', 5],
  ['if let Some(x) = Some(3) { return x }\n 0', 3],
  ['if let Ok(Some(x)) = Ok(None()) { return x }\n 0', 0],
  ['match "b" { "a" => { return 1 }\n "b" => { return 2 }\n _ => { return 3 } }', 2],
  ['match 7 { 1 => { return 1 }\n n => { return n } }', 7],
  ['try { 1 / 0 } catch (e) { return e.code }', 'DSL_RUNTIME_ERROR'],
  [
    'try { let x = {}.nope } catch (PolicyError e) { return 1 } catch (TypeError e) { return 2 }',
    2,
  ],
  ['try { error("no") } catch (e) { return e.message }', 'no'],
  ['let f = x => x + 1\n f(f(1))', 3],
  ['let k = 10\n let add = x => x + k\n k = 20\n add(1)', 21],
])('runtime §11.6: statements do what they say (%#)', async (source, wanted) => {
  expect(json(await resultOf(source))).toEqual(wanted)
})

test('functions call each other, with defaults and names, and see no other’s variables', async () => {
  const functions = {
    'fib(n: int)': 'if n < 2 { return n }\n fib(n - 1) + fib(n - 2)',
    'greet(name: String, mark: String = "!")': 'return "hi " + name + mark',
    'peek()': 'hidden',
  }
  expect(await resultOf('fib(12)', { functions })).toBe(144)
  expect(await resultOf('greet(name: "ada")', { functions })).toBe('hi ada!')
  expect(await resultOf('map(["x"], greet)', { functions })).toEqual(['hi x!'])
  await expect(resultOf('let hidden = 1\n peek()', { functions })).rejects.toThrow(FAULT)
  await expect(resultOf('greet()', { functions })).rejects.toThrow(/needs the parameter "name"/)
  await expect(resultOf('greet("a", "b", "c")', { functions })).rejects.toThrow(FAULT)
  await expect(resultOf('greet(colour: 1)', { functions })).rejects.toThrow(/no parameter "colour"/)
})

test.each([
  '1 / 0',
  '1 % 0',
  '1 + null',
  '"a" - 1',
  '1 < "a"',
  '!1',
  'if 1 { }',
  '{}.nope',
  '[1][1]',
  '[1][-1]',
  '[1][0.5]',
  'null.x',
  'nobody',
  'nobody()',
  'let x = 1\n x()',
  'nobody = 1',
  'len(1)',
  'len()',
  'for x in 5 { }',
  'break',
  'json_parse("{")',
  'split("a", "")',
  'format("{}")',
  'let x = [1]\n x.a = 1',
  'let x = [1]\n x[1] = 1',
  'let x = {}\n x.a.b = 1',
])('runtime §11.8: an error the program may catch, with its line: %s', async (source) => {
  await expect(resultOf(source)).rejects.toMatchObject({
    code: 'DSL_RUNTIME_ERROR',
    context: { line: expect.any(Number) },
  })
  expect(
    await resultOf(`let r = "missed"\n try { ${source} } catch (e) { r = e.code }\n r`).catch(
      (error: Error) => error.message,
    ),
  ).toMatch(/^DSL_RUNTIME_ERROR$|outside of a loop/)
})

test('nothing of the host process is reached through a member, a name or a call', async () => {
  for (const name of [
    '__proto__',
    'constructor',
    'prototype',
    'toString',
    'hasOwnProperty',
    'valueOf',
  ]) {
    for (const source of [
      `{}.${name}`,
      `[].${name}`,
      `"".${name}`,
      `(1).${name}`,
      `Ok(1).${name}`,
      `(x => x).${name}`,
      name,
      `${name}()`,
      `{}["${name}"]`,
    ])
      await expect(resultOf(source), source).rejects.toThrow(FAULT)
    expect(await resultOf(`let r = {}\n r.${name} = 5\n [r.${name}, keys(r)]`)).toEqual([5, [name]])
  }
  expect(await resultOf('json_parse("{\\"__proto__\\":{\\"a\\":1}}").__proto__.a')).toBe(1)
  expect(({} as { a?: number }).a).toBeUndefined()
  const host = new TestHost(() => JSON.parse('{"__proto__":{"b":2}}'))
  await expect(resultOf('call_tool("x").b', { host })).rejects.toThrow(FAULT)
  for (const global of ['process', 'globalThis', 'require', 'eval', 'Function', 'this'])
    await expect(resultOf(`${global}`), global).rejects.toThrow(FAULT)
})

const SECRET_USES = [
  's == s',
  's != "x"',
  's == null',
  '"x" == s',
  '[s] == [s]',
  '{ a: s } == { a: 1 }',
  's in [s]',
  's in "text"',
  '"a" in s',
  's < s',
  '"x" + s',
  's + "x"',
  's + 1',
  '-s',
  '!s',
  's && true',
  's.name',
  's[0]',
  's()',
  'hash(s)',
  'hash([s])',
  'len(s)',
  'upper(s)',
  'lower(s)',
  'format("{}", s)',
  'format(s)',
  'json_stringify(s)',
  'json_stringify({ a: [s] })',
  'json_parse(s)',
  'join([s], "")',
  'join(["a"], s)',
  'split(s, "a")',
  'contains(s, "a")',
  'contains("a", s)',
  'contains([s], "a")',
  'starts_with(s, "a")',
  'ends_with("a", s)',
  'keys(s)',
  'values(s)',
  'push(s, 1)',
  'map(s, x => x)',
  'filter([s], x => x)',
  'error(s)',
  'print(s)',
  'print([s])',
  'log("info", s)',
  'log("info", { a: s })',
  'Ok(s) == Ok(s)',
]

test.each(SECRET_USES)('runtime §11.6: a secret is passed on and nothing else: %s', async (use) => {
  for (const made of ['secret("k")', 'vault://db/password']) {
    const host = new TestHost(({ name }) => (name === 'secret' ? new SecretRef('k') : null))
    const source = `let s = ${made}\n let r = "missed"\n try { let x = ${use} } catch (e) { r = e.code + e.message }\n r`
    const caught = await resultOf(source, { host })
    expect(caught).toMatch(/^DSL_RUNTIME_ERROR/)
    expect(caught).not.toMatch(/password/)
  }
})

test('a secret goes to effects as what it is, and never into the result', async () => {
  const host = new TestHost()
  await resultOf('http_request("https://x", headers: { auth: vault://db/password })', { host })
  const [call] = host.calls
  expect(call?.named['headers']).toEqual({ auth: new SecretRef('vault://db/password') })
  await expect(resultOf('[vault://db/password]')).rejects.toThrow(FAULT)
  await expect(resultOf('match vault://a { "x" => { } }')).rejects.toThrow(FAULT)
})

test('runtime §20.24: limits stop runaway loops, and no program can catch them', async () => {
  const caught = (source: string) => `try { ${source} } catch (e) { return "caught" }`
  for (const source of [
    'while true { }',
    'let a = [1]\n for x in [1, 2, 3] { while true { a = push(a, x) } }',
    'let s = "x"\n while true { s = s + s }',
    'let s = "xxxxxxxx"\n while true { s = upper(s + s) }',
    'let a = [1]\n while true { a = a + a }',
    'let a = [1]\n for i in [1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1] { a = [a, a] }\n json_stringify(a)',
    'let r = {}\n for i in [1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1] { r = { a: r, b: r } }\n log("info", r)',
    'let s = "abcdefgh"\n for i in [1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1] { s = join([s, s, s], s) }',
    'let s = "a,"\n for i in [1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1] { s = s + s }\n split(s, ",")',
    'let f = x => x\n f = x => f(x)\n f(1)',
    'let r = {}\n let i = 0\n while i < 9999 { r["k" + i] = i\n i += 1 }',
  ]) {
    await expect(resultOf(caught(source)), source).rejects.toThrow(LIMIT)
  }
  const functions = {
    'down(n: int)': 'down(n + 1)',
    'grow(s: String)': '(s + "xxxxxxxxxx") + grow(s + s)',
  }
  await expect(resultOf(caught('down(0)'), { functions })).rejects.toThrow(/deeper than 100/)
  await expect(resultOf(caught('grow("x")'), { functions })).rejects.toThrow(LIMIT)
})

test('values that are held while others are worked out count as memory', async () => {
  const functions = {
    'big()': `let s = "0123456789abcdef"\n ${'s = s + s\n'.repeat(16)} return upper(s)`,
    'hold(n: int)': 'if n == 0 { return "" }\n return big() + hold(n - 1)',
    'list(n: int)': 'if n == 0 { return [] }\n return [big(), list(n - 1)]',
  }
  const limits = { memory: 16 * 1024 * 1024, steps: 1e8 }
  expect(await resultOf('len(big())', { functions, limits })).toBe(1_048_576)
  await expect(resultOf('hold(90)', { functions, limits })).rejects.toThrow(LIMIT)
  await expect(resultOf('list(90)', { functions, limits })).rejects.toThrow(LIMIT)
  // What is let go of again does not count.
  const turns = 'let i = 0\n while i < 40 { len(big())\n i += 1 }\n i'
  expect(await resultOf(turns, { functions, limits })).toBe(40)
})

test('runtime §20.24: a program that spins blocks nobody, and ends when it is told to', async () => {
  const controller = new AbortController()
  const spin = 'let f = 0\n while true { let i = 0\n while i < 9999 { i += 1 } }'
  const run = resultOf(spin, { signal: controller.signal, limits: { steps: 1e12 } })
  let turns = 0
  const timer = setInterval(() => {
    turns += 1
    if (turns === 3) controller.abort(new VestryError('CANCELLED'))
  }, 1)
  await expect(run).rejects.toMatchObject({ code: 'CANCELLED' })
  clearInterval(timer)
  const late = resultOf(spin, { limits: { steps: 1e12, wallClockMs: 20 } })
  await expect(late).rejects.toThrow(LIMIT)
  const deaf = new TestHost(() => new Promise(() => undefined))
  await expect(resultOf('now()', { host: deaf, limits: { wallClockMs: 20 } })).rejects.toThrow(
    LIMIT,
  )
})

test('an effect’s error can be caught, the end of the daemon cannot', async () => {
  const failing = (code: 'ACCESS_DENIED' | 'VAULT_LOCKED' | 'SHUTTING_DOWN' | 'AUTH_FAILED') =>
    resultOf('try { call_tool("x:y") } catch (e) { return e }', {
      host: new TestHost(() => {
        throw new VestryError(code, 'no')
      }),
    })
  expect(json(await failing('ACCESS_DENIED'))).toEqual({ code: 'ACCESS_DENIED', message: 'no' })
  for (const code of ['VAULT_LOCKED', 'SHUTTING_DOWN', 'AUTH_FAILED'] as const)
    await expect(failing(code)).rejects.toMatchObject({ code })
  const host = new TestHost(() => Promise.reject(new TypeError('a bug of ours')))
  await expect(resultOf('try { now() } catch (e) { }', { host })).rejects.toThrow(TypeError)
})

test('effects come in one order with one numbering, whatever order records were made in', async () => {
  const body = `let r = call_tool("a:b")
    for k in keys(r) { log("info", k + r[k]) }
    publish("t", { z: 1, a: generate_id() })`
  const answers = [
    { b: '1', a: '2' },
    { a: '2', b: '1' },
  ]
  const seen = []
  for (const answer of answers) {
    const host = new TestHost(({ name }) => (name === 'call_tool' ? answer : 'id'))
    const { steps } = await runAgent(agentOf({ body }), { host })
    seen.push({
      steps,
      calls: host.calls.map(({ name, args, index }) => json({ name, args, index })),
    })
  }
  expect(seen[0]).toEqual(seen[1])
  expect(seen[0]?.calls).toMatchObject([0, 1, 2, 3, 4].map((index) => ({ index })))
})

test('runtime §11.4: an action without parameters of its own runs the calls of the example in order', async () => {
  const host = new TestHost(({ name }) => (name === 'parse_payload' ? { ref: 'main' } : true))
  const agent = agentOf({
    body: 'validate_signature()\nparse_payload()\ntrigger_workflow(payload.ref)',
  })
  await runAgent(agent, { host })
  expect(host.calls.map(({ name }) => name)).toEqual([
    'validate_signature',
    'parse_payload',
    'trigger_workflow',
  ])
  expect(host.calls[2]?.args).toEqual(['main'])
  expect(host.steps.map(({ id, status }) => `${id} ${status}`)).toEqual([
    'run running',
    'run/validate_signature running',
    'run/validate_signature completed',
    'run/parse_payload running',
    'run/parse_payload completed',
    'run/trigger_workflow running',
    'run/trigger_workflow completed',
    'run completed',
  ])
})

test('bodies see attributes as constants, and what the run was started with', async () => {
  const given = { attributes: { model: 'openai:gpt-4o' }, parameters: ['ticket'] }
  const params = { ticket: { size: 3 }, input: 'in', other: 1 }
  expect(await resultOf('model + ticket.size + input', { ...given, given: params })).toBe(
    'openai:gpt-4o3in',
  )
  await expect(resultOf('model = "x"', given)).rejects.toThrow(/cannot be changed/)
  const agent = agentOf({ withBody: 'return Ok(1)' })
  expect((await runAgent(agent)).value).toEqual(new Tagged('Ok', [1]))
  const main = agentOf({ functions: { 'main(a: int, b: int = 2)': 'a + b' } })
  expect((await runAgent(main, { params: { a: 1 } })).value).toBe(3)
  await expect(runAgent(main)).rejects.toThrow(FAULT)
  await expect(runAgent(agentOf({}))).rejects.toThrow(/nothing to run/)
  await expect(runAgent(main, { actions: ['gone'] })).rejects.toThrow(/no action/)
})

test('what a capability is required for is done only where it is declared', async () => {
  const body = 'require capability publish\n require capabilities ["a", "b"]\n 1'
  expect(await resultOf(body, { capabilities: ['publish', 'a', 'b'] })).toBe(1)
  await expect(resultOf(body, { capabilities: ['publish', 'a'] })).rejects.toMatchObject({
    code: 'DSL_POLICY_DENIED',
  })
})

test('deep nesting and deep recursion together end the run, not the process', async () => {
  const deep = `${'('.repeat(100)}n${')'.repeat(100)}`
  const nested = `${'[0, '.repeat(60)}down(n + 1)${']'.repeat(60)}`
  const functions = { 'down(n: int)': `${nested}\n ${deep}` }
  await expect(resultOf('try { down(0) } catch (e) { 1 }', { functions })).rejects.toThrow(LIMIT)
})

test('a part of a value that is nested too deeply is an error, wherever it would go', async () => {
  const deep = 'let a = []\n let i = 0\n while i < 9000 { a = [a]\n i += 1 }\n'
  for (const use of ['json_stringify(a)', 'hash(a)', 'a == [a]', 'log("info", a)'])
    await expect(resultOf(`${deep} ${use}`), use).rejects.toThrow(FAULT)
  await expect(resultOf(`${deep} a`)).rejects.toThrow(FAULT)
})
