import { expect, test } from 'vitest'
import { parseRuleFile } from './rule-file.ts'

const LIMITS = { maxTtl: 86_400, understood: false }
const MINIMAL = { name: 'r', principals: ['agent:a'], resources: ['x'], actions: ['list'] }

function problemsOf(text: string, limits = LIMITS): string[] {
  try {
    parseRuleFile(text, 'p.yaml', limits)
  } catch (error) {
    const { context } = error as { context: { problems: string[] } }
    return context.problems
  }
  return []
}

const withField = (fields: Record<string, unknown>) => JSON.stringify({ ...MINIMAL, ...fields })

test('the example of the format reads, aliases and defaults resolved', () => {
  const { rules, warnings } = parseRuleFile(
    `
version: 1
policies:
  - name: research-openai
    effect: allow                     # allow (default) | deny
    principals: ["agent:research-*"]
    resources: ["openai/*"]
    actions: [list, "use:http_request"]
    hosts: ["api.openai.com"]
    methods: [GET, POST]
    max_ttl: 900
    default_ttl: 300
    rate: { per_second: 5, burst: 20, per_day: 5000 }
    conditions:
      not_before: 2026-01-01T00:00:00Z
      not_after: 2026-12-31T00:00:00Z
      hours: { days: [mon, tue, wed, thu, fri], from: "07:00", to: "19:00", tz: Europe/Berlin }
      transports: [unix]
      require_reason: true
    enabled: true
  - name: scratch-space
    principals: ["agent:*"]
    resources: ["agents/{{agent.name}}/**"]
    actions: [list, retrieve, use]
    hosts: ["*.example.com"]
`,
    'p.yaml',
    LIMITS,
  )
  expect(warnings).toEqual([])
  expect(rules.map(({ rule }) => rule.name)).toEqual(['research-openai', 'scratch-space'])
  expect(rules[0]?.rule).toMatchObject({
    principals: ['research-*'],
    maxTtl: 900,
    notBeforeMs: Date.UTC(2026, 0, 1),
    requireReason: true,
    enabled: true,
  })
  expect(rules[0]?.source).toMatch(/^name: research-openai\neffect: allow {21}# allow/)
  expect(rules[1]?.source.split('\n')).toHaveLength(5)
})

test('a single rule, a bare list, JSON, and the original spellings all read', () => {
  const old =
    '{"name":"o","principal":"agent:a","resources":["x"],"actions":["retrieve"],"max_lease_ttl":60}'
  expect(parseRuleFile(old, 'o.json', LIMITS).rules[0]?.rule.maxTtl).toBe(60)
  expect(parseRuleFile(`[${old}]`, 'o.json', LIMITS).rules).toHaveLength(1)
  expect(parseRuleFile(`{"policies":[${old}]}`, 'o.json', LIMITS).rules).toHaveLength(1)
})

test('a complaint names file, line, column, rule and field', () => {
  const text =
    'policies:\n  - name: a\n    principals: ["agent:a"]\n    resources: [x]\n    actions: [lst]\n'
  expect(problemsOf(text)[0]).toMatch(
    /^p\.yaml:5:15: rule "a": actions\[0\]: "lst" is not an action; use one of list/,
  )
})

test('an unknown field is refused, naming the nearest known one', () => {
  expect(problemsOf(withField({ max_tll: 5 }))).toEqual([
    expect.stringMatching(
      /^p\.yaml:1:\d+: rule "r": max_tll: is not a known field; meant "max_ttl"\?$/,
    ),
  ])
  expect(problemsOf(withField({ zzz: 1 }))[0]).toMatch(/zzz: is not a known field$/)
  expect(problemsOf(withField({ conditions: { transport: ['unix'] } }))[0]).toContain(
    'meant "transports"?',
  )
  expect(
    problemsOf(withField({ conditions: { hours: { form: '07:00', tz: 'UTC' } } }))[0],
  ).toContain('conditions.hours.form: is not a known field; meant "from"?')
  expect(problemsOf('{version: 1, policies: [], rules: []}')[0]).toContain('unknown field "rules"')
})

test('all problems are reported at once', () => {
  const text = JSON.stringify([
    { ...MINIMAL, max_ttl: 999_999 },
    { ...MINIMAL, actions: ['fly'] },
  ])
  expect(problemsOf(text)).toHaveLength(2)
})

test.each([
  [{ principals: [] }, 'principals: must not be empty'],
  [{ resources: [] }, 'resources: must not be empty'],
  [{ actions: [] }, 'actions: must not be empty'],
  [{ principals: undefined }, 'principals: is missing'],
  [{ principals: ['operator:x'] }, 'operators are never principals'],
  [{ principals: ['agent:'] }, 'must be agent:'],
  [{ principals: ['agent:a/b'] }, 'can match no agent name'],
  [{ principal: 'agent:b' }, 'another name for principals'],
  [{ name: '' }, 'name: must be'],
  [{ name: 'a b' }, 'name: must be'],
  [{ resources: ['a//b'] }, 'empty segment'],
  [{ resources: ['{{agent.nme}}/x'] }, 'unknown template'],
  [{ actions: ['*'] }, '--i-understand'],
  [{ actions: ['use:fly'] }, 'is not an action'],
  [{ actions: ['use:http_request'] }, 'hosts: is missing'],
  [{ actions: ['use:http_request'], hosts: [] }, 'hosts: must not be empty'],
  [{ actions: ['use:http_request'], hosts: ['*'] }, 'any host'],
  [{ actions: ['use:http_request'], hosts: ['https://a.test'] }, 'without a scheme'],
  [{ actions: ['use:http_request'], hosts: ['a.test'], methods: ['TRACE'] }, 'is not one of GET'],
  [{ max_ttl: 86_401 }, 'above the global maximum of 86400'],
  [{ max_ttl: 60, max_lease_ttl: 60 }, 'another name for max_ttl'],
  [{ max_ttl: 60, default_ttl: 61 }, 'default_ttl: is above the maximum of 60'],
  [{ max_ttl: 0 }, 'max_ttl'],
  [{ max_ttl: '60' }, 'max_ttl'],
  [{ max_ttl: true }, 'max_ttl'],
  [{ rate: {} }, 'needs per_second or per_day'],
  [{ rate: { burst: 5, per_day: 2 } }, 'rate.burst: needs per_second'],
  [
    { conditions: { not_before: '2026-02-01T00:00:00Z', not_after: '2026-01-01T00:00:00Z' } },
    'never hold',
  ],
  [{ conditions: { not_before: '2026-02-30T00:00:00Z' } }, 'is not a time'],
  [{ conditions: { hours: { from: '07:00', to: '07:00', tz: 'UTC' } } }, 'never opens'],
  [{ conditions: { hours: { from: '07:00', to: '25:00', tz: 'UTC' } } }, 'not a time of day'],
  [
    { conditions: { hours: { from: '07:00', to: '08:00', tz: 'Europe/Atlantis' } } },
    'Unknown time zone',
  ],
  [{ conditions: { hours: { from: '07:00', to: '08:00' } } }, 'must name a time zone'],
  [{ conditions: { hours: { days: ['monday'], tz: 'UTC' } } }, 'conditions.hours'],
  [{ conditions: { source_cidrs: ['10.0.0.0/33'] } }, 'is not an address range'],
  [{ conditions: { transports: ['pigeon'] } }, 'conditions.transports[0]'],
  [{ pin_sha256: ['xyz'] }, '64 hex digits'],
  [{ header_names: ['a b'] }, 'is not a header name'],
  [{ effect: 'deny', max_ttl: 5 }, 'no meaning on a deny rule'],
  [{ effect: 'deny', conditions: { require_reason: true } }, 'no meaning on a deny rule'],
  [{ effect: 'deny', allow_http: true }, 'no meaning on a deny rule'],
])('%j is refused: %s', (fields, message) => {
  expect(problemsOf(withField(fields))).toEqual(
    expect.arrayContaining([expect.stringContaining(message)]),
  )
})

test('what is legal and probably not meant is a warning', () => {
  const warn = (fields: Record<string, unknown>, limits = LIMITS) =>
    parseRuleFile(withField(fields), 'p.yaml', limits).warnings.join('\n')
  const supplied = { ...LIMITS, hostsSupplied: () => true }
  expect(warn({ actions: ['use:http_request'] }, supplied)).toContain(
    'only hosts that a credential itself allows',
  )
  expect(warn({ actions: ['use'] })).toContain('works only where a credential lists hosts')
  expect(warn({ hosts: ['a.test'] })).toContain('no action of this rule sends a request')
  expect(warn({ effect: 'deny', expires_at: '2026-01-01T00:00:00Z' })).toContain('stays in force')
  expect(warn({})).toBe('')
})

test('everything is granted only to an operator who confirmed it', () => {
  const sure = { ...LIMITS, understood: true }
  expect(problemsOf(withField({ actions: ['*'], hosts: ['*'] }), sure)).toEqual([])
  expect(problemsOf(withField({ effect: 'deny', actions: ['*'] }))).toEqual([])
})

test.each([
  ['name: a\nname: b\n', 'p.yaml:2:1'],
  ['{ name: [', 'p.yaml:'],
  ['', 'holds no rules'],
  ['42', 'holds no rules'],
  ['version: 2\npolicies: []\n', 'version 2 is not known'],
  ['policies: {}', 'must be a list'],
  ['- just text', 'rule 1'],
])('%j is refused: %s', (text, message) => {
  expect(problemsOf(text).join('\n')).toContain(message)
})

test('two rules of one name in one file are refused', () => {
  expect(problemsOf(JSON.stringify([MINIMAL, MINIMAL]))[0]).toContain('used twice')
})

test('aliases that multiply without end are refused', () => {
  const bomb = [
    'a: &a [x,x,x,x,x,x,x,x,x]',
    ...['b', 'c', 'd', 'e', 'f'].map((name, i) => {
      const before = 'abcdef'[i]
      return `${name}: &${name} [${Array(9).fill(`*${before}`).join(',')}]`
    }),
  ].join('\n')
  expect(() => parseRuleFile(bomb, 'p.yaml', LIMITS)).toThrow(
    expect.objectContaining({ code: 'POLICY_INVALID' }),
  )
})
