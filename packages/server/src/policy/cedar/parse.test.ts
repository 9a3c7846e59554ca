import { expect, test } from 'vitest'
import { CEDAR_VERSION, loadCedar, parsePolicies, policyText, validate } from './parse.ts'

const SCHEMA = `
entity Role;
entity Agent in [Role] { level: Long, note?: String };
entity Credential;
action "read" appliesTo { principal: Agent, resource: Credential, context: { n: Long } };
`

test('the stored JSON form names the version of Cedar that is installed', () => {
  expect(loadCedar().getCedarVersion()).toBe(CEDAR_VERSION)
})

test('policies keep their order, names, text, notes and places', async () => {
  const text = [
    '// permit é😀 first',
    '  @id("first") // why',
    '  permit(principal, action, resource)',
    '  when { true // ; forbid',
    '  };',
    '@id("second") @rate("5/s") @quiet forbid(principal, action, resource);   // tail',
  ].join('\r\n')
  const policies = await parsePolicies(text)
  expect(policies.map(({ id, start }) => [id, start])).toEqual([
    ['first', { line: 2, column: 3 }],
    ['second', { line: 6, column: 1 }],
  ])
  expect(policies[0]?.text).toContain('// ; forbid')
  expect({ ...policies[1]?.annotations }).toEqual({ id: 'second', rate: '5/s', quiet: null })
  expect(policies[1]?.json).toMatchObject({ effect: 'forbid' })
})

test('order holds past the tenth policy, even when all of them look alike', async () => {
  const names = Array.from({ length: 120 }, (_, index) => `p${index}`)
  const text = names.map((id) => `@id("${id}") permit(principal, action, resource);`).join('\n')
  expect((await parsePolicies(text)).map(({ id }) => id)).toEqual(names)
})

test('a text without policies holds none, with or without a byte order mark', async () => {
  expect(await parsePolicies('')).toEqual([])
  expect(await parsePolicies('\ufeff// nothing\n')).toEqual([])
})

const REFUSED: [string, string, object][] = [
  [
    'a syntax error',
    'permit(principal, action, resource)\nwhen { "é😀" == };',
    { line: 2, column: 16 },
  ],
  ['a policy without a name', '\n permit(principal, action, resource);', { line: 2, column: 2 }],
  ['an empty name', '@id("") permit(principal, action, resource);', { line: 1 }],
  ['a name without a value', '@id permit(principal, action, resource);', { line: 1 }],
  [
    'a name used twice',
    '@id("a") permit(principal, action, resource);\n@id("a") permit(principal, action, resource);',
    { line: 2, column: 1 },
  ],
  ['a template', '@id("a") permit(principal == ?principal, action, resource);', {}],
  ['a duplicate annotation', '@id("a") @id("b") permit(principal, action, resource);', { line: 1 }],
  [
    'an integer that would be rounded',
    '\n@id("a") permit(principal, action, resource) when { context.n == 9007199254740993 };',
    { line: 2, column: 1, policy: 'a' },
  ],
  ['a lone surrogate', '@id("\ud800") permit(principal, action, resource);', {}],
  [
    'nesting that overflows the parser',
    `@id("a") permit(principal, action, resource) when { ${'('.repeat(50_000)}true };`,
    {},
  ],
  [
    'a chain that overflows the parser',
    `@id("a") permit(principal, action, resource) when { ${'true || '.repeat(50_000)}true };`,
    {},
  ],
]

test.for(REFUSED)('refuses %s, and the next text still parses', async ([, text, problem]) => {
  const error = await parsePolicies(text).catch((thrown: unknown) => thrown)
  expect(error).toMatchObject({ code: 'POLICY_INVALID' })
  if (Object.keys(problem).length > 0) {
    expect(error).toMatchObject({ context: { problems: [expect.objectContaining(problem)] } })
  }
  expect(await parsePolicies('@id("ok") permit(principal, action, resource);')).toHaveLength(1)
})

test('messages are plain: no prefix of the package, the place in front', async () => {
  await expect(parsePolicies('@id("a") permit(principal, action);')).rejects.toThrow(
    /^line 1, column 34: this policy is missing the `resource` variable/,
  )
})

test('strict validation passes what the schema covers', async () => {
  const policies = await parsePolicies(
    '@id("a") permit(principal in Role::"r", action == Action::"read", resource) when { context.n > 1 };',
  )
  expect(await validate(policies, SCHEMA)).toEqual([])
})

test('strict validation names policy, line, column and a way out', async () => {
  const policies = await parsePolicies(
    '\n// head\n  @id("a") permit(principal is Agent, action, resource)\nwhen { principal.note == "é" };',
  )
  const error = await validate(policies, SCHEMA).catch((thrown: unknown) => thrown)
  expect(error).toMatchObject({
    code: 'POLICY_INVALID',
    message: expect.stringMatching(/^policy "a", line 4, column 8: unable to guarantee safety/),
    hint: expect.stringContaining('has note'),
    context: { problems: [{ policy: 'a', line: 4, column: 8 }] },
  })
})

test('every fault of every policy is reported', async () => {
  const policies = await parsePolicies(
    ['nope', 'nada']
      .map(
        (name) =>
          `@id("${name}") permit(principal is Agent, action, resource) when { principal.${name} };`,
      )
      .join('\n'),
  )
  const error = await validate(policies, SCHEMA).catch((thrown: unknown) => thrown)
  expect(error).toMatchObject({
    context: {
      problems: [
        { policy: 'nope', line: 1 },
        { policy: 'nada', line: 2 },
      ],
    },
  })
})

test('a policy that can never apply is a warning', async () => {
  const policies = await parsePolicies(
    '@id("a") permit(principal, action, resource) when { 1 > 2 && false };',
  )
  const warnings = await validate(policies, SCHEMA)
  expect(warnings).toMatchObject([{ policy: 'a', message: expect.stringContaining('impossible') }])
})

test('a broken schema is not the fault of the policies', async () => {
  await expect(validate([], 'entity Agent { level: Lon };')).rejects.toMatchObject({
    code: 'CONFIG_INVALID',
    message: expect.stringContaining('line 1, column 23'),
  })
})

test('a policy built as JSON gets the text that parses back to it', async () => {
  const [policy] = await parsePolicies(
    '@id("a") forbid(principal, action, resource is Credential) unless { context.n in [1] };',
  )
  const [again] = await parsePolicies(await policyText(policy?.json))
  expect(again?.json).toEqual(policy?.json)
  await expect(policyText({ effect: 'permit' })).rejects.toMatchObject({ code: 'POLICY_INVALID' })
})
