import { mkdtempDisposableSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { expect, onTestFinished, test } from 'vitest'
import { AuditLog } from '../../audit/log.ts'
import type { AuditEntry } from '../../audit/record.ts'
import { Approvals } from '../../call/approval.ts'
import type { Stations } from '../../call/perform.ts'
import { Taint } from '../../call/taint.ts'
import { type Handler, startUpstream } from '../../egress/testing/upstream.ts'
import { createWorld } from '../../egress/testing/world.ts'
import { newCaller } from '../../identity/caller.ts'
import { testGuard, testKeyring } from '../../identity/test-keys.ts'
import { Limits } from '../../limits/limits.ts'
import { PolicyEngine } from '../../policy/engine.ts'
import { readPolicyFiles } from '../../policy/policy-file.ts'
import { Secret } from '../../seal/secret.ts'
import { openStore } from '../../store/store.ts'
import { CredentialFacts } from '../../vault/credential.ts'
import { CredentialStore } from '../../vault/credential-store.ts'
import { VaultLimits } from '../../vault/vault-limits.ts'
import { type HttpEffectDeps, type HttpRequest, httpRequest } from './http.ts'

const AGENT = {
  id: '018f3c5e-0000-7000-8000-000000000001',
  name: 'scout',
  displayName: 'scout',
  role: 'worker',
  status: 'enabled',
  keys: [],
  spiffeId: 'spiffe://test/agent/1',
  meta: {},
  requireSigV2: false,
  createdAt: 0,
  updatedAt: 0,
} as const
const VALUE = 'hunter2-hunter2-hunter2'
const failing = (code: string) => expect.objectContaining({ code })

/** Any port: upstreams of tests have one of their own. */
const glob = (host: string) => (host === '*' ? host : `.${host.replace(/^\*\./, '')}:*`)
/** A permit for the tool and one for the credential, with more annotations and conditions. */
const tool = (host: string, notes = '', id = host, action = 'in Tool::"http"') => `
@id("tool-${id}") ${notes}
permit(principal, action == Action::"tool:call", resource ${action})
when { context has host && context.host in HostGlob::"${glob(host)}" };`
const credential = (host: string, notes = '@allow_http("true")', id = host) => `
@id("cred-${id}") ${notes}
permit(principal, action == Action::"vault:use:http_request", resource in PathGlob::"prod/**")
when { context has host && context.host in HostGlob::"${glob(host)}" };`

async function world(rules: string, handler: Handler, facts: Partial<CredentialFacts> = {}) {
  const dir = mkdtempDisposableSync(`${tmpdir()}/http-effect-`)
  onTestFinished(() => dir.remove())
  const audit = await AuditLog.open({ dir: `${dir.path}/audit`, podName: 'test', now: Date.now })
  onTestFinished(() => audit.close())
  const store = await openStore(`sqlite:${dir.path}/store.db`)
  onTestFinished(() => store.close())
  const keyring = testKeyring()
  const taint = new Taint({ store, now: Date.now, warn: () => undefined })
  const policy = new PolicyEngine((txn) => taint.of(txn))
  const settings = { maxTtl: 86_400, understood: true, hostsSupplied: () => true }
  const { policies } = await readPolicyFiles([{ name: 'r.cedar', text: rules }], settings)
  policy.load(policies.map((row, position) => ({ ...row, position })))
  const written: AuditEntry[] = []
  const append = audit.append.bind(audit)
  audit.append = (entry, durability) => {
    written.push(entry)
    return append(entry, durability)
  }
  const limits = new Limits({ store, now: Date.now, monotonic: () => performance.now() })
  const stations: Stations = {
    policy,
    limits,
    approvals: new Approvals(store, testGuard(keyring), Date.now),
    taint,
    audit,
    refused: () => undefined,
    now: Date.now,
  }
  const credentials = new CredentialStore({ store, keys: () => keyring, now: Date.now })
  onTestFinished(() => credentials[Symbol.dispose]())
  const put = { createdBy: 'operator:ada' }
  const plain = CredentialFacts.parse(facts)
  await credentials.put('prod/key', Buffer.from(VALUE), {}, put, plain)
  const upstream = await startUpstream(handler)
  onTestFinished(() => upstream[Symbol.asyncDispose]())
  const egress = createWorld()
  onTestFinished(() => egress[Symbol.asyncDispose]())
  const opened: string[] = []
  const deps: HttpEffectDeps = {
    stations,
    egress: egress.deps,
    credentials,
    secrets: {
      resolve: async (reference) => {
        opened.push(reference)
        return Secret.copy(Buffer.from(VALUE))
      },
    },
    vault: {
      limits: new VaultLimits({
        limits,
        settings: {
          agentRequests: undefined,
          authenticate: undefined,
          httpRequestsPerAgent: 1,
          requestsInFlight: 10,
          lockoutMode: 'source',
        },
        monotonic: () => performance.now(),
        onRefused: () => undefined,
      }),
      settings: {
        rawRetrieval: false,
        compatRust: false,
        leases: { defaultTtl: 60, maxTtl: 60, maxLifetime: 3600 },
        egressTimeoutMs: 5_000,
      },
    },
  }
  const caller = newCaller({
    principal: { kind: 'agent', agent: AGENT },
    peer: { transport: 'http' },
    txn: 'txn_1',
  })
  const ask = (path: string, more: Partial<HttpRequest> = {}) =>
    httpRequest(deps, {
      caller,
      requestId: 'r-1',
      method: 'GET',
      url: path.includes('//') ? path : `http://api.example.com:${upstream.port}${path}`,
      headers: [],
      timeoutMs: 5_000,
      maxResponseBytes: 65_536,
      followRedirects: true,
      signal: new AbortController().signal,
      ...more,
    })
  const events = () => written.map(({ action, phase }) => `${action} ${phase}`)
  return { ask, upstream, written, events, opened, taint }
}

const bearer = (reference: string, name = 'Authorization') => ({
  secretHeader: { name, prefix: 'Bearer ', reference, owner: 'scout' },
})
const KEY = bearer('vault://prod/key')
const ok: Handler = (_request, reply) => void reply.end('ok')
const text = ({ body }: { readonly body: Uint8Array }) => Buffer.from(body).toString('utf8')

test('runtime §8.2: a credential of the vault is used under its own policies, and recorded as a use of it', async () => {
  const { ask, upstream, written, events } = await world(
    tool('api.example.com') + credential('api.example.com'),
    ok,
  )
  expect(text(await ask('/x', KEY))).toBe('ok')
  expect(upstream.seen[0]?.headers.authorization).toBe(`Bearer ${VALUE}`)
  expect(events()).toEqual([
    'http.request intent',
    'credential.use intent',
    'dns_query single',
    'credential.use outcome',
    'http.request outcome',
  ])
  expect(written[3]).toMatchObject({
    success: true,
    outcome: { code: 'OK', version: 1, status: 200 },
    data: { path: 'prod/key', operation: 'use:http_request' },
  })
  expect(JSON.stringify(written)).not.toContain('hunter2')
})

test('runtime §8.2: a permit for the tool alone does not open a credential', async () => {
  const { ask, upstream, events } = await world(tool('api.example.com'), ok)
  await expect(ask('/x', KEY)).rejects.toEqual(failing('ACCESS_DENIED'))
  expect(upstream.seen).toEqual([])
  expect(events()).toContain('policy.deny single')
})

test.each([
  ['an approval', '@allow_http("true") @approve("operator")', 'APPROVAL_REQUIRED'],
  ['a reason', '@allow_http("true") @require_reason("true")', 'ACCESS_DENIED'],
  ['https', '', 'ACCESS_DENIED'],
])('what the permit for a credential asks for is asked for: %s', async (_what, notes, code) => {
  const { ask, upstream } = await world(
    tool('api.example.com') + credential('api.example.com', notes),
    ok,
  )
  await expect(ask('/x', KEY)).rejects.toEqual(failing(code))
  expect(upstream.seen).toEqual([])
})

test('uses of a credential are counted, and one that nobody heard of is given back', async () => {
  const notes = '@allow_http("true") @max_uses("1")'
  const { ask, upstream } = await world(
    tool('*.example.com') + credential('*.example.com', notes),
    ok,
  )
  const { port } = upstream
  await expect(ask('http://api.example.com:9/x', KEY)).rejects.toEqual(failing('UPSTREAM_ERROR'))
  await ask(`http://api.example.com:${port}/x`, KEY)
  await expect(ask('/x', KEY)).rejects.toEqual(failing('LEASE_EXHAUSTED'))
  expect(upstream.seen).toHaveLength(1)
})

test('an operator fixes where a credential stands, and to which hosts it goes', async () => {
  const rules = tool('*.example.com') + credential('*.example.com')
  const settings: CredentialFacts['settings'] = {
    ...CredentialFacts.parse({}).settings,
    inject: { header_type: 'bearer', locked: true },
    allowed_hosts: [glob('api.example.com')],
  }
  const { ask, upstream } = await world(rules, ok, { settings })
  await expect(ask('/x', bearer('vault://prod/key', 'X-Debug'))).rejects.toEqual(
    failing('ACCESS_DENIED'),
  )
  await expect(ask(`http://evil.example.com:${upstream.port}/x`, KEY)).rejects.toEqual(
    failing('ACCESS_DENIED'),
  )
  expect(upstream.seen).toEqual([])
  await ask('/x', KEY)
})

test.each([
  ['its own secret', bearer('secret://key'), '@allow_http("true")'],
  ['a credential', KEY, '@allow_http("true") @allow_redirects("true")'],
])('%s never follows a redirect to another origin', async (_what, header, notes) => {
  const { ask, upstream, events } = await world(
    tool('*.example.com', '@allow_http("true")') + credential('*.example.com', notes),
    ({ url }, reply) =>
      void (url === '/away'
        ? reply.writeHead(307, { location: `http://evil.example.com:${upstream.port}/take` }).end()
        : reply.end('taken')),
  )
  await expect(ask('/away', { ...header, method: 'POST' })).rejects.toEqual(
    failing('REDIRECT_BLOCKED'),
  )
  expect(upstream.seen.map(({ url }) => url)).toEqual(['/away'])
  expect(events()).toContain('egress.blocked single')
})

test('an own secret is not sent in the clear unless a permit says so, nor when a policy forbids to read it', async () => {
  const forbid = `@id("f") forbid(principal, action == Action::"vault:retrieve",
    resource in PathGlob::"secrets/scout/prod/**");`
  const plain = await world(tool('api.example.com'), ok)
  await expect(plain.ask('/x', bearer('secret://key'))).rejects.toEqual(failing('ACCESS_DENIED'))
  const told = await world(tool('api.example.com', '@allow_http("true")') + forbid, ok)
  await expect(told.ask('/x', bearer('secret://prod/key'))).rejects.toEqual(
    failing('ACCESS_DENIED'),
  )
  expect(told.opened).toEqual([])
  await told.ask('/x', bearer('secret://key'))
  expect(told.upstream.seen).toHaveLength(1)
})

test('a secret that comes back is taken out of body, headers and URL, in whatever writing', async () => {
  const { ask, written } = await world(
    tool('api.example.com') + credential('api.example.com'),
    ({ headers }, reply) => {
      const given = String(headers.authorization)
      reply.setHeader('x-echo', given)
      reply.end([given, Buffer.from(given).toString('base64'), encodeURIComponent(given)].join('|'))
    },
  )
  const reply = await ask('/x', KEY)
  const shown = text(reply) + JSON.stringify(reply.headers)
  expect(shown).not.toContain(VALUE)
  expect(shown).not.toContain(Buffer.from(VALUE).toString('base64').slice(0, 24))
  expect(shown).toContain('[REDACTED]')
  expect(written.map(({ action }) => action)).toContain('egress.reflection')
})

test('runtime §5.1: a redirect is decided again, with the method and the host that it leads to', async () => {
  const get = tool('*.example.com', '', 'get', '== Tool::"http:get"')
  const post = tool('api.example.com', '', 'post', '== Tool::"http:post"')
  const go: Handler = ({ url, method }, reply) => {
    const [, status, host] = url.split('/')
    if (host === undefined) reply.end(`${method} ${url}`)
    else reply.writeHead(Number(status), { location: `http://${host}/end` }).end()
  }
  const { ask, upstream } = await world(get + post, go)
  const sent = { method: 'POST', body: Buffer.from('payload') }
  const { port } = upstream
  expect(text(await ask(`/303/other.example.com:${port}`, sent))).toBe('GET /end')
  expect(upstream.seen.at(-1)?.body).toBe('')
  await expect(ask(`/307/other.example.com:${port}`, sent)).rejects.toEqual(
    failing('REDIRECT_BLOCKED'),
  )
  await expect(ask('/303/169.254.169.254', sent)).rejects.toEqual(failing('SSRF_BLOCKED'))
  await expect(ask(`/303/other.example.org:${port}`)).rejects.toEqual(failing('REDIRECT_BLOCKED'))
})

test('what the transaction has read by then counts at a later hop', async () => {
  const forbid = `@id("f") forbid(principal, action == Action::"tool:call", resource in Tool::"http")
    when { context.taint.contains("private") };`
  const { ask, upstream, taint } = await world(
    tool('*.example.com') + forbid,
    async ({ url }, reply) => {
      await taint.add('txn_1', ['private'])
      if (url === '/go') reply.writeHead(302, { location: '/end' })
      reply.end()
    },
  )
  await expect(ask('/go')).rejects.toEqual(failing('REDIRECT_BLOCKED'))
  expect(upstream.seen).toHaveLength(1)
})

test.each([
  ['an approval', '@approve("operator")', 'REDIRECT_BLOCKED'],
  ['a quota', '@quota("1/24h")', 'RATE_LIMITED'],
  ['a size', '@max_response_bytes("2")', 'RESPONSE_TOO_LARGE'],
  ['a block list', '@block("GET")', 'ACCESS_DENIED'],
])('what the permit for a later hop asks for is not forgotten: %s', async (what, notes, code) => {
  const { ask, upstream } = await world(
    tool('api.example.com') + tool('other.example.com', notes),
    ({ url, method }, reply) =>
      void (url.startsWith('/go')
        ? reply.writeHead(302, { location: `http://other.example.com:${upstream.port}/end` }).end()
        : reply.end(`${method} ${url}`)),
  )
  if (what === 'a quota') await ask('/go/1')
  await expect(ask('/go/2')).rejects.toEqual(failing(code))
})

test('what a permit takes out of replies is taken out; what cannot be looked into is withheld', async () => {
  const notes = '@redact("ssn") @pii("email") @truncate("note:3") @block("forbidden")'
  const { ask } = await world(tool('api.example.com', notes), ({ url }, reply) => {
    if (url === '/json') reply.end('{"ssn": "1", "note": "abcdef", "mail": "ada@example.org"}')
    else if (url === '/binary') reply.end(Buffer.from([0xff, 0xfe, 0x80]))
    else reply.end(url === '/plain' ? 'write to ada@example.org' : 'forbidden')
  })
  const json = await ask('/json')
  expect(JSON.parse(text(json))).toMatchObject({ ssn: '[REDACTED]', note: 'abc...' })
  expect(text(json) + text(await ask('/plain'))).not.toContain('ada@')
  for (const path of ['/binary', '/no'])
    await expect(ask(path)).rejects.toEqual(failing('ACCESS_DENIED'))
})

test('the most that a permit lets through is kept to, and so is the number of requests at once', async () => {
  let release: () => void = () => {}
  const { ask, upstream } = await world(
    tool('api.example.com', '@max_response_bytes("4")'),
    ({ url }, reply) => {
      if (url === '/slow') release = () => void reply.end('ok')
      else reply.end('12345')
    },
  )
  await expect(ask('/x')).rejects.toEqual(failing('RESPONSE_TOO_LARGE'))
  const slow = ask('/slow')
  await expect.poll(() => upstream.seen.length).toBe(2)
  await expect(ask('/x')).rejects.toEqual(failing('RATE_LIMITED'))
  release()
  expect(text(await slow)).toBe('ok')
})

test('headers that steer the connection or break a line never leave', async () => {
  const { ask, upstream } = await world(tool('api.example.com'), ok)
  const headers = [
    ['Host', 'evil.example.com'],
    ['Transfer-Encoding', 'chunked'],
    ['X-HTTP-Method-Override', 'DELETE'],
  ] as const
  await ask('/x', { headers })
  const { headers: seen } = upstream.seen[0] ?? {}
  expect(seen?.host).toBe(`api.example.com:${upstream.port}`)
  expect(seen).not.toHaveProperty('transfer-encoding')
  expect(seen).not.toHaveProperty('x-http-method-override')
  for (const bad of ['a\r\nX-Evil: 1', 'a\nb', '\u0000'])
    await expect(ask('/x', { headers: [['X-A', bad]] })).rejects.toEqual(failing('INVALID_PARAMS'))
  await expect(
    ask('/x', {
      headers: [
        ['Content-Type', 'text/plain'],
        ['content-type', 'text/html'],
      ],
    }),
  ).rejects.toEqual(failing('INVALID_PARAMS'))
  await expect(ask('/x', bearer('secret://key', 'Host'))).rejects.toEqual(failing('INVALID_PARAMS'))
})

test('an address that is never allowed leaves a record', async () => {
  const { ask, events } = await world(tool('*'), ok)
  await expect(ask('http://169.254.169.254/latest')).rejects.toEqual(failing('SSRF_BLOCKED'))
  await expect(ask('http://[::ffff:169.254.169.254]/')).rejects.toEqual(failing('SSRF_BLOCKED'))
  expect(events()).toContain('egress.blocked single')
})
