import { domainToASCII } from 'node:url'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Entity } from './cedar/entity.ts'
import { entityRefs } from './cedar/entity-refs.ts'
import { policyJson, policyText } from './cedar/expression.ts'
import { Oracle, type Plain } from './cedar/oracle.test-kit.ts'
import { parsePolicies, validate } from './cedar/parse.ts'
import { CedarSet, EntityUid, type Value } from './cedar/value.ts'
import { CEDAR_SCHEMA } from './cedar-schema.ts'
import type { PolicyContext } from './engine.ts'
import { ask, engineOf, gatewayId, NOON, targetOf } from './gateway.test-kit.ts'
import { gatewayHash, gatewayPolicies } from './gateway-import.ts'
import { mergeGateway } from './gateway-merge.ts'
import { acceptGateway, GatewaySpec } from './gateway-spec.ts'
import { GATEWAY_TEMPLATES } from './gateway-templates.ts'
import { CLOCK, contextRecord, HOST, NUMS } from './request-context.ts'
import { actionEntity } from './vocabulary.ts'

const CALLS = ['serpapi:search', 'http_fetch:get', 'openai:chat', 'gmail_send:send', 'other:x']
const SCOPES = [...CALLS, 'http_fetch:*', 'openai:*', '*']
const DOMAINS = ['a.test', 'b.a.test', 'BÜCHER.de.', '10.0.0.1', 'a.test:8080']
const URLS = [
  'https://a.test/',
  'http://x.b.a.test/y',
  'https://nota.test/',
  'http://a.test:8080/',
  'https://www.xn--bcher-kva.de./',
  'https://10.0.0.1/',
]
const ZONES = ['UTC', 'Europe/Berlin', 'America/New_York', 'Asia/Kathmandu']

const some = <T>(members: readonly T[]) => fc.subarray([...members])
const maybe = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined })
const bytes = fc.integer({ min: 0, max: 20 })
const hour = fc.integer({ min: 0, max: 23 })
const clock = fc
  .tuple(hour, fc.integer({ min: 0, max: 59 }))
  .map((parts) => parts.map((part) => String(part).padStart(2, '0')).join(':'))
const zone = fc.constantFrom(...ZONES)
const noise = fc.string({ minLength: 1, maxLength: 6 }).filter((text) => {
  return text.trim() !== '' && !/\p{Cc}/u.test(text) && text.isWellFormed()
})

/** Absent members are left out: an explicit undefined is no JSON. */
const plain = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T

const specs = fc
  .record({
    scopes: fc.subarray(SCOPES, { minLength: 1 }),
    intent: maybe(fc.oneof(fc.constant('a'), fc.subarray(['a', 'b', 'ü"\\'], { minLength: 1 }))),
    intentRequired: maybe(fc.boolean()),
    guards: maybe(
      fc.record({
        maxRequestSize: maybe(bytes),
        maxResponseSize: maybe(bytes),
        allowedDomains: maybe(some(DOMAINS)),
        blockedDomains: maybe(some(DOMAINS)),
        piiFilters: maybe(some(['email', 'ssn'])),
        timeWindow: maybe(
          fc.record({ start: maybe(clock), end: maybe(clock), timezone: maybe(zone) }),
        ),
        http_fetch: maybe(
          fc.record({ allowedDomains: maybe(some(DOMAINS)), timeoutMs: maybe(fc.constant(5)) }),
        ),
        openai: maybe(fc.record({ maxTokens: maybe(fc.constant(9)) })),
        gmail_send: maybe(
          fc.record({
            allowedDomains: maybe(some(['a.test', 'b.test'])),
            subjectMaxLen: maybe(bytes),
            bodyMaxLen: maybe(bytes),
          }),
        ),
      }),
    ),
    quotas: maybe(
      fc.array(
        fc.record({
          action: fc.constantFrom(...CALLS),
          limit: bytes,
          window: fc.constantFrom('1h', '24h', '7d'),
          resetStrategy: fc.constantFrom('fixed', 'sliding'),
        }),
        { maxLength: 3 },
      ),
    ),
    schedule: maybe(
      fc.record({
        enabled: maybe(fc.boolean()),
        timezone: maybe(zone),
        allowedDays: maybe(fc.subarray([0, 1, 2, 3, 4, 5, 6], { minLength: 1 })),
        allowedHours: maybe(fc.record({ start: maybe(hour), end: maybe(hour) })),
      }),
    ),
    responseFilters: maybe(
      fc.record({
        redactFields: maybe(fc.array(noise, { maxLength: 3 })),
        blockPatterns: maybe(fc.array(noise.filter((text) => !text.startsWith('re:')))),
      }),
    ),
  })
  .map((spec) => acceptGateway(GatewaySpec, plain(spec)))

const requests = fc.record({
  call: fc.constantFrom(...CALLS),
  intent: maybe(fc.constantFrom('a', 'b', 'ü"\\', 'c')),
  url: maybe(fc.constantFrom(...URLS)),
  // Three weeks around the day on which New York's and the day on which Berlin's clocks change.
  nowMs: fc.integer({ min: NOON, max: NOON + 28 * 86_400_000 }),
  requestBytes: bytes,
  recipients: maybe(some(['a.test', 'b.test', 'c.test'])),
  subject: maybe(bytes),
  listed: fc.boolean(),
})

/** Whether the host is the entry or below it; written once more, without patterns. */
function covered(entry: string, url: string, { anyPort }: { anyPort: boolean }): boolean {
  const [name = '', port] = entry.toLowerCase().split(':')
  const domain = domainToASCII(name).replace(/\.$/, '')
  const target = targetOf(url)
  const host = target.host.replace(/\.$/, '')
  const ports = port === undefined ? [80, 443] : [Number(port)]
  if (!(anyPort && port === undefined) && !ports.includes(target.port)) return false
  return host === domain || (!/^\d/.test(host) && host.endsWith(`.${domain}`))
}

/** Wall-clock day (0 is Sunday) and minute, by another way than the engine's. */
function wallClock(nowMs: number, timeZone: string): { day: number; minute: number } {
  const local = new Date(
    `${new Date(nowMs).toLocaleString('sv-SE', { timeZone }).replace(' ', 'T')}Z`,
  )
  return { day: local.getUTCDay(), minute: local.getUTCHours() * 60 + local.getUTCMinutes() }
}

function within(
  { day, minute }: { day: number; minute: number },
  days: readonly number[],
  from: number,
  to: number,
): boolean {
  if (from <= to) return days.includes(day) && minute >= from && minute <= to
  const before = (day + 6) % 7
  return (days.includes(day) && minute >= from) || (days.includes(before) && minute <= to)
}

const minutes = (text: string): number => Number(text.slice(0, 2)) * 60 + Number(text.slice(3))
const ALL_DAYS = [0, 1, 2, 3, 4, 5, 6]

/** Pattern texts that the judge is told hold, each by the rule it was made of. */
function memberships(spec: GatewaySpec, url: string | undefined, nowMs: number): Set<string> {
  const texts = new Set<string>()
  const { guards, schedule } = spec
  const policies = gatewayPolicies(mergedOf([spec]))
  /** The pattern that the policy of this name speaks of. */
  const add = (name: string, type: string): void => {
    const policy = policies.find(({ id }) => id.endsWith(name))
    for (const text of entityRefs(policy && policyJson(policy), type)) texts.add(text)
  }
  const lists = [
    { name: '/guard/allowed-domains', entries: guards?.allowedDomains, anyPort: false },
    {
      name: '/guard/http_fetch-allowed-domains',
      entries: guards?.http_fetch?.allowedDomains,
      anyPort: false,
    },
    { name: '/guard/blocked-domains', entries: guards?.blockedDomains, anyPort: true },
  ]
  for (const { name, entries = [], anyPort } of lists) {
    const holds = url !== undefined && entries.some((entry) => covered(entry, url, { anyPort }))
    if (holds) add(name, 'HostGlob')
  }
  if (guards?.timeWindow !== undefined) {
    const { start = '00:00', end = '23:59', timezone = 'UTC' } = guards.timeWindow
    const open = within(wallClock(nowMs, timezone), ALL_DAYS, minutes(start), minutes(end))
    if (open) add('/guard/time-window', 'Window')
  }
  if (schedule !== undefined && schedule.enabled !== false) {
    const { timezone = 'UTC', allowedDays = ALL_DAYS, allowedHours = {} } = schedule
    const { start = 0, end = 23 } = allowedHours
    const open = within(wallClock(nowMs, timezone), allowedDays, start * 60, end * 60 + 59)
    if (open) add('/schedule', 'Window')
  }
  return texts
}

function mergedOf(specs: readonly GatewaySpec[]) {
  return mergeGateway(specs.map((spec, i) => ({ id: gatewayId(i + 1), spec, timezone: 'UTC' })))
}

test('the Cedar text shown is the policy that is compiled, and passes strict validation', async () => {
  const samples = [
    ...fc.sample(specs, 60),
    ...Object.values(GATEWAY_TEMPLATES).map(({ spec }) => spec),
  ]
  for (const spec of samples) {
    const policies = gatewayPolicies(mergedOf([spec]))
    const parsed = await parsePolicies(policies.map(policyText).join('\n\n'))
    expect(parsed.map(({ json }) => json)).toEqual(policies.map(policyJson))
    expect(await validate(parsed, CEDAR_SCHEMA)).toEqual([])
  }
})

test('every spec that is accepted compiles, alone and merged with any other', () => {
  fc.assert(
    fc.property(fc.array(specs, { minLength: 1, maxLength: 3 }), requests, (all, { call }) => {
      const engine = engineOf(...all.map((spec) => ({ spec })))
      const { policies } = engine.explain(ask(call))
      expect(new Set(policies.map(({ id }) => id)).size).toBe(policies.length)
    }),
  )
})

test('on random specs and calls Cedar finds the same permits and the same forbids', () => {
  let allowed = 0
  let forbidden = 0
  const runs = fc.sample(fc.tuple(specs, requests), { numRuns: 400, seed: 7 })
  for (const [spec, { call, url, subject, listed, ...given }] of runs) {
    const context: PolicyContext = {
      ...(JSON.parse(JSON.stringify(given)) as typeof given & { intent?: string }),
      nowMs: given.nowMs,
      transport: 'http',
      holds: listed ? ['domain_listed'] : [],
      ...(url === undefined ? {} : { target: targetOf(url) }),
      nums: () => (subject === undefined ? {} : { '/subject#length': subject }),
    } as PolicyContext // undefined members went with the JSON
    const ours = engineOf({ spec }).decide(ask(call, context))
    const own = (ids: readonly string[]) => ids.filter((id) => !id.startsWith('builtin:')).sort()
    const theirs = judged(spec, call, context, memberships(spec, url, given.nowMs))
    const failing = JSON.stringify({ spec, call, url, given })
    expect({ permits: own(ours.permits), forbids: own(ours.forbids) }, failing).toEqual({
      permits: theirs.permits,
      forbids: theirs.forbids,
    })
    expect(theirs.errors, failing).toEqual([])
    allowed += ours.allow ? 1 : 0
    forbidden += theirs.forbids.length > 0 ? 1 : 0
  }
  expect(allowed).toBeGreaterThan(20)
  expect(forbidden).toBeGreaterThan(100)
})

/** What Cedar makes of the generated policies when it is told who is in which pattern. */
function judged(spec: GatewaySpec, call: string, context: PolicyContext, held: Set<string>) {
  const merged = mergedOf([spec])
  const policies = gatewayPolicies(merged).map((policy) => ({
    id: policy.id,
    json: policyJson(policy) as never, // our JSON form is Cedar's: the test above compares them
  }))
  const [tool = '', action = ''] = call.split(':')
  const patterns = (type: string) => [...held].map((id) => new EntityUid(type, id))
  const length = typeof context.nums === 'function' ? context.nums() : {}
  const empty = new Map<string, Value>()
  const entities: Plain[] = [
    {
      uid: new EntityUid('Agent', 'scout'),
      parents: [
        new EntityUid('Role', 'scraper'),
        new EntityUid('GatewaySpec', gatewayHash(merged)),
      ],
      attrs: empty,
      tags: empty,
    },
    {
      uid: new EntityUid('Tool', call),
      parents: [new EntityUid('Tool', tool)],
      attrs: new Map<string, Value>([
        ['tool', tool],
        ['action', action],
        ['permissions', new CedarSet(['*'])],
      ]),
      tags: empty,
    },
    { uid: CLOCK, parents: patterns('Window'), attrs: empty, tags: empty },
    { uid: NUMS, parents: [], attrs: empty, tags: new Map(Object.entries(length)) },
    ...(context.target === undefined
      ? []
      : [{ uid: HOST, parents: patterns('HostGlob'), attrs: empty, tags: empty }]),
  ]
  return new Oracle(policies, entities).judge({
    principal: new Entity(new EntityUid('Agent', 'scout')),
    action: actionEntity('tool:call'),
    resource: new Entity(new EntityUid('Tool', call)),
    context: contextRecord(context),
  })
}
