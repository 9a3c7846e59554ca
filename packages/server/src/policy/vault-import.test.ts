import { expect, test } from 'vitest'
import { cedarString } from './cedar/expression.ts'
import { parsePolicies, validate } from './cedar/parse.ts'
import { CEDAR_SCHEMA } from './cedar-schema.ts'
import { parseRuleFile } from './rule-file.ts'
import { vaultRuleToCedar } from './vault-import.ts'

const LIMITS = { maxTtl: 86_400, understood: true, hostsSupplied: () => true }

function imported(text: string): string {
  const [read] = parseRuleFile(text, 'p.yaml', LIMITS).rules
  if (read === undefined) throw new Error('no rule')
  return vaultRuleToCedar(read.rule)
}

const FULL = {
  name: 'full',
  description: 'quotes " and \\ and ünï 🧥',
  principals: ['agent:a-*', 'agent:b'],
  resources: ['x/*', 'agents/{{agent.name}}/**'],
  actions: ['list', 'retrieve', 'use'],
  selectors: { types: ['api_key', 'token'], tags: ['prod'] },
  expires_at: '2027-01-01T00:00:00Z',
  conditions: {
    not_before: '2026-01-01T00:00:00Z',
    not_after: '2026-12-31T00:00:00+01:00',
    hours: [
      { days: ['mon', 'tue', 'wed'], from: '07:00', to: '19:00', tz: 'Europe/Berlin' },
      { from: '22:00', to: '06:00', tz: 'UTC' },
    ],
    transports: ['unix', 'tcp'],
    source_cidrs: ['10.0.0.0/8', 'fd00::/8'],
    require_reason: true,
  },
  require_approval: true,
  hosts: ['api.a.test', '*.b.test:8443'],
  methods: ['GET', 'POST'],
  content_types: ['application/json'],
  allow_agent_auth: true,
  header_types: ['bearer'],
  header_names: ['X-Key'],
  max_request_bytes: 10,
  max_response_bytes: 1000,
  response_headers_allow: ['Set-Cookie'],
  on_reflection: 'block',
  pin_sha256: ['AB'.repeat(32)],
  algorithms: ['ed25519'],
  max_data_bytes: 5,
  max_ttl: 900,
  default_ttl: 300,
  max_lifetime: 3600,
  max_uses: 7,
  renewable: false,
  rate: { per_second: 0.1, burst: 2, per_day: 50 },
}

test('one rule becomes one policy whose conditions stand in the fixed order and are named', async () => {
  const text = imported(JSON.stringify(FULL))
  const [policy] = await parsePolicies(text)
  expect(policy?.id).toBe('vault:full')
  expect(policy?.annotations['clauses']?.split(',')).toEqual(
    'selectors,selectors,period,period,expiry,hours,transport,source,host,cleartext,redirect,method,header,header,content_type,size,size,algorithm'.split(
      ',',
    ),
  )
  expect(text.match(/^when /gm)).toHaveLength(18)
  expect(text).toContain('principal in AgentGlob::"a-*,b"')
  expect(text).toContain(
    'action in [Action::"vault:list", Action::"vault:retrieve", Action::"vault:use", Action::"vault:use:http_header"]',
  )
  expect(text).toContain(
    'context.clock in [Window::"mon-wed 07:00-19:00 Europe/Berlin", Window::"mon-sun 22:00-06:00 UTC"]',
  )
  expect(policy?.annotations).toMatchObject({
    description: FULL.description,
    max_ttl: '900',
    rate: '0.1/s burst 2, 50/d',
    renewable: 'false',
    require_reason: 'true',
    approve: 'operator',
    response_headers: 'set-cookie',
    pin_sha256: 'ab'.repeat(32),
  })
})

test('every import passes strict validation', async () => {
  const rules = [
    FULL,
    { name: 'least', principal: 'agent:a', resources: '*', actions: '*' },
    {
      name: 'deny',
      effect: 'deny',
      principal: 'agent:*',
      resources: '*',
      actions: ['*'],
      hosts: ['a.test'],
      methods: ['GET'],
      max_request_bytes: 1,
      algorithms: ['rsa'],
      header_names: ['x'],
      expires_at: '2020-01-01T00:00:00Z',
    },
    {
      name: 'http',
      principal: 'agent:*',
      resources: '*',
      actions: ['use:http_request'],
      hosts: ['a.test'],
      allow_http: true,
      allow_redirects: true,
    },
  ]
  const text = parseRuleFile(JSON.stringify(rules), 'p.json', LIMITS)
    .rules.map(({ rule }) => vaultRuleToCedar(rule))
    .join('\n')
  expect(await validate(await parsePolicies(text), CEDAR_SCHEMA)).toEqual([])
})

test('a deny keeps every condition but its expiry, and none that only a grant needs', () => {
  const text = imported(
    '{name: d, effect: deny, principal: "agent:*", resources: "*", actions: [use], expires_at: 2020-01-01T00:00:00Z, methods: [GET]}',
  )
  expect(text).toContain('forbid (')
  expect(text).toContain('@clauses("method")')
  expect(text).not.toContain('2020')
})

test('limits of operations the rule does not grant leave no trace', () => {
  const text = imported(
    '{name: s, principal: "agent:*", resources: "*", actions: ["use:sign"], methods: [GET], algorithms: [rsa]}',
  )
  expect(text).toContain('@clauses("algorithm")')
  expect(text).not.toContain('http_request')
})

test('texts are escaped so that Cedar reads back what was written', async () => {
  const nasty = 'a"b\\c\n\t\u0000é🧥\u2028'
  const text = `@id("x") @description(${cedarString(nasty)}) permit (principal, action, resource);`
  const [policy] = await parsePolicies(text)
  expect(policy?.annotations['description']).toBe(nasty)
})
