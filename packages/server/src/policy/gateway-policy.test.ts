import { describe, expect, test } from 'vitest'
import type { Decision, PolicyContext, PolicyEngine } from './engine.ts'
import {
  AGENT,
  ask,
  engineOf,
  type Given,
  gatewayId,
  NOON,
  rowsOf,
  targetOf,
} from './gateway.test-kit.ts'
import { DEFAULT_ROLE_POLICIES } from './gateway-templates.ts'
import { TOOL_RANKS } from './tool-ranks.ts'

const SEARCH = 'serpapi:search'
const GET = 'http_fetch:get'

/** The answer to a call in one word. */
function answer(engine: PolicyEngine, call: string, context: Partial<PolicyContext> = {}): string {
  return word(engine.decide(ask(call, context)))
}

function word({ allow, reasonCode }: Decision): string {
  return allow ? 'allowed' : reasonCode
}

const searches = (more: Record<string, unknown>): Given => ({ spec: { scopes: [SEARCH], ...more } })
const fetches = (guards: Record<string, unknown>): Given => ({
  spec: { scopes: ['http_fetch:*'], guards },
})
const to = (url: string) => ({ target: targetOf(url) })

describe('gateway §19.16: who may call', () => {
  test('without any policy every call is denied', () => {
    expect(answer(engineOf(), SEARCH)).toBe('SCOPE_NOT_ALLOWED')
    expect(engineOf().decide(ask(SEARCH)).rank).toBe(TOOL_RANKS.unpermitted)
  })

  test('a policy of the role, and one of the agent, each grant what they list', () => {
    const engine = engineOf(searches({}), { agentId: AGENT, spec: { scopes: ['openai:chat'] } })
    expect(answer(engine, SEARCH)).toBe('allowed')
    expect(answer(engine, 'openai:chat')).toBe('allowed')
    expect(answer(engine, 'openai:complete')).toBe('SCOPE_NOT_ALLOWED')
    const other = { id: '00000000-0000-4000-8000-00000000000b' }
    expect(word(engine.decide(ask('openai:chat', {}, other)))).toBe('SCOPE_NOT_ALLOWED')
    expect(word(engine.decide(ask(SEARCH, {}, { role: 'writer' })))).toBe('SCOPE_NOT_ALLOWED')
  })

  test('an operator, and an agent of another role with that id as its name, are not bound', () => {
    const engine = engineOf({ agentId: AGENT, spec: { scopes: ['*'] } })
    const operator = {
      kind: 'operator',
      id: AGENT,
      name: 'ada',
      role: 'scraper',
      meta: {},
    } as const
    expect(engine.decide({ ...ask(SEARCH), principal: operator }).allow).toBe(false)
  })

  test('a policy that is not active says nothing', () => {
    expect(answer(engineOf({ ...searches({}), active: false }), SEARCH)).toBe('SCOPE_NOT_ALLOWED')
  })

  test('what the agent’s own policy says wins over its role, whichever is older', () => {
    const own: Given = {
      agentId: AGENT,
      n: 1,
      spec: { scopes: [SEARCH], guards: { maxRequestSize: 100 } },
    }
    const role = { ...searches({ guards: { maxRequestSize: 5 } }), n: 2 }
    for (const given of [
      [own, role],
      [role, own],
    ]) {
      const engine = engineOf(...given)
      expect(answer(engine, SEARCH, { requestBytes: 100 })).toBe('allowed')
      const refused = engine.decide(ask(SEARCH, { requestBytes: 101 }))
      expect(refused.forbids).toEqual([`${gatewayId(1)}/guard/max-request-size`])
    }
  })

  test('a refusal says which policy it came from, and what of it', () => {
    const engine = engineOf(
      searches({ intent: 'a' }),
      searches({ guards: { blockedDomains: ['bad.test'] } }),
    )
    const refused = engine.decide(ask(SEARCH, { intent: 'b' }))
    expect(refused).toMatchObject({
      forbids: [`${gatewayId(1)}/intent`],
      permits: [`${gatewayId(1)}/scope/${SEARCH}`],
      reason: 'the intent is not one that is allowed',
      rank: TOOL_RANKS.intentMismatch,
    })
  })

  test.each([
    ['*', [SEARCH, 'any_tool:any'], []],
    ['serpapi:*', [SEARCH, 'serpapi:other'], ['openai:chat']],
    [SEARCH, [SEARCH], ['serpapi:other', 'serpapi:searches']],
  ])('scope %s', (scope, allowed, denied) => {
    const engine = engineOf({ spec: { scopes: [scope] } })
    for (const call of allowed) expect(answer(engine, call), call).toBe('allowed')
    for (const call of denied) expect(answer(engine, call), call).toBe('SCOPE_NOT_ALLOWED')
  })

  test('a tool whose name holds a colon is none that a scope names', () => {
    const engine = engineOf({ spec: { scopes: [SEARCH] } })
    const request = ask(SEARCH)
    const resource = { ...request.resource, tool: 'serpapi:search', action: '' }
    expect(engine.decide({ ...request, resource } as typeof request).allow).toBe(false)
  })
})

describe('intent', () => {
  test.each([
    ['a', undefined, 'allowed'],
    ['a', 'a', 'allowed'],
    ['a', 'b', 'INTENT_MISMATCH'],
    [['a', 'b'], 'b', 'allowed'],
    [['a', 'b'], 'c', 'INTENT_MISMATCH'],
    [undefined, 'anything', 'allowed'],
  ])('gateway §19.16: policy %j, call %j: %s', (intent, given, expected) => {
    const engine = engineOf(searches(intent === undefined ? {} : { intent }))
    expect(answer(engine, SEARCH, given === undefined ? {} : { intent: given })).toBe(expected)
  })

  test('where an intent is required, a call without one is denied', () => {
    const engine = engineOf(searches({ intentRequired: true }))
    expect(answer(engine, SEARCH)).toBe('INTENT_REQUIRED')
    expect(answer(engine, SEARCH, { intent: 'x' })).toBe('allowed')
  })

  test('gateway §19.16: two intents that differ are denied whatever the policy lists', () => {
    const engine = engineOf(searches({}))
    expect(answer(engine, SEARCH, { holds: ['intent_conflict'] })).toBe('INTENT_MISMATCH')
  })
})

test('request size: at the limit yes, above it no', () => {
  const engine = engineOf(searches({ guards: { maxRequestSize: 10 } }))
  expect(answer(engine, SEARCH, { requestBytes: 10 })).toBe('allowed')
  expect(answer(engine, SEARCH, { requestBytes: 11 })).toBe('REQUEST_TOO_LARGE')
})

describe('gateway §19.17: domains', () => {
  test.each([
    ['https://example.com/', 'allowed'],
    ['https://www.example.com/x?q=1', 'allowed'],
    ['http://a.b.example.com/', 'allowed'],
    ['https://EXAMPLE.com/', 'allowed'],
    ['https://example.com./', 'allowed'],
    ['https://xn--bcher-kva.de/', 'allowed'],
    ['https://www.BÜCHER.de/', 'allowed'],
    ['https://93.184.216.34/', 'allowed'],
    ['https://notexample.com/', 'DOMAIN_NOT_ALLOWED'],
    ['https://example.com.evil.test/', 'DOMAIN_NOT_ALLOWED'],
    ['https://example.com:8443/', 'DOMAIN_NOT_ALLOWED'],
    ['https://ported.test:8443/', 'allowed'],
    ['https://ported.test/', 'DOMAIN_NOT_ALLOWED'],
    ['https://bad.example.com/', 'DOMAIN_BLOCKED'],
    ['https://x.bad.example.com./', 'DOMAIN_BLOCKED'],
    ['https://10.1.1.1/', 'DOMAIN_BLOCKED'],
  ])('%s: %s', (url, expected) => {
    const engine = engineOf(
      fetches({
        allowedDomains: ['Example.com.', 'bücher.de', 'ported.test:8443', '93.184.216.34'],
        blockedDomains: ['BAD.example.com', '10.1.1.1'],
      }),
    )
    expect(answer(engine, GET, to(url))).toBe(expected)
    expect(answer(engine, 'http_fetch:head', to(url)), 'head').toBe(expected)
  })

  test('what is blocked is blocked on every port, also on one that is allowed', () => {
    const engine = engineOf(
      fetches({ allowedDomains: ['a.test', 'a.test:8080'], blockedDomains: ['a.test'] }),
    )
    for (const url of ['https://a.test/', 'http://a.test:8080/']) {
      expect(answer(engine, GET, to(url))).toBe('DOMAIN_BLOCKED')
    }
  })

  test('a hop to a blocked host is denied like a first request', () => {
    const engine = engineOf(fetches({ allowedDomains: ['a.test'], blockedDomains: ['b.a.test'] }))
    const hop = { ...to('https://b.a.test/'), redirect: true }
    expect(answer(engine, GET, hop)).toBe('DOMAIN_BLOCKED')
  })

  test('other tools are not asked about domains', () => {
    const engine = engineOf({ spec: { scopes: ['*'], guards: { allowedDomains: ['a.test'] } } })
    expect(answer(engine, SEARCH)).toBe('allowed')
    expect(answer(engine, GET)).toBe('DOMAIN_NOT_ALLOWED')
  })

  test('the tool’s own list narrows the general one', () => {
    const engine = engineOf(
      fetches({ allowedDomains: ['a.test', 'b.test'], http_fetch: { allowedDomains: ['b.test'] } }),
    )
    expect(answer(engine, GET, to('https://a.test/'))).toBe('DOMAIN_NOT_ALLOWED')
    expect(answer(engine, GET, to('https://b.test/'))).toBe('allowed')
  })

  test.each([['http_fetch:get'], ['http_fetch:*'], ['*']])(
    'scope %s without any list of domains fetches only what the operator’s list names',
    (scope) => {
      const engine = engineOf({ spec: { scopes: [scope] } })
      const target = to('https://a.test/')
      expect(answer(engine, GET, target)).toBe('DOMAIN_NOT_ALLOWED')
      expect(answer(engine, GET, { ...target, holds: ['domain_listed'] })).toBe('allowed')
    },
  )

  test('an empty list of domains allows none, whatever else is listed', () => {
    const engine = engineOf(fetches({ allowedDomains: [] }))
    const context = { ...to('https://a.test/'), holds: ['domain_listed'] }
    expect(answer(engine, GET, context)).toBe('DOMAIN_NOT_ALLOWED')
  })

  test('what is off the operator’s list is denied though the policy lists it', () => {
    const engine = engineOf(fetches({ allowedDomains: ['a.test'] }))
    const context = { ...to('https://a.test/'), holds: ['domain_off_list'] }
    expect(answer(engine, GET, context)).toBe('DOMAIN_NOT_ALLOWED')
  })
})

const berlin = (text: string) => ({ nowMs: Date.parse(text) })

describe('gateway §19.18: time', () => {
  const window = (timeWindow: Record<string, unknown>) =>
    engineOf(searches({ guards: { timeWindow } }))

  test.each([
    ['2026-03-02T06:00:00+01:00', 'allowed'],
    ['2026-03-02T05:59:59+01:00', 'TIME_WINDOW'],
    ['2026-03-02T22:00:59+01:00', 'allowed'],
    ['2026-03-02T22:01:00+01:00', 'TIME_WINDOW'],
    // The clocks went forward on the 29th: six o'clock is an hour earlier for the world.
    ['2026-03-29T04:00:00Z', 'allowed'],
    ['2026-03-28T04:00:00Z', 'TIME_WINDOW'],
    ['2026-03-28T05:00:00Z', 'allowed'],
  ])('06:00–22:00 in Berlin, both minutes included, at %s: %s', (at, expected) => {
    const engine = window({ start: '06:00', end: '22:00', timezone: 'Europe/Berlin' })
    expect(answer(engine, SEARCH, berlin(at))).toBe(expected)
  })

  test.each([
    ['2026-03-02T22:00:00Z', 'allowed'],
    ['2026-03-03T00:00:00Z', 'allowed'],
    ['2026-03-03T06:00:30Z', 'allowed'],
    ['2026-03-03T06:01:00Z', 'TIME_WINDOW'],
    ['2026-03-03T21:59:59Z', 'TIME_WINDOW'],
  ])('22:00–06:00 runs past midnight, at %s: %s', (at, expected) => {
    expect(answer(window({ start: '22:00', end: '06:00' }), SEARCH, berlin(at))).toBe(expected)
  })

  test('one end alone is enough', () => {
    expect(answer(window({ start: '13:00' }), SEARCH)).toBe('TIME_WINDOW')
    expect(answer(window({ start: '12:00' }), SEARCH)).toBe('allowed')
    expect(answer(window({ end: '11:59' }), SEARCH)).toBe('TIME_WINDOW')
    expect(answer(window({ end: '12:00' }), SEARCH)).toBe('allowed')
  })

  test('a window that names no zone is read in the zone it was written under', () => {
    const given = searches({ guards: { timeWindow: { start: '12:30' } } })
    expect(answer(engineOf(given), SEARCH)).toBe('TIME_WINDOW')
    expect(answer(engineOf({ ...given, timezone: 'Europe/Berlin' }), SEARCH)).toBe('allowed')
  })

  const schedule = (more: Record<string, unknown>) => engineOf(searches({ schedule: more }))

  test.each([
    [{ allowedDays: [1] }, '2026-03-02T00:00:00Z', 'allowed'],
    [{ allowedDays: [1] }, '2026-03-03T00:00:00Z', 'SCHEDULE'],
    [{ allowedDays: [0] }, '2026-03-01T12:00:00Z', 'allowed'],
    [{ allowedDays: [1], timezone: 'Asia/Tokyo' }, '2026-03-01T15:00:00Z', 'allowed'],
    [{ allowedDays: [1], timezone: 'Asia/Tokyo' }, '2026-03-02T15:00:00Z', 'SCHEDULE'],
    [{ allowedHours: { start: 9, end: 17 } }, '2026-03-02T17:59:59Z', 'allowed'],
    [{ allowedHours: { start: 9, end: 17 } }, '2026-03-02T18:00:00Z', 'SCHEDULE'],
    [{ allowedHours: { start: 9, end: 17 } }, '2026-03-02T08:59:59Z', 'SCHEDULE'],
    [{ allowedHours: { start: 0, end: 8 } }, '2026-03-02T00:00:00Z', 'allowed'],
    [{ allowedHours: { start: 0, end: 8 } }, '2026-03-02T09:00:00Z', 'SCHEDULE'],
    [{ allowedHours: { start: 22, end: 5 } }, '2026-03-02T05:59:00Z', 'allowed'],
    [{ allowedHours: { start: 22, end: 5 } }, '2026-03-02T12:00:00Z', 'SCHEDULE'],
    // Past midnight a window belongs to the day on which it began.
    [{ allowedDays: [1], allowedHours: { start: 22, end: 5 } }, '2026-03-03T04:00:00Z', 'allowed'],
    [{ allowedDays: [1], allowedHours: { start: 22, end: 5 } }, '2026-03-02T04:00:00Z', 'SCHEDULE'],
    [
      { timezone: 'America/New_York', allowedHours: { start: 9, end: 17 } },
      '2026-03-06T14:00:00Z',
      'allowed',
    ],
    // New York's clocks go forward on 8 March 2026.
    [
      { timezone: 'America/New_York', allowedHours: { start: 9, end: 17 } },
      '2026-03-09T13:00:00Z',
      'allowed',
    ],
    [
      { timezone: 'America/New_York', allowedHours: { start: 9, end: 17 } },
      '2026-03-06T13:00:00Z',
      'SCHEDULE',
    ],
    [{ enabled: false, allowedDays: [1] }, '2026-03-03T00:00:00Z', 'allowed'],
  ])('schedule %j at %s: %s', (more, at, expected) => {
    expect(answer(schedule(more), SEARCH, berlin(at))).toBe(expected)
  })
})

describe('guards of single tools', () => {
  const mail = (gmail_send: Record<string, unknown>) =>
    engineOf({ spec: { scopes: ['gmail_send:*'], guards: { gmail_send } } })

  test('every recipient must be of an allowed domain, exactly', () => {
    const engine = mail({ allowedDomains: ['Example.com', 'bücher.de'] })
    const of = (...recipients: string[]) => answer(engine, 'gmail_send:send', { recipients })
    expect(of('example.com', 'xn--bcher-kva.de')).toBe('allowed')
    expect(of('example.com', 'evil.test')).toBe('GUARD')
    expect(of('sub.example.com')).toBe('GUARD')
    expect(answer(engine, 'gmail_send:send')).toBe('GUARD')
    expect(answer(engine, 'gmail_send:profile')).toBe('allowed')
  })

  test('subject and body have their own limits', () => {
    const engine = mail({ subjectMaxLen: 5, bodyMaxLen: 9 })
    const long = (nums: Record<string, number>) =>
      answer(engine, 'gmail_send:send', { nums: () => nums })
    expect(long({ '/subject#length': 5, '/body#length': 9 })).toBe('allowed')
    expect(long({ '/subject#length': 6, '/body#length': 9 })).toBe('GUARD')
    expect(long({ '/subject#length': 5, '/body#length': 10 })).toBe('GUARD')
  })

  test.each([['*'], ['http_fetch:*']])(
    'what bounds one tool leaves the others alone, scope %s',
    (scope) => {
      const engine = engineOf({
        spec: {
          scopes: [scope, 'openai:chat'],
          guards: {
            maxResponseSize: 100,
            allowedDomains: ['a.test'],
            http_fetch: { maxResponseBytes: 7, timeoutMs: 5_000 },
            openai: { maxTokens: 500 },
          },
        },
      })
      const fetched = engine.decide(ask(GET, to('https://a.test/'))).obligations
      expect(fetched).toMatchObject({ maxResponseBytes: 7, caps: { timeout: 5_000 } })
      const chatted = engine.decide(ask('openai:chat')).obligations
      expect(chatted).toMatchObject({ maxResponseBytes: 100, caps: { max_tokens: 500 } })
    },
  )
})

test('filters become obligations, whatever characters they hold', () => {
  const engine = engineOf(
    searches({
      guards: { piiFilters: ['email', 'phone'] },
      responseFilters: {
        redactFields: ['a,b', ' 100% ', '%2C'],
        truncateFields: [{ field: 'x:y,z', maxLength: 5 }],
        blockPatterns: ['re:^\\s{1,3}"', 'ünïcode'],
      },
    }),
  )
  expect(engine.decide(ask(SEARCH)).obligations).toMatchObject({
    pii: ['email', 'phone'],
    redact: ['a,b', ' 100% ', '%2C'],
    truncate: ['x:y,z:5'],
    block: ['re:^\\s{1,3}"', 'ünïcode'],
  })
})

describe('quotas', () => {
  test('each keeps the id of the policy it came from, of equal ones the smaller counts', () => {
    const quota = { action: SEARCH, limit: 5, window: '1h' }
    const engine = engineOf(
      searches({ quotas: [quota, { ...quota, limit: 3 }, { ...quota, resetStrategy: 'fixed' }] }),
      { agentId: AGENT, spec: { scopes: ['openai:chat'], quotas: [{ ...quota, window: '7d' }] } },
    )
    const { obligations } = engine.decide(ask(SEARCH))
    expect(obligations.quotas).toEqual([
      {
        policy: `${gatewayId(1)}/quota/${SEARCH}/1h/sliding`,
        limit: 3,
        windowSeconds: 3_600,
        sliding: true,
      },
      {
        policy: `${gatewayId(1)}/quota/${SEARCH}/1h/fixed`,
        limit: 5,
        windowSeconds: 3_600,
        sliding: false,
      },
      {
        policy: `${gatewayId(2)}/quota/${SEARCH}/7d/sliding`,
        limit: 5,
        windowSeconds: 604_800,
        sliding: true,
      },
    ])
    expect(engine.decide(ask('openai:chat')).obligations.quotas).toEqual([])
  })

  test('a quota grants nothing', () => {
    const quotas = [{ action: 'openai:chat', limit: 5, window: '1h' }]
    expect(answer(engineOf(searches({ quotas })), 'openai:chat')).toBe('SCOPE_NOT_ALLOWED')
  })
})

describe('the order of answers', () => {
  const engine = engineOf(
    searches({
      intent: 'a',
      guards: { maxRequestSize: 5, timeWindow: { start: '13:00' } },
      schedule: { allowedDays: [0] },
    }),
  )
  const all = {
    tokenTools: ['openai'],
    tokenPermissions: ['openai:chat'],
    intent: 'b',
    requestBytes: 6,
  }

  test('the lowest rank is told: token, scope, intent, size, time, schedule', () => {
    expect(answer(engine, SEARCH, all)).toBe('TOKEN_SCOPE')
    expect(answer(engine, SEARCH, { ...all, tokenTools: ['serpapi'] })).toBe('TOKEN_PERMISSION')
    const free = { intent: 'b', requestBytes: 6 }
    expect(answer(engine, 'serpapi:other', free)).toBe('SCOPE_NOT_ALLOWED')
    expect(answer(engine, 'serpapi:other', all)).toBe('TOKEN_SCOPE')
    expect(answer(engine, SEARCH, free)).toBe('INTENT_MISMATCH')
    expect(answer(engine, SEARCH, { requestBytes: 6 })).toBe('REQUEST_TOO_LARGE')
    expect(answer(engine, SEARCH, { requestBytes: 5 })).toBe('TIME_WINDOW')
    const late = Date.UTC(2026, 2, 2, 14)
    const decision = engine.decide(ask(SEARCH, { requestBytes: 1, nowMs: late }))
    expect(decision).toMatchObject({ reasonCode: 'SCHEDULE', rank: TOOL_RANKS.schedule })
  })

  test('where the wire gives "no permit" no place, it comes last', () => {
    const { unpermittedRank: _, ...request } = ask('serpapi:other', { intent: 'b' })
    expect(engine.decide(request).reasonCode).toBe('INTENT_MISMATCH')
    expect(engineOf().decide(request)).toMatchObject({ rank: Infinity })
  })
})

describe('gateway §19.11: what a token covers', () => {
  const engine = engineOf({ spec: { scopes: ['*'] } })
  const token = (tools: string[], permissions: string[], call = SEARCH) =>
    answer(engine, call, { tokenTools: tools, tokenPermissions: permissions })

  test.each([
    [['serpapi'], ['*'], 'allowed'],
    [['*'], ['read'], 'allowed'],
    [['*'], ['write'], 'allowed'],
    [['openai', 'serpapi'], ['search'], 'allowed'],
    [['serpapi'], ['serpapi:*'], 'allowed'],
    [['openai'], ['*'], 'TOKEN_SCOPE'],
    [[], ['*'], 'TOKEN_SCOPE'],
    [['SERPAPI'], ['*'], 'TOKEN_SCOPE'],
    [['serpapi'], [], 'TOKEN_PERMISSION'],
    [['serpapi'], ['openai:*', 'chat', 'nonsense'], 'TOKEN_PERMISSION'],
  ])('tools %j, permissions %j: %s', (tools, permissions, expected) => {
    expect(token(tools, permissions)).toBe(expected)
  })

  test('a token for reading does not send mail; one for writing also reads', () => {
    expect(token(['*'], ['read'], 'gmail_send:send')).toBe('TOKEN_PERMISSION')
    expect(token(['*'], ['write'], 'gmail_send:send')).toBe('allowed')
    expect(token(['*'], ['write'], 'gmail_send:profile')).toBe('allowed')
  })

  test('an API key whose scope leaves tools out cannot call any', () => {
    expect(answer(engine, SEARCH, { scope: ['vault:*'] })).toBe('outside_scope')
    expect(answer(engine, SEARCH, { scope: ['tool:call'] })).toBe('allowed')
    expect(answer(engine, SEARCH, { scope: ['tool:*'] })).toBe('allowed')
  })
})

describe('the default role policies', () => {
  const engine = engineOf(
    ...DEFAULT_ROLE_POLICIES.map(({ role, name, spec }) => ({ role, name, spec })),
  )
  const may = (role: string, call: string, context: Partial<PolicyContext> = {}) =>
    word(engine.decide(ask(call, { nowMs: Date.UTC(2026, 2, 1, 3), ...context }, { role })))

  test.each([
    ['scraper', SEARCH, { intent: 'lead_discovery' }, 'allowed'],
    ['scraper', GET, to('https://en.wikipedia.org/'), 'allowed'],
    ['scraper', GET, to('https://example.com/'), 'DOMAIN_NOT_ALLOWED'],
    ['scraper', 'gmail_send:send', {}, 'SCOPE_NOT_ALLOWED'],
    ['enricher', 'openai:chat', { intent: 'enrichment_summary' }, 'allowed'],
    ['enricher', GET, to('https://example.com/'), 'allowed'],
    ['engager', 'gmail_send:send', { intent: 'email_engagement' }, 'allowed'],
    ['email', 'gmail_send:send', { intent: 'outreach_send' }, 'allowed'],
    ['email', 'gmail_send:send', { intent: 'spam' }, 'INTENT_MISMATCH'],
    ['writer', SEARCH, {}, 'SCOPE_NOT_ALLOWED'],
  ])('on a Sunday night %s calls %s with %j: %s', (role, call, context, expected) => {
    expect(may(role, call, context)).toBe(expected)
  })
})

describe('beside the gateway policies', () => {
  test('they count as policies of the set, and of those they bind', () => {
    const engine = engineOf(searches({}), { agentId: AGENT, spec: { scopes: ['*'] } })
    expect(engine.size).toBe(2)
    expect(engine.policiesOf(ask(SEARCH).principal)).toEqual([gatewayId(1), gatewayId(2)])
    const { policies } = engine.explain(ask(SEARCH, { intent: 'x' }))
    expect(policies.map(({ id }) => id)).toContain(`${gatewayId(1)}/scope/${SEARCH}`)
  })

  test('the digest of the set changes with a spec, and with nothing else', () => {
    const digest = (given: Given) => engineOf(given).digest
    expect(digest(searches({}))).toBe(digest(searches({})))
    expect(digest(searches({}))).not.toBe(digest(searches({ intent: 'x' })))
  })

  test('a row that cannot be read closes the engine', () => {
    const [row] = rowsOf([searches({})])
    const engine = engineOf(searches({}))
    const json = row?.json.replace('"scopes"', '"scope"') ?? ''
    expect(() => engine.load([{ ...row, json } as NonNullable<typeof row>])).toThrow(
      expect.objectContaining({ code: 'POLICY_INVALID' }),
    )
    expect(engine.decide(ask(SEARCH))).toMatchObject({ allow: false, reasonCode: 'policy_error' })
  })

  test('they neither permit nor forbid anything in the vault', () => {
    const engine = engineOf({ spec: { scopes: ['*'], intentRequired: true } })
    const resource = { kind: 'credential', path: 'a', type: null, tags: [] } as const
    const request = { ...ask(SEARCH), action: 'vault:list', resource, context: { nowMs: NOON } }
    expect(engine.decide(request)).toMatchObject({ permits: [], forbids: [] })
  })
})
