import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { temporaryHome } from '../harness/boot.ts'
import { type Providers, startProviders } from '../old-clients/gateway/fake-providers.ts'
import { type GatewayNode, startNode } from './world.ts'

const denied = (reason: string) => ({ status: 400, json: { code: `POLICY_${reason}` } })
const ACTIONS = ['get', 'head'] as const

describe('gateway §19.17: which hosts an agent may fetch from', () => {
  const home = temporaryHome()
  let node: GatewayNode
  let token: string
  beforeAll(async () => {
    node = await startNode(home) // mocks: what is decided here needs no network
    const guards = {
      allowedDomains: ['example.com', 'bücher.example', 'Port.Example:8443'],
      blockedDomains: ['bad.example.com'],
    }
    ;({ token } = await node.caller({ scopes: ['http_fetch:*'], guards }))
  })
  afterAll(async () => {
    await node[Symbol.asyncDispose]()
    home[Symbol.dispose]()
  })

  describe.each(ACTIONS)('%s', (action) => {
    const fetchFrom = (url: string) => node.call(token, `http_fetch:${action}`, { url })

    test.each([
      'https://example.com/',
      'https://www.example.com/a?b=c#d',
      'https://a.b.example.com/',
      'https://EXAMPLE.com/',
      'https://example.com./',
      'http://example.com:80/',
      'https://bücher.example/',
      'https://xn--bcher-kva.example/',
      'https://BÜCHER.example/',
      'https://port.example:8443/',
    ])('%s is allowed', async (url) => {
      expect((await fetchFrom(url)).status).toBe(200)
    })

    test.each([
      'https://notexample.com/',
      'https://example.com.evil.org/',
      'https://example.org/',
      'https://example.comx/',
      'https://com/',
      'https://xn--bcher-kvb.example/',
      'https://port.example/',
    ])('%s is not allowed', async (url) => {
      expect(await fetchFrom(url)).toMatchObject(denied('DOMAIN_NOT_ALLOWED'))
    })

    test.each([
      'https://bad.example.com/',
      'https://very.bad.example.com/',
      'https://BAD.Example.COM./',
      'http://bad.example.com/',
    ])('%s is blocked', async (url) => {
      expect(await fetchFrom(url)).toMatchObject(denied('DOMAIN_BLOCKED'))
    })

    test.each([
      'https://example.com@evil.org/',
      'https://user:word@example.com/',
      'ftp://example.com/',
      'file:///etc/passwd',
      '//example.com/',
      'https://',
    ])('%s is no address to fetch', async (url) => {
      const { status, json } = await fetchFrom(url)
      expect(status).toBe(400)
      expect(json.code).toMatch(/^(INVALID_PARAMS|POLICY_DOMAIN_(BLOCKED|NOT_ALLOWED))$/)
    })
  })

  test('a policy without a list of domains allows none', async () => {
    const bare = await node.caller({ scopes: ['http_fetch:*'] })
    const empty = await node.caller({ scopes: ['http_fetch:*'], guards: { allowedDomains: [] } })
    for (const caller of [bare, empty]) {
      const answer = await node.call(caller.token, 'http_fetch:get', {
        url: 'https://example.com/',
      })
      expect(answer).toMatchObject(denied('DOMAIN_NOT_ALLOWED'))
    }
  })
})

describe('gateway §19.17: redirects are decided anew', () => {
  const home = temporaryHome()
  let providers: Providers
  let node: GatewayNode
  let port: string
  beforeAll(async () => {
    providers = await startProviders()
    port = providers.host.split(':')[1] ?? ''
    const hosts = [providers.host, `localhost:${port}`]
    node = await startNode(home, { providers, gateway: { http_fetch_allowed_domains: hosts } })
  })
  afterAll(async () => {
    await node[Symbol.asyncDispose]()
    await providers[Symbol.asyncDispose]()
    home[Symbol.dispose]()
  })

  const here = () => `http://127.0.0.1:${port}/page/here`
  const there = () => `http://localhost:${port}/page/there`

  /** The first path leads to the second, which answers. */
  const leadTo = (location: string, status = 302) =>
    providers.become('page', ({ path }) =>
      path === '/here' ? { status, headers: { location } } : 'fine',
    )

  test.each(ACTIONS)(
    '%s does not follow one to a blocked host, nor off the list',
    async (action) => {
      const ask = async (guards: object) => {
        const { token } = await node.caller({ scopes: ['http_fetch:*'], guards })
        return node.call(token, `http_fetch:${action}`, { url: here() })
      }
      leadTo(there())
      const hosts = { allowedDomains: [providers.host, `localhost:${port}`] }
      const reached = () =>
        providers.requests('page').filter(({ path }) => path === '/there').length
      expect((await ask(hosts)).json).toMatchObject({ data: { status: 200, url: there() } })
      const seen = reached()
      expect(seen).toBe(1 + ACTIONS.indexOf(action))
      expect(await ask({ ...hosts, blockedDomains: ['localhost'] })).toMatchObject(
        denied('DOMAIN_BLOCKED'),
      )
      expect(await ask({ allowedDomains: [providers.host] })).toMatchObject(
        denied('DOMAIN_NOT_ALLOWED'),
      )
      expect(reached()).toBe(seen)
    },
  )

  test.each([
    'http://169.254.169.254/latest/meta-data',
    'http://10.0.0.1/',
    'http://[::1]/',
    'file:///etc/passwd',
    'http://127.0.0.1:1/',
  ])('one to %s goes nowhere', async (location) => {
    leadTo(location)
    const guards = { allowedDomains: ['127.0.0.1', '169.254.169.254', '10.0.0.1'] }
    const { token } = await node.caller({ scopes: ['http_fetch:*'], guards: { ...guards } })
    const { token: listed } = await node.caller({
      scopes: ['http_fetch:*'],
      guards: { allowedDomains: [providers.host] },
    })
    for (const caller of [token, listed]) {
      const { status, json } = await node.call(caller, 'http_fetch:get', { url: here() })
      expect([400, 422], JSON.stringify(json)).toContain(status)
      expect(JSON.stringify(json)).not.toContain('meta-data')
    }
  })

  test('a circle ends', async () => {
    providers.become('page', { status: 302, headers: { location: here() } })
    const { token } = await node.caller({
      scopes: ['http_fetch:*'],
      guards: { allowedDomains: [providers.host] },
    })
    const before = providers.requests('page').length
    const { status } = await node.call(token, 'http_fetch:get', { url: here() })
    expect(status).toBe(422)
    expect(providers.requests('page').length - before).toBeLessThanOrEqual(6)
  })
})

test('gateway §19.32: a host that fails stops nobody who fetches from another one', async () => {
  using home = temporaryHome()
  await using providers = await startProviders()
  const port = providers.host.split(':')[1] ?? ''
  const hosts = [providers.host, `localhost:${port}`]
  await using node = await startNode(home, {
    providers,
    gateway: {
      http_fetch_allowed_domains: hosts,
      retry_max_retries: 0,
      cb_fail_threshold: 2,
      cache_enabled: false,
    },
  })
  const one = await node.caller({ scopes: ['http_fetch:*'] })
  const other = await node.caller({ scopes: ['http_fetch:*'] })
  const fetchBy = async ({ token }: { token: string }, url: string) => {
    const { status, json } = await node.call(token, 'http_fetch:get', { url })
    return [status, json.code]
  }
  providers.become('page', ({ path }) => (path.startsWith('/dead') ? { status: 503 } : 'fine'))
  for (let n = 0; n < 2; n += 1) {
    expect(await fetchBy(one, `http://127.0.0.1:${port}/page/dead${n}`)).toEqual([
      502,
      'UPSTREAM_FAILED',
    ])
  }
  expect(await fetchBy(one, `http://127.0.0.1:${port}/page/alive`)).toEqual([503, 'CIRCUIT_OPEN'])
  expect(await fetchBy(other, `http://localhost:${port}/page/alive`)).toEqual([200, undefined])
  const { json } = await node.http('GET', '/ready')
  expect(json.checks.circuitBreakers).toMatchObject({ http_fetch: false, serpapi: true })
})
