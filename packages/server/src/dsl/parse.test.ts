import { readdirSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { compileSource } from './compile.ts'
import { diagnosticLine } from './diagnostic.ts'
import { explain } from './explain.ts'
import { format } from './format.ts'
import { parse } from './parse.ts'

const EXAMPLES = new URL('../../../../examples/dsl/', import.meta.url)
const example = (name: string): string => readFileSync(new URL(name, EXAMPLES), 'utf8')
const SEED = example('webhook_handler.vestry')
const errors = (source: string): readonly string[] =>
  parse(source)
    .diagnostics.filter(({ severity }) => severity === 'error')
    .map(diagnosticLine)

test('runtime §11.8: the handler of the quick start compiles to one trigger and one action of three calls', () => {
  const { success, agent, diagnostics } = compileSource(SEED, { agentName: 'webhook_handler' })
  expect(success).toBe(true)
  expect(diagnostics.filter(({ severity }) => severity === 'error')).toEqual([])
  expect(agent?.definition).toMatchObject({
    name: 'webhook_handler',
    triggers: [{ provider: 'github', events: [{ event: 'push', filter: 'main' }] }],
    actions: [{ statements: ['validate_signature()', 'parse_payload()', 'trigger_workflow()'] }],
  })
})

test('runtime §11.8: without the closing brace of its action the error is at the end of input', () => {
  const broken = SEED.replace('    }\n}\n', '}\n')
  expect(errors(broken.trimStart())).toEqual(['14:1 E_UNEXPECTED_EOF: action body is not closed'])
  expect(errors(SEED.replace(/ {4}\}\n\}/, '    \n}'))).toEqual([
    '16:1 E_UNEXPECTED_EOF: action body is not closed',
  ])
})

const action = (body: string): string => `agent a { action x {\n${body}\n} }`
const strict = (body: string): string => `agent a { with { ${body} } }`

test.each([
  'agent a {}',
  'agent a(x: int, y: List<String> = ["a"]) -> Result<Label, String> {}',
  'metadata { version = "1", tags: ["a", "b"], more: { a: 1 } }',
  'type Id = String',
  'type Ticket = { id: int, body: Map<String, any> }',
  'struct Ticket { id: number, size: size }',
  'function f(x: int) -> int { x + 1 }',
  'behavior b { input { x: number = 1 } output { y: string } steps { y = x\nlog("info", y) } }',
  'schedule s { cron: "0 3 * * *", agent: "a" }',
  'channel c { platform = "slack" channels: ["a"] policy p { allow: any } data_classification { pii: redact } }',
  'memory m { store markdown path "data" retention 90d search { vector_weight 0.7 keyword_weight 0.3 } }',
  'webhook w { path "hooks/x" provider github filter { json_path "$.a" equals "b" } }',
  'agent a { resources { memory: 512MB cpu: 500ms network: allow } security { tier: Tier1 capabilities: ["x"] sandbox: strict } policies { timeout: 30s retry: 3 failure: restart } }',
  'agent a { policy p { allow: ["x", y] if a.b >= 3 deny: http(any) require: { k: 1 } audit: all } }',
  'agent policy { memory: "x" trigger: "y" policy: "z" }',
  strict('let policy = agent; memory.x[1].y(2, name: 3, other = 4); return;'),
  strict('if let Some(y) = x { } else if a in b { 1 } else { 2 }'),
  strict('for x in [1, 2] { break; continue; } while not done { x += 1_000; }'),
  strict('match x { "a" => f(), 1 => { y = 2; } true => {} _ => z, other => other }'),
  strict('try { f(); } catch (e) { } catch (TypeError e) { }'),
  strict('require capability x; require capability ("y"); require capabilities ["z"];'),
  strict('let f: List<int>= x => x * -2; let s = 20.seconds; let t = vault://db/password;'),
  strict('let r = Ticket { id: 1, "b c": { } }; let c = if a { 1 } else if b { 2 } else { 3 };'),
  action('a()\nb()\nc()'),
  action('let x = a +\n b\n .c\n || d\n-e\n(f)\n[g]'),
  action('call(\n 1,\n -2\n)'),
  '# one\n// two\n/* three */ agent a {}',
  '\ufeffagent a {}',
  action('let s = "äöü \\u00e9 \\q\nsecond line"'),
])('runtime §20.23: valid: %s', (source) => {
  expect(errors(source)).toEqual([])
  const { text } = format(source)
  expect(errors(text)).toEqual([])
  expect(shape(text)).toEqual(shape(source))
  expect(format(text).text).toBe(text)
})

test.each([
  ['import x', '1:1 E_SYNTAX'],
  ['macro x {}', '1:1 E_SYNTAX'],
  ['#if DEBUG\nagent a {}', '1:1 E_SYNTAX'],
  ['agent a { policy p with signature {} }', '1:20 E_SYNTAX'],
  [strict('let x = [a = 1];'), '1:29 E_SYNTAX'],
  ['schedule { cron: "x" }', '1:10 E_SYNTAX'],
  ['schedule s { a: ["x"] }', '1:17 E_SYNTAX'],
  ['schedule s { a { } }', '1:16 E_SYNTAX'],
  ['agent my-agent {}', '1:9 E_SYNTAX'],
  ['agent ä {}', '1:7 E_SYNTAX'],
  [strict("let x = 'a';"), '1:26 E_SYNTAX'],
  [strict('let x = a and b;'), '1:28 E_SYNTAX'],
  [strict('let x = a | b;'), '1:28 E_SYNTAX'],
  [strict('let x = 1'), '1:26 E_MISSING_SEMICOLON'],
  [strict('let x = 1e5;'), '1:26 E_SYNTAX'],
  [strict('let x = 1.5s;'), '1:26 E_SYNTAX'],
  [strict('f() = 1;'), '1:22 E_SYNTAX'],
  [action('a() b()'), '2:5 E_SYNTAX'],
  ['agent a { name "x" }', '1:16 E_SYNTAX'],
  ['behavior b { }', '1:10 E_SYNTAX'],
  ['function f(x) {}', '1:13 E_SYNTAX'],
  ['agent a {}\n}', '2:1 E_SYNTAX'],
  ['agent a {\n name: "x', '2:8 E_SYNTAX'],
  ['agent a { /* x', '1:15 E_UNEXPECTED_EOF'],
  ['agent a { trigger t { on_x: ', '1:29 E_UNEXPECTED_EOF'],
  ['𝕏 agent', '1:1 E_SYNTAX'],
])('runtime §20.23: invalid: %s → %s', (source, wanted) => {
  expect(errors(source)[0]).toContain(wanted)
})

test('runtime §11.1: several errors are told in one run', () => {
  const found = errors(
    'agent a {\n let x\n action b {\n  let x 1\n  ok()\n  f(]\n }\n}\nshedule x {}\nagent c { name: = }',
  )
  expect(found.map((line) => line.split(':')[0])).toEqual(['2', '4', '6', '9', '10'])
})

test('runtime §11.7: deep and large sources are refused, fast and slow forms of depth alike', () => {
  for (const deep of [
    `${'('.repeat(300)}1${')'.repeat(300)}`,
    Array(300).fill('1').join('+'),
    `a${'.b'.repeat(300)}`,
    '-'.repeat(300).concat('1'),
    `${'['.repeat(100_000)}`,
  ]) {
    expect(errors(strict(`let x = ${deep};`)).join()).toContain('E_TOO_DEEP')
  }
  expect(errors(strict(`let x = ${Array(200).fill('1').join('+')};`))).toEqual([])
  expect(errors(`agent a {}${' '.repeat(262_144)}`).join()).toContain('E_TOO_LARGE')
})

test('runtime §11.7: at most a hundred errors are kept', () => {
  expect(errors('x\n'.repeat(5000)).length).toBeLessThanOrEqual(100)
  expect(errors('agent '.repeat(5000)).length).toBeLessThanOrEqual(100)
  expect(errors('"\n\\'.repeat(50_000)).length).toBeLessThanOrEqual(100)
})

test('runtime §11.1: what is wrong is shown with its line and a caret, and no control character', () => {
  const [found] = parse('agent a {\n\tname: "世界\u001b[31m" and 1\n}').diagnostics
  const shown =
    found === undefined
      ? ''
      : explain(found, 'agent a {\n\tname: "世界\u001b[31m" and 1\n}', 'x\u001b.vestry')
  expect(shown).not.toContain('\u001b')
  expect(shown.split('\n')[0]).toMatch(/^x\ufffd\.vestry:2:\d+: error E_SYNTAX: /)
  expect(shown).toContain('\n2 |     name: "世界\ufffd[31m" and 1\n')
})

test('every example compiles and is laid out as the formatter does it', () => {
  for (const name of readdirSync(EXAMPLES)) {
    const source = example(name)
    expect([name, compileSource(source).success]).toEqual([name, true])
    const { text } = format(source)
    expect(shape(text)).toEqual(shape(source))
    expect(format(text).text).toBe(text)
  }
})

/** Mutations of valid programs, by a generator with a fixed seed. */
test('runtime §20.23: mutated programs never crash, and each wrong one has a place inside the source', () => {
  let state = 7
  const random = (below: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
  const corpus = readdirSync(EXAMPLES).map(example)
  for (let n = 0; n < 800; n++) {
    const pieces = (corpus[random(corpus.length)] ?? '').split(/\b/)
    for (let change = random(4); change >= 0; change--) {
      const [at, other] = [random(pieces.length), random(pieces.length)]
      if (random(5) === 0) pieces.splice(at, 1 + random(8))
      else if (random(4) === 0) pieces.splice(at, 0, pieces[other] ?? '')
      else if (random(3) === 0) pieces[at] = String.fromCharCode(random(256))
      else if (random(2) === 0) pieces[at] = '{[("\'#;:=.,|&-\n'.charAt(random(15))
      else pieces.length = at
    }
    const source = pieces.join('')
    const { diagnostics } = compileSource(source)
    for (const { span } of diagnostics) {
      expect(span.start.offset).toBeLessThanOrEqual(source.length)
      expect(span.end.offset).toBeGreaterThanOrEqual(span.start.offset)
    }
    const { text } = format(source)
    if (diagnostics.some(({ code }) => code === 'E_SYNTAX' || code === 'E_UNEXPECTED_EOF')) continue
    expect([source, format(text).text]).toEqual([source, text])
    expect(shape(text)).toEqual(shape(source))
  }
})

/** The tree without its places, comments and spelling. */
function shape(source: string): unknown {
  const { program } = parse(source)
  return JSON.parse(
    JSON.stringify(program.items, (key, value) => (key === 'span' ? undefined : value)),
  )
}

test.each([
  ['if x and y { 1 }', '"&&" instead of "and"'],
  ['while x or y { 1 }', '"||" instead of "or"'],
  ['match x and y { _ => 1 }', '"&&" instead of "and"'],
])('runtime §11.4: %s is told what to write instead', (body, hint) => {
  const { diagnostics } = parse(`agent a { action b { ${body} } }`)
  expect(diagnostics[0]?.hint).toContain(hint)
})

test('a word that begins statements keeps its ";", so that the next line stays a statement of its own', () => {
  const { text } = format('agent a { action b { let;\n event = 1\n require; capability(1) } }')
  expect(text).toContain('let;\n        event = 1\n        require;\n')
  expect(format(text).text).toBe(text)
})
