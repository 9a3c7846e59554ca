import { expect, test } from 'vitest'
import { ACTION_GROUPS, withGroups } from './actions.ts'
import { BUILTIN_CEDAR } from './builtin.cedar.ts'
import { loadCedar } from './cedar/parse.ts'
import { PolicyEngine, type PolicyRequest, type PolicyRow } from './engine.ts'
import { readPolicyFiles } from './policy-file.ts'

/**
 * The decision procedure of wire contract §13.4 written down once more, as plainly as possible and straight
 * from the rule an operator writes: no Cedar, no index, no shared code.
 */
interface Rule {
  name: string
  effect: 'allow' | 'deny'
  enabled?: boolean
  principals: string[]
  resources: string[]
  actions: string[]
  selectors?: { types?: string[]; tags?: string[] }
  hosts?: string[]
  methods?: string[]
  header_types?: string[]
  allow_http?: boolean
  algorithms?: string[]
  max_data_bytes?: number
  max_ttl?: number
  expires_at?: string
  conditions?: {
    not_before?: string
    transports?: string[]
    hours?: { days: string[]; from: string; to: string; tz: string }
  }
}

const SAFE = ['http_request', 'sign', 'verify', 'encrypt', 'decrypt', 'rewrap', 'jwt', 'aws_sigv4']
type Context = PolicyRequest['context']

function reference(
  rules: readonly Rule[],
  request: PolicyRequest,
): { allow: boolean; kept: string[]; maxTtl: number } {
  const { context } = request
  const candidates = rules.filter((rule) => rule.enabled !== false && matchesScope(rule, request))
  const sends = request.action === 'vault:use:http_request'
  const denied =
    (sends && context.credentialHosts === 'mismatch') ||
    candidates.some(
      (rule) => rule.effect === 'deny' && holds(rule, context) && accepts(rule, request),
    )
  const kept = candidates.filter(
    (rule) => rule.effect === 'allow' && holds(rule, context) && accepts(rule, request),
  )
  const ttls = kept.map((rule) => rule.max_ttl ?? Number.POSITIVE_INFINITY)
  return {
    allow: !denied && kept.length > 0,
    kept: kept.map((rule) => `vault:${rule.name}`),
    maxTtl: Math.min(...ttls),
  }
}

function matchesScope(rule: Rule, { principal, action, resource }: PolicyRequest): boolean {
  if (resource.kind !== 'credential') return false
  const types = rule.selectors?.types
  return (
    rule.principals.some((glob) => globMatches(glob.slice('agent:'.length), principal.name)) &&
    rule.resources.some((glob) => {
      const filled = fill(glob, principal)
      return filled !== undefined && globMatches(filled, resource.path)
    }) &&
    actionMatches(rule.actions, action.slice('vault:'.length)) &&
    (types === undefined || (resource.type !== null && types.includes(resource.type))) &&
    (rule.selectors?.tags ?? []).every((tag) => resource.tags.includes(tag))
  )
}

function actionMatches(actions: readonly string[], action: string): boolean {
  if (actions.includes('*') || actions.includes(action)) return true
  if (!action.startsWith('use:')) return false
  if (actions.includes('use:*')) return true
  if (SAFE.includes(action.slice('use:'.length))) return actions.includes('use')
  return actions.includes('use') && actions.includes('retrieve')
}

function holds(rule: Rule, { nowMs, transport }: Context): boolean {
  const { not_before, transports, hours } = rule.conditions ?? {}
  if (rule.effect === 'allow' && rule.expires_at && nowMs >= Date.parse(rule.expires_at))
    return false
  if (not_before && nowMs < Date.parse(not_before)) return false
  if (transports && !transports.includes(transport ?? '')) return false
  if (!hours) return true
  const clock = (ms: number) => {
    const text = new Date(ms).toLocaleString('en-GB', {
      timeZone: hours.tz,
      weekday: 'short',
      hour: '2-digit',
      minute: '2-digit',
    })
    return { day: text.slice(0, 3).toLowerCase(), time: text.slice(-5) }
  }
  const { day, time } = clock(nowMs)
  const week = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun']
  const before = week[(week.indexOf(day) + 6) % 7] ?? ''
  if (hours.from < hours.to)
    return hours.days.includes(day) && time >= hours.from && time < hours.to
  return (
    (hours.days.includes(day) && time >= hours.from) ||
    (hours.days.includes(before) && time < hours.to)
  )
}

function accepts(rule: Rule, { action, context }: PolicyRequest): boolean {
  const operation = action.startsWith('vault:use:') ? action.slice('vault:use:'.length) : ''
  if (operation === '') return true
  const listed = (list: string[] | undefined, value: string | undefined) =>
    list === undefined || (value !== undefined && list.includes(value))
  const web = operation === 'http_request'
  if (web || operation === 'http_header') {
    if (!listed(rule.header_types, context.headerType)) return false
    if (!web) return true
    const target = context.target
    if (rule.hosts === undefined) {
      if (rule.effect === 'allow' && context.credentialHosts !== 'match') return false
    } else if (!target || !rule.hosts.some((host) => hostMatches(host, target))) return false
    if (rule.effect === 'allow' && !rule.allow_http && target?.scheme !== 'https') return false
    return listed(rule.methods, context.method)
  }
  if (
    rule.max_data_bytes !== undefined &&
    !((context.dataBytes ?? Infinity) <= rule.max_data_bytes)
  )
    return false
  return listed(rule.algorithms, context.algorithm)
}

function hostMatches(pattern: string, target: NonNullable<Context['target']>): boolean {
  const [host = '', port] = pattern.split(':')
  if (Number(port ?? (target.scheme === 'https' ? 443 : 80)) !== target.port) return false
  if (!host.startsWith('*.')) return host === target.host
  return target.host.split('.').slice(1).join('.') === host.slice(2)
}

function fill(glob: string, principal: PolicyRequest['principal']): string | undefined {
  const team = principal.meta['team']
  if (
    glob.includes('team') &&
    (team === undefined || !/^[A-Za-z0-9_][A-Za-z0-9._@+=:-]*$/.test(team))
  )
    return undefined
  return glob.replace('{{agent.name}}', principal.name).replace('{{agent.meta.team}}', team ?? '')
}

function globMatches(glob: string, text: string): boolean {
  const go = (parts: string[], path: string[]): boolean => {
    const [part, ...rest] = parts
    if (part === undefined) return path.length === 0
    if (part === '**') return go(rest, path) || (path.length > 0 && go(parts, path.slice(1)))
    const pattern = part.replaceAll('.', '\\.').replaceAll('*', '.*').replaceAll('?', '.')
    return (
      path.length > 0 && new RegExp(`^${pattern}$`).test(path[0] ?? '') && go(rest, path.slice(1))
    )
  }
  return glob === '*' || go(glob.split('/'), text.split('/'))
}

/** A small seeded generator: a failure can be repeated by its seed. */
function dice(seed: number) {
  let state = seed >>> 0
  const next = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
  const pick = <T>(from: readonly T[]): T => from[Math.floor(next() * from.length)] as T // never empty
  const some = <T>(from: readonly T[], most: number): T[] => [
    ...new Set(Array.from({ length: 1 + Math.floor(next() * most) }, () => pick(from))),
  ]
  return { chance: (p: number) => next() < p, pick, some }
}
type Dice = ReturnType<typeof dice>

const NAMES = ['scout', 'scribe', 'research-1', 'research-22']
const AGENTS = ['agent:*', 'agent:scout', 'agent:s*', 'agent:research-?', 'agent:*-*']
const PATHS = [
  'openai/key',
  'openai/team/key',
  'agents/scout/a',
  'agents/scribe/a/b',
  't/red/x',
  'db',
]
const GLOBS = [
  '*',
  '**',
  'openai/*',
  'openai/**',
  '**/key',
  'agents/{{agent.name}}/**',
  't/{{agent.meta.team}}/*',
  'd?',
  'db',
]
const ACTIONS = [
  'list',
  'retrieve',
  'use',
  'use:*',
  'use:sign',
  'use:http_request',
  'use:http_header',
  'store',
  '*',
]
const ASKED = [
  'list',
  'retrieve',
  'store',
  'unwrap',
  'use:sign',
  'use:encrypt',
  'use:http_request',
  'use:http_request',
  'use:http_header',
]
const DAYS = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun']
const START = Date.UTC(2026, 2, 27) // three days around the change to summer time in Berlin

function randomRule(name: string, { chance, pick, some }: Dice): Rule {
  const effect = chance(0.2) ? 'deny' : 'allow'
  const rule: Rule = {
    name,
    effect,
    principals: some(AGENTS, 2),
    resources: some(GLOBS, 2),
    actions: some(ACTIONS, 3),
  }
  if (chance(0.1)) rule.enabled = false
  if (chance(0.2)) rule.selectors = chance(0.5) ? { types: ['api_key'] } : { tags: ['prod'] }
  if (chance(0.6)) rule.hosts = some(['a.test', '*.a.test', 'b.test:8443'], 2)
  if (chance(0.3)) rule.methods = ['GET']
  if (chance(0.2)) rule.header_types = ['bearer']
  if (chance(0.2)) rule.algorithms = ['ed25519']
  if (chance(0.2)) rule.max_data_bytes = 100
  if (chance(0.3)) rule.expires_at = new Date(START + pick([1, 40, 70]) * 3_600_000).toISOString()
  if (effect === 'allow' && chance(0.3)) rule.allow_http = true
  if (effect === 'allow' && chance(0.5)) rule.max_ttl = pick([60, 300, 900])
  const conditions: NonNullable<Rule['conditions']> = {}
  if (chance(0.2)) conditions.transports = [pick(['unix', 'tcp'])]
  if (chance(0.15))
    conditions.not_before = new Date(
      START - 3_600_000 + pick([0, 20, 50]) * 3_600_000,
    ).toISOString()
  if (chance(0.3)) {
    const [from, to] = pick([
      ['07:00', '19:00'],
      ['22:00', '06:00'],
      ['02:00', '03:00'],
    ] as const)
    conditions.hours = { days: some(DAYS, 6), from, to, tz: pick(['UTC', 'Europe/Berlin']) }
  }
  if (Object.keys(conditions).length > 0) rule.conditions = conditions
  // An expiry before the beginning would be refused, rightly.
  if (conditions.not_before && rule.expires_at) delete conditions.not_before
  return rule
}

function randomRequest({ chance, pick, some }: Dice): PolicyRequest {
  const name = pick(NAMES)
  const meta: Record<string, string> = {}
  if (chance(0.7)) meta['team'] = pick(['red', 'blue', '*', 'a/b'])
  const action = `vault:${pick(ASKED)}`
  const context: Context = {
    nowMs: START + Math.floor(pick([...Array(72 * 4).keys()]) * 900_000),
    transport: pick(['unix', 'tcp'] as const),
  }
  if (action === 'vault:use:http_request') {
    const scheme = chance(0.8) ? 'https' : 'http'
    const port = chance(0.8) ? (scheme === 'https' ? 443 : 80) : 8443
    context.target = {
      scheme,
      host: pick(['a.test', 'x.a.test', 'x.y.a.test', 'b.test']),
      port,
      path: '/',
    }
    context.credentialHosts = pick(['absent', 'absent', 'match', 'mismatch'] as const)
    context.method = pick(['GET', 'POST'])
  }
  if (action.includes('http_')) context.headerType = pick(['bearer', 'custom'])
  if (action.includes('sign') || action.includes('encrypt')) {
    context.algorithm = pick(['ed25519', 'rsa'])
    context.dataBytes = pick([1, 100, 101])
  }
  return {
    principal: { kind: 'agent', id: `id-${name}`, name, role: 'worker', meta },
    action,
    resource: {
      kind: 'credential',
      path: pick(PATHS),
      type: pick([null, 'api_key', 'token']),
      tags: some(['prod', 'x'], 2),
    },
    context,
  }
}

async function rowsOf(rules: readonly Rule[]): Promise<PolicyRow[]> {
  const limits = { maxTtl: 86_400, understood: true, hostsSupplied: () => true }
  const { policies } = await readPolicyFiles(
    [{ name: 'r.json', text: JSON.stringify(rules) }],
    limits,
  )
  return policies.map((policy, position) => ({ ...policy, position }))
}

async function world(seed: number, count: number) {
  const die = dice(seed)
  const rules = Array.from({ length: count }, (_, i) => randomRule(`r${i}`, die))
  const rows = await rowsOf(rules)
  const engine = new PolicyEngine()
  engine.load(rows)
  return { die, rules, rows, engine }
}

test('vault §28.31: decisions, explanations and the procedure as written agree on 10 000 random queries', async () => {
  let allowed = 0
  for (let seed = 1; seed <= 25; seed += 1) {
    const { die, rules, engine } = await world(seed, 12)
    for (let i = 0; i < 400; i += 1) {
      const request = randomRequest(die)
      const expected = reference(rules, request)
      const live = engine.decide(request)
      const { decision, policies } = engine.explain(request)
      const failing = `seed ${seed}, query ${i}`
      expect(live.allow, failing).toBe(expected.allow)
      expect([...live.permits].sort(), failing).toEqual(expected.kept.sort())
      expect({ ...decision, id: '' }, failing).toEqual({ ...live, id: '' })
      const holding = policies.filter(({ state }) => state !== 'fails')
      const shown =
        holding.some(({ effect }) => effect === 'permit') &&
        !holding.some(({ effect }) => effect === 'forbid')
      expect(shown, failing).toBe(live.allow)
      if (live.allow)
        expect(live.obligations.maxTtl ?? Number.POSITIVE_INFINITY, failing).toBe(expected.maxTtl)
      else if (live.forbids.length === 0 && live.closest) {
        expect(policies.find(({ id }) => id === live.closest?.policy)?.state, failing).toBe('fails')
      }
      allowed += live.allow ? 1 : 0
    }
  }
  // The queries must not all have the same answer, or agreement would say little.
  expect(allowed).toBeGreaterThan(1_500)
  expect(allowed).toBeLessThan(8_500)
})

test('vault §28.28: adding a deny never widens, removing an allow never widens', async () => {
  for (let seed = 100; seed < 115; seed += 1) {
    const { die, rules, rows, engine } = await world(seed, 10)
    const requests = Array.from({ length: 60 }, () => randomRequest(die))
    const before = requests.map((request) => engine.decide(request).allow)
    const deny: Rule = { ...randomRule('extra', die), effect: 'deny' }
    delete deny.allow_http
    delete deny.max_ttl
    const narrower = [
      [...rows, ...(await rowsOf([deny])).map((row) => ({ ...row, position: 99 }))],
      ...rows
        .filter((_, i) => rules[i]?.effect === 'allow')
        .map((gone) => rows.filter((row) => row !== gone)),
    ]
    for (const set of narrower) {
      engine.load(set)
      requests.forEach((request, i) => {
        if (engine.decide(request).allow) expect(before[i], `seed ${seed}, query ${i}`).toBe(true)
      })
    }
  }
})

test('what list shows is what some request could do', async () => {
  for (let seed = 200; seed < 215; seed += 1) {
    const { die, engine } = await world(seed, 8)
    for (let i = 0; i < 60; i += 1) {
      const request = randomRequest(die)
      if (request.context.credentialHosts === 'match' || !engine.decide(request).allow) continue
      const { nowMs, transport } = request.context
      const sight = {
        nowMs,
        context: { transport: transport ?? 'unix' },
        credentialHosts: [],
      } as const
      const hidden = !engine.visible(request.principal, request.resource, sight).operations.length
      const listed = engine.decide({
        ...request,
        action: 'vault:list',
        context: { nowMs, transport: transport ?? 'unix' },
      })
      expect(hidden, `seed ${seed}, query ${i}`).toBe(listed.forbids.length > 0)
    }
  }
})

test('Cedar itself agrees on imported rules when the memberships are handed to it', async () => {
  const cedar = loadCedar()
  let allowed = 0
  for (let seed = 300; seed < 312; seed += 1) {
    const { die, rules, rows, engine } = await world(seed, 10)
    const active = rules.filter((rule) => rule.enabled !== false)
    const policies = BUILTIN_CEDAR.split(/(?<=;)\n/).flatMap((text) => {
      const id = /@id\("([^"]+)"\)/.exec(text)?.[1]
      return id === undefined ? [] : [[id, text] as const]
    })
    const texts = rows
      .filter(({ enabled }) => enabled === 1)
      .map((row) => [row.id, JSON.parse(row.json)] as const)
    const staticPolicies = Object.fromEntries([...policies, ...texts])
    expect(cedar.preparsePolicySet(`${seed}`, { staticPolicies }).type).toBe('success')
    for (let i = 0; i < 40; i += 1) {
      const request = randomRequest(die)
      const answer = cedar.statefulIsAuthorized({
        ...oracleCall(active, request),
        preparsedPolicySetId: `${seed}`,
      })
      if (answer.type === 'failure') throw new Error(JSON.stringify(answer.errors))
      const ours = engine.decide(request)
      const failing = `seed ${seed}, query ${i}`
      const decided = ours.forbids.length > 0 ? ours.forbids : ours.permits
      expect(answer.response.diagnostics.reason.sort(), failing).toEqual([...decided].sort())
      expect(answer.response.diagnostics.errors, failing).toEqual([])
      expect(answer.response.decision === 'allow', failing).toBe(ours.allow)
      allowed += ours.allow ? 1 : 0
    }
  }
  expect(allowed).toBeGreaterThan(80)
})

/** The request as Cedar's own engine takes it; who is in which pattern comes from the reference above. */
function oracleCall(rules: readonly Rule[], request: PolicyRequest) {
  const { principal, action, resource, context } = request
  if (resource.kind !== 'credential') throw new TypeError('credentials only')
  const uid = (type: string, id: string) => ({ type, id })
  const agents = rules
    .filter((rule) =>
      rule.principals.some((glob) => globMatches(glob.slice('agent:'.length), principal.name)),
    )
    .map((rule) =>
      uid('AgentGlob', rule.principals.map((glob) => glob.slice('agent:'.length)).join(',')),
    )
  const paths = rules
    .filter((rule) =>
      rule.resources.some((glob) => globMatches(fill(glob, principal) ?? '-', resource.path)),
    )
    .map((rule) => uid('PathGlob', rule.resources.join(',')))
  const { target } = context
  const hosts = rules.filter(
    (rule) => target && rule.hosts?.some((host) => hostMatches(host, target)),
  )
  const open = rules.filter(
    (rule) =>
      rule.conditions?.hours &&
      holds({ ...rule, effect: 'deny', conditions: { hours: rule.conditions.hours } }, context),
  )
  const windows = open.flatMap(({ conditions }) => {
    if (!conditions?.hours) return []
    const { days, from, to, tz } = conditions.hours
    return uid('Window', `${shortDays(days)} ${from}-${to} ${tz}`)
  })
  const now = { __extn: { fn: 'datetime', arg: new Date(context.nowMs).toISOString() } }
  const plain = Object.fromEntries(
    Object.entries({
      transport: context.transport,
      credential_hosts: context.credentialHosts,
      method: context.method,
      header_type: context.headerType,
      algorithm: context.algorithm,
      data_bytes: context.dataBytes,
    }).filter((entry): entry is [string, string | number] => entry[1] !== undefined),
  )
  const ref = (type: string, id: string) => ({ __entity: { type, id } })
  const { type } = resource
  return {
    principal: uid('Agent', principal.name),
    action: uid('Action', action),
    resource: uid('Credential', resource.path),
    context: {
      now,
      clock: ref('Clock', 'now'),
      has_reason: false,
      holds: [],
      args: ref('Args', 'request'),
      nums: ref('Nums', 'request'),
      ...plain,
      ...(target === undefined ? {} : { host: ref('Host', 'target') }),
    },
    entities: [
      {
        uid: uid('Agent', principal.name),
        attrs: { id: principal.id, role: principal.role },
        parents: [uid('Role', principal.role), ...agents],
      },
      {
        uid: uid('Credential', resource.path),
        attrs: {
          path: resource.path,
          tags: [...resource.tags],
          ...(type === null ? {} : { type }),
        },
        parents: paths,
      },
      { uid: uid('Clock', 'now'), attrs: {}, parents: windows },
      ...(target === undefined
        ? []
        : [
            {
              uid: uid('Host', 'target'),
              attrs: {
                scheme: target.scheme,
                name: target.host,
                port: target.port,
                path: target.path,
              },
              parents: hosts.map((rule) => uid('HostGlob', (rule.hosts ?? []).join(','))),
            },
          ]),
      ...[...ACTION_GROUPS.keys()].map((name) => ({
        uid: uid('Action', name),
        attrs: {},
        parents: withGroups(name)
          .slice(1, 2)
          .map((group) => uid('Action', group)),
      })),
    ],
  }
}

/** Days as a window's text lists them. */
function shortDays(days: readonly string[]): string {
  const marks = DAYS.map((day) => (days.includes(day) ? day : ' ')).join(',')
  return marks
    .split(' ')
    .map((run) => run.split(',').filter(Boolean))
    .filter((run) => run.length > 0)
    .map((run) => (run.length > 2 ? `${run[0]}-${run.at(-1)}` : run.join(',')))
    .join(',')
}
