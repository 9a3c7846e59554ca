import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { expect, test } from 'vitest'
import {
  type Decision,
  PolicyEngine,
  type PolicyRequest,
} from '../packages/server/src/policy/engine.ts'
import {
  AGENT,
  ask as call,
  targetOf as fetchTarget,
  rowsOf,
} from '../packages/server/src/policy/gateway.test-kit.ts'
import { readPolicyFiles } from '../packages/server/src/policy/policy-file.ts'

const DIRECTORY = resolve(import.meta.dirname, '../examples/policies')
/** As a daemon with default settings has them; nobody confirmed anything wide. */
const LIMITS = { maxTtl: 86_400, understood: false }
/** A Wednesday, noon in UTC: 13:00 in London, 14:00 in Berlin, 08:00 in New York. */
const NOON = Date.parse('2026-05-06T12:00:00Z')
const NIGHT = Date.parse('2026-05-06T22:30:00Z')

async function engineOf(...names: string[]): Promise<PolicyEngine> {
  const files = names.map((name) => ({ name, text: readFileSync(join(DIRECTORY, name), 'utf8') }))
  const { policies, gateway, warnings } = await readPolicyFiles(files, LIMITS)
  expect(warnings).toEqual([])
  // An agent that a gateway policy names is looked up where it is stored.
  const bound = gateway.map(({ agent, role, ...rest }) => ({
    ...rest,
    ...(agent === undefined ? { role: role ?? '' } : { agentId: AGENT }),
  })) as Parameters<typeof rowsOf>[0]
  const rows = policies.map((policy, position) => ({ ...policy, position }))
  const engine = new PolicyEngine()
  engine.load([...rows, ...rowsOf(bound)])
  return engine
}

interface Asked {
  agent: string
  role?: string
  meta?: Record<string, string>
  action: string
  path: string
  tags?: string[]
  url?: string
  context?: Partial<PolicyRequest['context']>
}

function ask(engine: PolicyEngine, asked: Asked): Decision {
  const { agent, role = 'agent', meta = {}, action, path, tags = [], url, context } = asked
  const target = url === undefined ? undefined : targetOf(new URL(url))
  return engine.decide({
    principal: { kind: 'agent', id: `id-of-${agent}`, name: agent, role, meta },
    action: `vault:${action}`,
    resource: { kind: 'credential', path, type: null, tags },
    context: {
      nowMs: NOON,
      transport: 'unix',
      ...(target !== undefined && {
        target,
        method: 'GET',
        headerType: 'bearer',
        headerName: 'authorization',
        requestBytes: 0,
      }),
      ...context,
    },
  })
}

function targetOf({ protocol, hostname, port, pathname }: URL) {
  const scheme = protocol === 'https:' ? ('https' as const) : ('http' as const)
  const standard = scheme === 'https' ? 443 : 80
  return { scheme, host: hostname, port: port === '' ? standard : Number(port), path: pathname }
}

const answer = ({ allow, reasonCode }: Decision) => (allow ? 'allowed' : reasonCode)

test('every example file is accepted, alone and together with all others', async () => {
  const names = readdirSync(DIRECTORY).filter((name) => name !== 'README.md')
  expect(names.length).toBeGreaterThanOrEqual(6)
  for (const name of names) expect((await engineOf(name)).size, name).toBeGreaterThan(0)
  const engine = await engineOf(...names)
  expect(engine.size).toBeGreaterThan(10)
  const readme = readFileSync(join(DIRECTORY, 'README.md'), 'utf8')
  for (const name of names) expect(readme).toContain(`](${name})`)
})

test('01: the one agent calls the one API, and may not read the key or go elsewhere', async () => {
  const engine = await engineOf('01-one-agent-one-api.yaml')
  const call = { agent: 'scout', action: 'use:http_request', path: 'openai/api_key' }
  expect(answer(ask(engine, { ...call, url: 'https://api.openai.com/v1/models' }))).toBe('allowed')
  expect(answer(ask(engine, { ...call, url: 'https://evil.example/' }))).toBe('host_not_allowed')
  expect(answer(ask(engine, { ...call, url: 'http://api.openai.com/v1/models' }))).toBe(
    'cleartext_not_allowed',
  )
  expect(answer(ask(engine, { ...call, agent: 'other', url: 'https://api.openai.com/' }))).toBe(
    'no_matching_rule',
  )
  expect(answer(ask(engine, { ...call, action: 'retrieve' }))).toBe('no_matching_rule')
  expect(answer(ask(engine, { ...call, action: 'use:http_header' }))).toBe('no_matching_rule')
})

test('02: within the hours with a budget, outside of them not at all', async () => {
  const engine = await engineOf('02-office-hours-and-budget.yaml')
  const call = {
    agent: 'research-7',
    action: 'use:http_request',
    path: 'anthropic/key',
    url: 'https://api.anthropic.com/v1/messages',
  }
  const decision = ask(engine, call)
  expect(answer(decision)).toBe('allowed')
  expect(decision.obligations.rates).toEqual([
    { policy: 'vault:research-models', perSecond: 5, burst: 20 },
    { policy: 'vault:research-models', perDay: 5000 },
  ])
  expect(answer(ask(engine, { ...call, context: { nowMs: NIGHT } }))).toBe('outside_hours')
  expect(answer(ask(engine, { ...call, context: { requestBytes: 1_000_001 } }))).toBe('too_large')
  expect(answer(ask(engine, { ...call, context: { method: 'DELETE' } }))).toBe('method_not_allowed')
})

test('03: an agent has its own corner, and its team’s, and no one else’s', async () => {
  const engine = await engineOf('03-scratch-space.yaml')
  const alpha = { agent: 'scout', meta: { team: 'alpha' } }
  const own = ask(engine, { ...alpha, action: 'retrieve', path: 'agents/scout/tmp/token' })
  expect(answer(own)).toBe('allowed')
  expect(own.obligations.maxTtl).toBe(900)
  expect(ask(engine, { ...alpha, action: 'store', path: 'agents/scout/new' }).allow).toBe(true)
  expect(ask(engine, { ...alpha, action: 'retrieve', path: 'agents/other/x' }).allow).toBe(false)
  const shared = { ...alpha, action: 'retrieve', path: 'teams/alpha/shared/db' }
  expect(ask(engine, shared).obligations).toMatchObject({ maxTtl: 300, renewable: false })
  expect(ask(engine, { ...shared, action: 'store' }).allow).toBe(false)
  expect(ask(engine, { ...shared, meta: { team: 'beta' } }).allow).toBe(false)
  expect(ask(engine, { ...shared, meta: {} }).allow).toBe(false)
  expect(ask(engine, { ...shared, meta: { team: '*' } }).allow).toBe(false)
})

test('04: reading is free, changing asks a person, and never at night', async () => {
  const engine = await engineOf('04-production-needs-a-person.yaml')
  const call = {
    agent: 'deploy-bot',
    action: 'use:http_request',
    path: 'kubernetes/prod/token',
    url: 'https://k8s.prod.example.com:6443/api/v1/pods',
  }
  const read = ask(engine, call)
  expect(answer(read)).toBe('allowed')
  expect(read.obligations.approve).toEqual([])
  const change = { method: 'PATCH', requestBytes: 10, contentType: 'application/merge-patch+json' }
  const write = ask(engine, { ...call, context: change })
  expect(answer(write)).toBe('allowed')
  expect(write.obligations).toMatchObject({
    approve: [{ policy: 'vault:deploy-writes', by: 'operator' }],
    requireReason: true,
  })
  expect(answer(ask(engine, { ...call, context: { ...change, nowMs: NIGHT } }))).toBe(
    'denied_by_rule',
  )
  expect(answer(ask(engine, { ...call, context: { nowMs: NIGHT } }))).toBe('allowed')
  expect(answer(ask(engine, { ...call, context: { ...change, contentType: 'text/plain' } }))).toBe(
    'content_type_not_allowed',
  )
})

test('05: keys sign and encrypt, and nobody reads them', async () => {
  const engine = await engineOf('05-signing-and-encryption.yaml')
  const sign = {
    agent: 'billing-eu',
    action: 'use:sign',
    path: 'webhooks/stripe',
    context: { algorithm: 'hmac-sha256', dataBytes: 100 },
  }
  expect(answer(ask(engine, sign))).toBe('allowed')
  expect(answer(ask(engine, { ...sign, action: 'retrieve' }))).toBe('no_matching_rule')
  expect(
    answer(ask(engine, { ...sign, context: { algorithm: 'hmac-sha1', dataBytes: 100 } })),
  ).toBe('algorithm_not_allowed')
  const data = { path: 'customers/key', context: { algorithm: 'aes-256-gcm', dataBytes: 100 } }
  expect(ask(engine, { ...data, agent: 'importer', action: 'use:encrypt' }).allow).toBe(true)
  expect(ask(engine, { ...data, agent: 'importer', action: 'use:decrypt' }).allow).toBe(false)
  const decrypt = ask(engine, { ...data, agent: 'support', action: 'use:decrypt' })
  expect(decrypt.obligations).toMatchObject({ requireReason: true, rates: [{ perDay: 200 }] })
})

test('06: the internal service, over the socket, with its pin', async () => {
  const engine = await engineOf('06-internal-service.yaml')
  const call = {
    agent: 'inventory',
    action: 'use:http_request',
    path: 'erp/token',
    url: 'https://erp.corp.internal:8443/items',
  }
  const decision = ask(engine, call)
  expect(answer(decision)).toBe('allowed')
  expect(decision.obligations).toMatchObject({ onReflection: 'block', maxResponseBytes: 500_000 })
  expect(decision.obligations.pinSha256).toHaveLength(1)
  expect(answer(ask(engine, { ...call, context: { transport: 'tcp' } }))).toBe(
    'transport_not_allowed',
  )
  expect(answer(ask(engine, { ...call, context: { headerType: 'custom' } }))).toBe(
    'header_not_allowed',
  )
})

test('07: denials win over a rule that allows', async () => {
  const allowing = {
    name: 'wide.yaml',
    text: `
      name: wide
      principals: ["agent:ops"]
      resources: ["**"]
      actions: [list, retrieve, "use:*"]
      hosts: ["api.example.com", "pastebin.com"]`,
  }
  const denials = {
    name: '07.yaml',
    text: readFileSync(join(DIRECTORY, '07-denials.yaml'), 'utf8'),
  }
  const { policies } = await readPolicyFiles([allowing, denials], LIMITS)
  const engine = new PolicyEngine()
  engine.load(policies.map((policy, position) => ({ ...policy, position })))
  const ops = { agent: 'ops', action: 'retrieve' }
  expect(answer(ask(engine, { ...ops, path: 'db/password' }))).toBe('allowed')
  expect(answer(ask(engine, { ...ops, path: 'db/root' }))).toBe('denied_by_rule')
  expect(answer(ask(engine, { ...ops, path: 'break-glass/a/b' }))).toBe('denied_by_rule')
  expect(answer(ask(engine, { ...ops, path: 'db/password', tags: ['prod'] }))).toBe(
    'denied_by_rule',
  )
  const send = { ...ops, action: 'use:http_request', path: 'db/password', tags: ['prod'] }
  expect(answer(ask(engine, { ...send, url: 'https://api.example.com/' }))).toBe('allowed')
  expect(answer(ask(engine, { ...send, url: 'https://pastebin.com/' }))).toBe('denied_by_rule')
})

test('08: roles, tags and metadata', async () => {
  const engine = await engineOf('08-roles-and-tags.cedar')
  const acme = { meta: { employer: 'acme' } }
  const sign = {
    ...acme,
    agent: 'builder',
    role: 'ci',
    action: 'use:sign',
    path: 'signing/release/key',
    tags: ['release'],
    context: { algorithm: 'ed25519', dataBytes: 1000 },
  }
  const decision = ask(engine, sign)
  expect(answer(decision)).toBe('allowed')
  expect(decision.obligations.maxUses).toBe(500)
  expect(ask(engine, { ...sign, tags: [] })).toMatchObject({
    allow: false,
    closest: { policy: 'ci-signs-releases', clause: 'tagged' },
  })
  expect(ask(engine, { ...sign, context: { dataBytes: 65_537 } }).closest?.clause).toBe('small')
  expect(ask(engine, { ...sign, role: 'agent' }).reasonCode).toBe('no_matching_rule')
  const query = {
    ...acme,
    agent: 'ann',
    role: 'analyst',
    action: 'use:http_request',
    path: 'warehouse/token',
    url: 'https://warehouse.example.com/query/7',
  }
  expect(ask(engine, query).obligations).toMatchObject({
    approve: [{ policy: 'analysts-query-the-warehouse', by: 'operator' }],
    maxResponseBytes: 2_000_000,
  })
  expect(ask(engine, { ...query, url: 'https://warehouse.example.com/admin' }).allow).toBe(false)
  expect(answer(ask(engine, { ...query, tags: ['prod'] }))).toBe('allowed')
  expect(answer(ask(engine, { ...query, tags: ['prod'], meta: {} }))).toBe('outsider')
})

test('09: researchers search and read the sites that are listed, and say what for', async () => {
  const engine = await engineOf('09-web-research.json')
  const intent = 'market_research'
  const who = { id: 'other', role: 'researcher' }
  const searched = engine.decide(call('serpapi:search', { intent }, who))
  expect(answer(searched)).toBe('allowed')
  expect(searched.obligations).toMatchObject({
    redact: ['set-cookie', 'api_key'],
    truncate: ['snippet:200'],
    pii: ['email', 'phone'],
    block: ['BEGIN PRIVATE KEY'],
    maxResponseBytes: 500_000,
  })
  expect(searched.obligations.quotas).toMatchObject([{ limit: 100, sliding: true }])
  const refusal = (context: Parameters<typeof call>[1], to = 'serpapi:search') =>
    answer(engine.decide(call(to, context, who)))
  expect(refusal({})).toBe('INTENT_REQUIRED')
  expect(refusal({ intent: 'gossip' })).toBe('INTENT_MISMATCH')
  expect(refusal({ intent, requestBytes: 10_001 })).toBe('REQUEST_TOO_LARGE')
  const read = (url: string) => refusal({ intent, target: fetchTarget(url) }, 'http_fetch:get')
  expect(read('https://de.wikipedia.org/wiki/Brot')).toBe('allowed')
  expect(read('https://notexample.com/')).toBe('DOMAIN_NOT_ALLOWED')
  expect(read('https://private.example.com/')).toBe('DOMAIN_BLOCKED')
  expect(engine.decide(call('gmail_send:send', { intent }, who)).allow).toBe(false)
  expect(engine.decide(call('serpapi:search', { intent }, { ...who, role: 'x' })).allow).toBe(false)
})

test('10: the one agent writes to customers, by day', async () => {
  const engine = await engineOf('10-mail-and-contacts.json')
  const to = { recipients: ['customer.example'] }
  const mail = (context: Parameters<typeof call>[1]) =>
    engine.decide(call('gmail_send:send', { nowMs: NOON, ...context }))
  const sent = mail(to)
  expect(answer(sent)).toBe('allowed')
  expect(sent.obligations.quotas).toMatchObject([{ limit: 10, sliding: true }])
  expect(answer(mail({ recipients: ['customer.example', 'rival.example'] }))).toBe('GUARD')
  expect(answer(mail({ ...to, nums: () => ({ '/subject#length': 101 }) }))).toBe('GUARD')
  expect(answer(mail({ ...to, nowMs: NIGHT }))).toBe('SCHEDULE')
  expect(answer(engine.decide(call('crm:find_contact', { nowMs: NOON })))).toBe('allowed')
  expect(engine.decide(call('crm:add_note', { nowMs: NOON })).allow).toBe(false)
  expect(engine.decide(call('gmail_send:send', to, { id: 'x', role: 'y' })).allow).toBe(false)
})
