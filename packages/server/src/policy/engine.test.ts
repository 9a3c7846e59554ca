import { describe, expect, test } from 'vitest'
import { type PolicyContext, PolicyEngine, type PolicyRequest, type PolicyRow } from './engine.ts'
import { readPolicyFiles } from './policy-file.ts'

const NOON = Date.UTC(2026, 2, 2, 12) // a Monday
const LIMITS = { maxTtl: 86_400, understood: true, hostsSupplied: () => true }

async function engineOf(text: string, file = 'rules.yaml'): Promise<PolicyEngine> {
  const engine = new PolicyEngine()
  engine.load(await rowsOf(text, file))
  return engine
}

async function rowsOf(text: string, file = 'rules.yaml'): Promise<PolicyRow[]> {
  const { policies } = await readPolicyFiles([{ name: file, text }], LIMITS)
  return policies.map((policy, position) => ({ ...policy, position }))
}

interface Ask {
  name?: string
  meta?: Record<string, string>
  type?: string | null
  tags?: string[]
}

function ask(
  action: string,
  path: string,
  context: Partial<PolicyContext> = {},
  who: Ask = {},
): PolicyRequest {
  const { name = 'scout', meta = {}, type = null, tags = [] } = who
  return {
    principal: { kind: 'agent', id: `id-${name}`, name, role: 'worker', meta },
    action: `vault:${action}`,
    resource: { kind: 'credential', path, type, tags },
    context: { nowMs: NOON, transport: 'unix', ...context },
  }
}

const at = (url: string): Partial<PolicyContext> => {
  const { protocol, hostname, port, pathname } = new URL(url)
  const scheme = protocol === 'https:' ? 'https' : 'http'
  const target = {
    scheme,
    host: hostname,
    port: Number(port) || (scheme === 'https' ? 443 : 80),
    path: pathname,
  } as const
  return { target, method: 'GET', headerType: 'bearer', requestBytes: 0, credentialHosts: 'absent' }
}

describe('vault §28.27: nothing is allowed that no rule allows', () => {
  test('an empty set denies everything and lists nothing', () => {
    const engine = new PolicyEngine()
    engine.load([])
    for (const action of ['list', 'retrieve', 'store', 'unwrap', 'use:sign', 'use:http_request']) {
      const decision = engine.decide(ask(action, 'openai/key', at('https://a.test/')))
      expect(decision).toMatchObject({ allow: false, permits: [], reasonCode: 'no_matching_rule' })
    }
    const { principal, resource } = ask('list', 'openai/key')
    expect(engine.visible(principal, resource, { nowMs: NOON })).toEqual({
      operations: [],
      hosts: [],
    })
  })

  test('an engine that was never loaded, or failed to load, denies and says so', async () => {
    const engine = new PolicyEngine()
    expect(engine.decide(ask('list', 'a'))).toMatchObject({
      allow: false,
      reasonCode: 'policy_error',
    })
    const [row] = await rowsOf('{name: a, principal: "agent:*", resources: "*", actions: [list]}')
    engine.load([row!])
    expect(engine.decide(ask('list', 'a')).allow).toBe(true)
    const broken = { ...row!, json: row!.json.replace('"PathGlob"', '"PathGlob","oops":1') }
    expect(() => engine.load([{ ...broken, json: '{}' }])).toThrow(
      expect.objectContaining({ code: 'POLICY_INVALID' }),
    )
    expect(engine.decide(ask('list', 'a'))).toMatchObject({
      allow: false,
      reasonCode: 'policy_error',
    })
    engine.load([row!])
    expect(engine.decide(ask('list', 'a')).allow).toBe(true)
  })

  test('the answer is the same whether or not the path could exist', async () => {
    const engine = await engineOf(
      '{name: a, principal: "agent:*", resources: "x/*", actions: [retrieve]}',
    )
    const granted = engine.decide(ask('retrieve', 'x/anything'))
    const missing = [
      engine.decide(ask('retrieve', 'y/real')),
      engine.decide(ask('retrieve', 'y/unreal')),
    ]
    expect(granted.allow).toBe(true)
    expect(missing.map(({ reason, reasonCode }) => ({ reason, reasonCode }))).toEqual([
      { reason: 'no rule allows vault:retrieve here', reasonCode: 'no_matching_rule' },
      { reason: 'no rule allows vault:retrieve here', reasonCode: 'no_matching_rule' },
    ])
  })
})

describe('vault §28.28: the decision procedure', () => {
  test('globs and templates select principals and paths', async () => {
    const engine = await engineOf(`
      - {name: team, principals: ["agent:research-*", "agent:ops-?"], resources: ["openai/*", "x/**"], actions: [retrieve]}
      - {name: own, principals: ["agent:*"], resources: ["agents/{{agent.name}}/**", "t/{{agent.meta.team}}/*"], actions: [retrieve]}
    `)
    const may = (name: string, path: string, meta = {}) =>
      engine.decide(ask('retrieve', path, {}, { name, meta })).allow
    expect(may('research-1', 'openai/key')).toBe(true)
    expect(may('ops-1', 'x')).toBe(true)
    expect(may('ops-12', 'openai/key')).toBe(false)
    expect(may('research-1', 'openai/team/key')).toBe(false)
    expect(may('scout', 'agents/scout/a/b')).toBe(true)
    expect(may('scout', 'agents/other/a')).toBe(false)
    expect(may('scout', 't/red/x', { team: 'red' })).toBe(true)
    expect(may('scout', 't/red/x', { team: '*' })).toBe(false)
    expect(may('scout', 't/*/x', { team: '*' })).toBe(false)
    expect(may('scout', 't/red/x')).toBe(false)
    expect(may('scout', 't/red/x', { team: 'red' })).toBe(true)
  })

  test('selectors match type and every tag', async () => {
    const engine = await engineOf(
      '{name: s, principal: "agent:*", resources: "*", actions: [list], selectors: {type: api_key, tags: [a, b]}}',
    )
    const may = (type: string | null, tags: string[]) =>
      engine.decide(ask('list', 'p', {}, { type, tags })).allow
    expect(may('api_key', ['b', 'a', 'c'])).toBe(true)
    expect(may('api_key', ['a'])).toBe(false)
    expect(may('token', ['a', 'b'])).toBe(false)
    expect(may(null, ['a', 'b'])).toBe(false)
  })

  test('a deny wins over any number of allows, and is named', async () => {
    const engine = await engineOf(`
      - {name: a, principal: "agent:*", resources: "*", actions: [retrieve]}
      - {name: b, principal: "agent:scout", resources: "x/*", actions: [retrieve]}
      - {name: no, effect: deny, principal: "agent:scout", resources: "x/secret", actions: ["*"]}
    `)
    expect(engine.decide(ask('retrieve', 'x/other'))).toMatchObject({
      allow: true,
      permits: ['vault:a', 'vault:b'],
    })
    const denied = engine.decide(ask('retrieve', 'x/secret'))
    expect(denied).toMatchObject({
      allow: false,
      forbids: ['vault:no'],
      reasonCode: 'denied_by_rule',
    })
    expect(denied.reason).toContain('vault:no')
  })

  test('the smallest max_ttl of all kept rules binds, and every rate is charged', async () => {
    const engine = await engineOf(`
      - {name: a, principal: "agent:*", resources: "*", actions: [retrieve], max_ttl: 900, rate: {per_second: 5, burst: 20, per_day: 5000}}
      - {name: b, principal: "agent:*", resources: "x/*", actions: [retrieve], max_lease_ttl: 300, rate: {per_second: 0.5}, max_uses: 3, conditions: {require_reason: true}}
      - {name: c, principal: "agent:*", resources: "y/*", actions: [retrieve], max_ttl: 5}
    `)
    expect(engine.decide(ask('retrieve', 'x/k')).obligations).toMatchObject({
      maxTtl: 300,
      maxUses: 3,
      requireReason: true,
      rates: [
        { policy: 'vault:a', perSecond: 5, burst: 20 },
        { policy: 'vault:a', perDay: 5000 },
        { policy: 'vault:b', perSecond: 0.5, burst: 1 },
      ],
    })
    expect(engine.decide(ask('retrieve', 'z')).obligations).toMatchObject({
      maxTtl: 900,
      requireReason: false,
    })
  })

  test('approval is required as soon as one kept rule asks for it', async () => {
    const engine = await engineOf(`
      - {name: a, principal: "agent:*", resources: "*", actions: [retrieve]}
      - {name: b, principal: "agent:*", resources: "prod/*", actions: [retrieve], require_approval: true}
    `)
    expect(engine.decide(ask('retrieve', 'dev/x')).obligations.approve).toEqual([])
    const { approve } = engine.decide(ask('retrieve', 'prod/x')).obligations
    expect(approve).toEqual([{ policy: 'vault:b', by: 'operator' }])
  })

  test('hours follow the zone across a clock change', async () => {
    const engine = await engineOf(
      '{name: h, principal: "agent:*", resources: "*", actions: [list], conditions: {hours: {days: [sat, sun, mon], from: "07:00", to: "19:00", tz: Europe/Berlin}}}',
    )
    const may = (time: string) => engine.decide(ask('list', 'p', { nowMs: Date.parse(time) }))
    expect(may('2026-03-28T06:00:00Z').allow).toBe(true)
    expect(may('2026-03-28T05:59:00Z')).toMatchObject({
      allow: false,
      reasonCode: 'outside_hours',
      closest: { policy: 'vault:h', clause: 'hours' },
    })
    expect(may('2026-03-29T05:00:00Z').allow).toBe(true)
    expect(may('2026-03-29T16:59:00Z').allow).toBe(true)
    expect(may('2026-03-29T17:00:00Z').allow).toBe(false)
  })

  test('not_before is inside, not_after and expires_at are outside', async () => {
    const engine = await engineOf(`
      {name: p, principal: "agent:*", resources: "*", actions: [list], expires_at: 2026-03-01T00:00:00Z,
       conditions: {not_before: 2026-01-01T00:00:00Z, not_after: 2026-02-01T00:00:00Z}}
    `)
    const code = (time: string) =>
      engine.decide(ask('list', 'p', { nowMs: Date.parse(time) })).reasonCode
    expect(code('2025-12-31T23:59:59.999Z')).toBe('outside_period')
    expect(code('2026-01-01T00:00:00Z')).toBe('allowed')
    expect(code('2026-02-01T00:00:00Z')).toBe('outside_period')
  })

  test('a disabled rule is as good as absent; an expired allow ends, an expired deny stays', async () => {
    const engine = await engineOf(`
      - {name: off, enabled: false, principal: "agent:*", resources: "*", actions: [retrieve]}
      - {name: on, principal: "agent:*", resources: "*", actions: [list, store], expires_at: 2026-03-02T12:00:00Z}
      - {name: no, effect: deny, principal: "agent:*", resources: "*", actions: [store], expires_at: 2020-01-01T00:00:00Z}
      - {name: no-off, enabled: false, effect: deny, principal: "agent:*", resources: "*", actions: [list]}
    `)
    expect(engine.decide(ask('retrieve', 'p')).reasonCode).toBe('no_matching_rule')
    expect(engine.decide(ask('list', 'p', { nowMs: NOON - 1 })).allow).toBe(true)
    expect(engine.decide(ask('list', 'p')).reasonCode).toBe('rule_expired')
    expect(engine.decide(ask('store', 'p', { nowMs: NOON - 1 })).reasonCode).toBe('denied_by_rule')
  })

  test('transport and source address', async () => {
    const engine = await engineOf(`
      - {name: u, principal: "agent:*", resources: "*", actions: [list], conditions: {transports: [unix]}}
      - {name: t, principal: "agent:*", resources: "*", actions: [list], conditions: {source_cidrs: [10.0.0.0/8, "fd00::/8"]}}
    `)
    const may = (context: Partial<PolicyContext>) => engine.decide(ask('list', 'p', context))
    expect(may({ transport: 'unix' }).allow).toBe(true)
    expect(may({ transport: 'tcp', sourceIp: '10.1.2.3' }).allow).toBe(true)
    expect(may({ transport: 'tcp', sourceIp: '::ffff:10.1.2.3' }).allow).toBe(true)
    expect(may({ transport: 'tcp', sourceIp: 'fd00::1%eth0' }).allow).toBe(true)
    expect(may({ transport: 'tcp', sourceIp: '11.1.2.3' })).toMatchObject({
      allow: false,
      reasonCode: 'transport_not_allowed',
    })
    expect(may({ transport: 'tcp', sourceIp: 'garbage' }).allow).toBe(false)
  })
})

describe('vault §28.29: what reveals the secret needs its own grant', () => {
  test.each([
    [['use'], false],
    [['use', 'retrieve'], true],
    [['use:*'], true],
    [['use:http_header'], true],
    [['*'], true],
    [['retrieve'], false],
    [['use:http_request', 'use:sign', 'retrieve'], false],
  ])('actions %j grant http_header: %s', async (actions, expected) => {
    const engine = await engineOf(
      JSON.stringify({ name: 'r', principal: 'agent:*', resources: '*', actions }),
    )
    expect(engine.decide(ask('use:http_header', 'p', { headerType: 'bearer' })).allow).toBe(
      expected,
    )
  })

  test('use in one rule and retrieve in another do not add up to http_header', async () => {
    const engine = await engineOf(`
      - {name: a, principal: "agent:*", resources: "*", actions: [use]}
      - {name: b, principal: "agent:*", resources: "*", actions: [retrieve]}
    `)
    expect(engine.decide(ask('use:http_header', 'p')).allow).toBe(false)
    expect(engine.decide(ask('use:sign', 'p')).allow).toBe(true)
    expect(engine.decide(ask('retrieve', 'p')).allow).toBe(true)
  })

  test('sign_payload is another name for sign', async () => {
    const engine = await engineOf(
      '{name: a, principal: "agent:*", resources: "*", actions: ["use:sign_payload"]}',
    )
    expect(engine.decide(ask('use:sign', 'p')).allow).toBe(true)
    expect(engine.decide(ask('use:verify', 'p')).allow).toBe(false)
  })
})

describe('operation limits', () => {
  const RULE = `
    name: web
    principal: agent:*
    resources: [k]
    actions: [retrieve, "use:http_request", "use:http_header", "use:sign"]
    hosts: [api.a.test, "*.b.test:8443", "c.test/v1/*"]
    methods: [get, POST]
    header_types: [bearer]
    max_request_bytes: 10
    content_types: [application/json]
    algorithms: [ed25519]
    max_data_bytes: 4
  `
  const send = (engine: PolicyEngine, url: string, more: Partial<PolicyContext> = {}) =>
    engine.decide(ask('use:http_request', 'k', { ...at(url), ...more }))

  test('each limit holds for its own operations only', async () => {
    const engine = await engineOf(RULE)
    expect(engine.decide(ask('retrieve', 'k')).allow).toBe(true)
    expect(engine.decide(ask('use:sign', 'k', { algorithm: 'ed25519', dataBytes: 4 })).allow).toBe(
      true,
    )
    const signed = engine.decide(ask('use:sign', 'k', { algorithm: 'rsa', dataBytes: 4 }))
    expect(signed.reasonCode).toBe('algorithm_not_allowed')
    expect(
      engine.decide(ask('use:sign', 'k', { algorithm: 'ed25519', dataBytes: 5 })).reasonCode,
    ).toBe('too_large')
    expect(engine.decide(ask('use:http_header', 'k', { headerType: 'bearer' })).allow).toBe(true)
    expect(engine.decide(ask('use:http_header', 'k', { headerType: 'custom' })).reasonCode).toBe(
      'header_not_allowed',
    )
  })

  test('host, scheme, method, header, size and content type', async () => {
    const engine = await engineOf(RULE)
    expect(send(engine, 'https://api.a.test/x')).toMatchObject({
      allow: true,
      hostPatterns: ['api.a.test'],
    })
    expect(send(engine, 'https://x.b.test:8443/')).toMatchObject({
      allow: true,
      hostPatterns: ['*.b.test:8443'],
    })
    expect(send(engine, 'https://x.b.test/').reasonCode).toBe('host_not_allowed')
    expect(send(engine, 'https://c.test/v1/x').allow).toBe(true)
    expect(send(engine, 'https://c.test/v2/x').reasonCode).toBe('host_not_allowed')
    expect(send(engine, 'https://evil.test/')).toMatchObject({
      reasonCode: 'host_not_allowed',
      closest: { policy: 'vault:web', clause: 'host' },
    })
    expect(send(engine, 'http://api.a.test/').reasonCode).toBe('cleartext_not_allowed')
    expect(send(engine, 'https://api.a.test/', { redirect: true }).reasonCode).toBe(
      'redirect_not_allowed',
    )
    expect(send(engine, 'https://api.a.test/', { method: 'DELETE' }).reasonCode).toBe(
      'method_not_allowed',
    )
    expect(send(engine, 'https://api.a.test/', { headerType: 'basic' }).reasonCode).toBe(
      'header_not_allowed',
    )
    const body = { requestBytes: 10, contentType: 'Application/JSON; charset=utf-8' }
    expect(send(engine, 'https://api.a.test/', body).allow).toBe(true)
    expect(
      send(engine, 'https://api.a.test/', { requestBytes: 11, contentType: 'application/json' })
        .reasonCode,
    ).toBe('too_large')
    expect(
      send(engine, 'https://api.a.test/', { requestBytes: 1, contentType: 'text/plain' })
        .reasonCode,
    ).toBe('content_type_not_allowed')
    expect(send(engine, 'https://api.a.test/', { requestBytes: 1 }).allow).toBe(false)
  })

  test('a destination must be bound by the rule or by the credential, and by both where both speak', async () => {
    const engine = await engineOf(`
      - {name: free, principal: "agent:*", resources: free, actions: ["use:http_request"]}
      - {name: bound, principal: "agent:*", resources: bound, actions: ["use:http_request"], hosts: [a.test]}
    `)
    const go = (path: string, host: string, credentialHosts: 'absent' | 'match' | 'mismatch') =>
      engine.decide(ask('use:http_request', path, { ...at(`https://${host}/`), credentialHosts }))
    expect(go('free', 'a.test', 'absent').reasonCode).toBe('host_not_allowed')
    expect(go('free', 'a.test', 'match').allow).toBe(true)
    expect(go('free', 'a.test', 'mismatch').reasonCode).toBe('host_not_allowed')
    expect(go('bound', 'a.test', 'absent').allow).toBe(true)
    expect(go('bound', 'a.test', 'match').allow).toBe(true)
    expect(go('bound', 'a.test', 'mismatch')).toMatchObject({
      forbids: ['builtin:credential-hosts'],
    })
    expect(go('bound', 'b.test', 'match').reasonCode).toBe('host_not_allowed')
  })

  test('a permit written in Cedar binds destination, scheme and redirects as a rule does', async () => {
    const engine = await engineOf(
      `
      @id("open") permit (principal, action == Action::"vault:use:http_request", resource in PathGlob::"open");
      @id("bound") permit (principal, action == Action::"vault:use:http_request", resource in PathGlob::"bound")
        when { context has host && context.host in HostGlob::"a.test" };
      @id("lax") @allow_http("true") @allow_redirects("true")
      permit (principal, action == Action::"vault:use:http_request", resource in PathGlob::"lax")
        when { context has host && context.host in HostGlob::"a.test" };
      `,
      'p.cedar',
    )
    const go = (path: string, url: string, more = {}) =>
      engine.decide(ask('use:http_request', path, { ...at(url), ...more })).reasonCode
    expect(go('open', 'https://a.test/')).toBe('host_not_allowed')
    expect(go('open', 'https://a.test/', { credentialHosts: 'match' })).toBe('allowed')
    expect(go('bound', 'https://a.test/')).toBe('allowed')
    expect(go('bound', 'http://a.test/')).toBe('cleartext_not_allowed')
    expect(go('bound', 'https://a.test/', { redirect: true })).toBe('redirect_not_allowed')
    expect(go('lax', 'http://a.test/', { redirect: true })).toBe('allowed')
  })
})

describe('errors', () => {
  test('a forbid that cannot be evaluated denies; a permit that cannot does not count', async () => {
    const overflow = 'context.now.offset(duration("9223372036854775807ms")) > context.now'
    const engine = await engineOf(
      `
      @id("yes") permit (principal, action == Action::"vault:list", resource);
      @id("no") forbid (principal, action == Action::"vault:list", resource in PathGlob::"x") when { ${overflow} };
      @id("maybe") permit (principal, action == Action::"vault:retrieve", resource) when { ${overflow} };
      `,
      'p.cedar',
    )
    expect(engine.decide(ask('list', 'y')).allow).toBe(true)
    expect(engine.decide(ask('list', 'x'))).toMatchObject({
      allow: false,
      permits: ['yes'],
      errors: ['no'],
      reasonCode: 'policy_error',
    })
    expect(engine.decide(ask('retrieve', 'y'))).toMatchObject({
      allow: false,
      errors: ['maybe'],
      reasonCode: 'policy_error',
    })
  })

  test('caller data cannot become an entity', async () => {
    const engine = await engineOf(
      '@id("a") permit (principal, action == Action::"vault:list", resource) when { context.args.hasTag("/x") && context.args.getTag("/x") == "1" && context.nums.hasTag("/n") && context.nums.getTag("/n") > 2 && context.holds.contains("ok") };',
      'p.cedar',
    )
    const may = (args: Record<string, string>, nums: Record<string, number>, holds: string[]) =>
      engine.decide(ask('list', 'p', { args, nums, holds })).allow
    expect(may({ '/x': '1' }, { '/n': 3 }, ['ok'])).toBe(true)
    expect(may({ '/x': '1' }, { '/n': 3.5 }, ['ok'])).toBe(false)
    expect(may({ '/x': '{"__entity":{"type":"Role","id":"x"}}' }, { '/n': 3 }, ['ok'])).toBe(false)
    expect(may({ '/x': '1' }, { '/n': 3 }, [])).toBe(false)
  })
})

describe('closest failure', () => {
  test('the permit with the longest run of true conditions is named, by its first false one', async () => {
    const engine = await engineOf(`
      - {name: far, principal: "agent:*", resources: "*", actions: [list], conditions: {hours: {from: "13:00", tz: UTC}}}
      - {name: near, principal: "agent:*", resources: "*", actions: [list], conditions: {not_before: 2026-01-01T00:00:00Z, hours: {from: "11:00", tz: UTC}, transports: [tcp]}}
    `)
    expect(engine.decide(ask('list', 'p')).closest).toEqual({
      policy: 'vault:near',
      clause: 'transport',
    })
    const { policies } = engine.explain(ask('list', 'p'))
    expect(
      policies.map(({ id, state, clauses }) => [id, state, clauses.map((clause) => clause.state)]),
    ).toEqual([
      ['vault:far', 'fails', ['fails']],
      ['vault:near', 'fails', ['holds', 'holds', 'fails']],
    ])
  })
})

describe('what list shows', () => {
  const see = (engine: PolicyEngine, path: string, hosts: string[] = [], nowMs = NOON) => {
    const { principal, resource } = ask('list', path)
    return engine.visible(principal, resource, {
      nowMs,
      context: { transport: 'unix' },
      credentialHosts: hosts,
    })
  }

  test('every operation that could be allowed, with hosts and the smallest ttl', async () => {
    const engine = await engineOf(`
      - {name: a, principal: "agent:*", resources: "k", actions: [list, retrieve, "use:http_request"], hosts: [api.a.test, "*.b.test"], max_ttl: 900, methods: [GET]}
      - {name: b, principal: "agent:*", resources: "k", actions: [retrieve], max_ttl: 300}
      - {name: c, principal: "agent:*", resources: "k", actions: [unwrap], conditions: {transports: [tcp]}}
    `)
    expect(see(engine, 'k')).toEqual({
      operations: ['list', 'retrieve', 'use:http_request'],
      maxTtl: 300,
      hosts: ['*.b.test', 'api.a.test'],
    })
    expect(see(engine, 'k', ['x.b.test', 'other.test']).hosts).toEqual(['x.b.test'])
    expect(see(engine, 'k', ['other.test']).operations).toEqual(['list', 'retrieve'])
    expect(see(engine, 'elsewhere')).toEqual({ operations: [], hosts: [] })
  })

  test('an entry shows up without a list grant, unless list is denied outright', async () => {
    const engine = await engineOf(`
      - {name: a, principal: "agent:*", resources: "**", actions: ["use:sign"]}
      - {name: no, effect: deny, principal: "agent:*", resources: hidden, actions: [list]}
      - {name: partly, effect: deny, principal: "agent:*", resources: partly, actions: ["use:sign"], algorithms: [rsa]}
      - {name: gone, effect: deny, principal: "agent:*", resources: gone, actions: ["use:sign"]}
    `)
    expect(see(engine, 'k').operations).toEqual(['use:sign'])
    expect(see(engine, 'hidden').operations).toEqual([])
    expect(see(engine, 'partly').operations).toEqual(['use:sign'])
    expect(see(engine, 'gone').operations).toEqual([])
  })

  test('a rule without hosts shows http_request only for a credential that lists some', async () => {
    const engine = await engineOf('{name: a, principal: "agent:*", resources: "*", actions: [use]}')
    expect(see(engine, 'k').operations).not.toContain('use:http_request')
    expect(see(engine, 'k', ['a.test'])).toMatchObject({ hosts: ['a.test'] })
    expect(see(engine, 'k', ['a.test']).operations).toContain('use:http_request')
  })

  test('outside its hours a rule shows nothing', async () => {
    const engine = await engineOf(
      '{name: a, principal: "agent:*", resources: "*", actions: [list], conditions: {hours: {from: "07:00", to: "08:00", tz: UTC}}}',
    )
    expect(see(engine, 'k').operations).toEqual([])
    expect(see(engine, 'k', [], Date.UTC(2026, 2, 2, 7)).operations).toEqual(['list'])
  })
})

test('a decision keeps the digest of the set that made it, and a swap takes effect at once', async () => {
  const engine = await engineOf('{name: a, principal: "agent:*", resources: "*", actions: [list]}')
  const before = engine.decide(ask('list', 'p'))
  engine.load([])
  const after = engine.decide(ask('list', 'p'))
  expect([before.allow, after.allow]).toEqual([true, false])
  expect(before.policySet).not.toBe(after.policySet)
  expect(after.policySet).toBe(engine.digest)
  expect(before.id).toMatch(/^dec_[0-9a-f]{24}$/)
})
