/** Where requests may go: addresses, names, schemes, pins, against real servers on loopback. */
import { X509Certificate } from 'node:crypto'
import { VestryError } from '@vestry/contract/errors'
import { describe, expect, test } from 'vitest'
import { send } from './send.ts'
import { createAuthority } from './testing/authority.ts'
import { startRawUpstream, startUpstream } from './testing/upstream.ts'
import { createWorld, GRANT, requestFor } from './testing/world.ts'
import { keyPin } from './trust.ts'

const blocked = expect.objectContaining({ code: 'SSRF_BLOCKED' })
const upstreamError = expect.objectContaining({ code: 'UPSTREAM_ERROR' })

/** One address of each range of wire contract §8.3, plain or inside an IPv6 form. */
const FORBIDDEN = [
  '0.1.2.3',
  '10.0.0.1',
  '100.64.0.1',
  '127.0.0.1',
  '169.254.1.1',
  '169.254.169.254',
  '172.16.0.1',
  '192.0.0.1',
  '192.0.2.1',
  '192.88.99.1',
  '192.168.0.1',
  '198.18.0.1',
  '198.51.100.1',
  '203.0.113.1',
  '224.0.0.1',
  '255.255.255.255',
  '100.100.100.200',
  '168.63.129.16',
  '::',
  '::1',
  '100::1',
  '2001::1',
  '2001:db8::1',
  'fd00::1',
  'fd00:ec2::254',
  'fe80::1',
  'fec0::1',
  'ff02::1',
  '::ffff:127.0.0.1',
  '::ffff:a9fe:a9fe',
  '::10.0.0.1',
  '64:ff9b::169.254.169.254',
  '64:ff9b:1::10.0.0.1',
  '2002:7f00:1::1',
]

const literal = (address: string) => (address.includes(':') ? `[${address}]` : address)

describe('vault §28.32: every forbidden range is refused', () => {
  test('as a literal, even one that policy lists', async () => {
    await using world = createWorld({ holes: [] })
    for (const address of FORBIDDEN) {
      const request = requestFor(`http://${literal(address)}/`)
      await expect(send(request, world.deps), address).rejects.toThrow(blocked)
    }
    expect(world.asked).toEqual([])
  })

  test('as a DNS answer, alone or beside a good one', async () => {
    for (const address of FORBIDDEN) {
      for (const answers of [[address], ['93.184.216.34', address], [address, '93.184.216.34']]) {
        await using world = createWorld({ holes: [], names: { 'api.example.com': answers } })
        const sent = send(requestFor('https://api.example.com/'), world.deps)
        await expect(sent, answers.join()).rejects.toThrow(blocked)
      }
    }
  })

  test('as a redirect, with a credential and without', async () => {
    await using upstream = await startUpstream(({ url }, reply) => {
      reply.writeHead(302, { location: `http://${literal(url.slice(1))}/` }).end()
    })
    await using world = createWorld()
    for (const address of FORBIDDEN.filter((text) => !text.endsWith('127.0.0.1'))) {
      const url = `http://api.example.com:${upstream.port}/${address}`
      await expect(send(requestFor(url), world.deps), address).rejects.toThrow(blocked)
      const secret = requestFor(url, { secret: 'a-long-secret' })
      await expect(send(secret, world.deps), address).rejects.toThrow(blocked)
    }
  })

  test('as a redirect to a name that resolves to it', async () => {
    await using upstream = await startUpstream((_, reply) => {
      reply.writeHead(302, { location: 'http://inner.example/' }).end()
    })
    await using world = createWorld({ names: { 'inner.example': ['10.0.0.1'] } })
    const request = requestFor(`http://api.example.com:${upstream.port}/`)
    await expect(send(request, world.deps)).rejects.toThrow(blocked)
  })

  test('in every spelling of loopback', async () => {
    await using upstream = await startUpstream((_, reply) => void reply.end('reached'))
    await using world = createWorld({ holes: [] })
    for (const host of [
      '0x7f.1',
      '2130706433',
      '0177.0.0.1',
      '127.1',
      '１２７.0.0.1',
      '127.0.0.1.',
    ]) {
      const request = requestFor(`http://${host}:${upstream.port}/`)
      await expect(send(request, world.deps), host).rejects.toThrow(blocked)
    }
    expect(upstream.connections()).toBe(0)
  })

  test('a scoped address is refused too', async () => {
    await using world = createWorld({ names: { 'api.example.com': ['fe80::1%eth0'] } })
    await expect(send(requestFor('https://api.example.com/'), world.deps)).rejects.toThrow(blocked)
  })
})

describe('vault §28.32: rebinding', () => {
  test('the vetted answer is the one connected to; the name is asked once per request', async () => {
    await using upstream = await startUpstream((_, reply) => void reply.end('ok'))
    const names = { 'api.example.com': [['127.0.0.1'], ['10.0.0.1']] }
    await using world = createWorld({ names })
    const request = requestFor(`http://api.example.com:${upstream.port}/`)
    expect((await send(request, world.deps)).status).toBe(200)
    expect(world.asked).toEqual(['api.example.com'])
    await expect(send(request, world.deps)).rejects.toThrow(blocked)
  })

  test('each hop of a redirect is resolved and vetted again', async () => {
    await using upstream = await startUpstream((_, reply) => {
      reply.writeHead(302, { location: '/again' }).end()
    })
    const names = { 'api.example.com': [['127.0.0.1'], ['127.0.0.2']] }
    await using world = createWorld({ names })
    const request = requestFor(`http://api.example.com:${upstream.port}/`)
    await expect(send(request, world.deps)).rejects.toThrow(blocked)
    expect(upstream.seen).toHaveLength(1)
  })
})

describe('hosts that must be listed exactly', () => {
  const pattern = { ...GRANT, exactHost: false }

  test('a pattern does not open literals, one-label or special-use names', async () => {
    await using world = createWorld()
    for (const host of [
      '127.0.0.1',
      'intranet',
      'db.internal',
      'x.local',
      'a.localhost',
      'b.onion',
    ]) {
      const request = requestFor(`http://${host}:1/`, { authorize: () => pattern })
      await expect(send(request, world.deps), host).rejects.toThrow(blocked)
    }
    expect(world.asked).toEqual([])
  })

  test('cleartext needs its own permission', async () => {
    await using world = createWorld()
    const authorize = () => ({ ...GRANT, allowHttp: false })
    const request = requestFor('http://api.example.com/', { authorize })
    await expect(send(request, world.deps)).rejects.toMatchObject({ code: 'ACCESS_DENIED' })
  })
})

test("the daemon's own listener is out of reach behind a hole", async () => {
  await using own = await startUpstream((_, reply) => void reply.end('reached'))
  const ownListeners = () => [{ address: '0.0.0.0', port: own.port }]
  await using world = createWorld({ rules: { ownListeners } })
  const request = requestFor(`http://127.0.0.1:${own.port}/`)
  await expect(send(request, world.deps)).rejects.toThrow(blocked)
  expect(own.connections()).toBe(0)
})

test('policy is asked before every hop, and before the name is resolved', async () => {
  await using upstream = await startUpstream(({ url }, reply) => {
    if (url === '/a') reply.writeHead(302, { location: '/b?x=1' }).end()
    else reply.end('ok')
  })
  await using world = createWorld()
  const asked: string[] = []
  const base = `http://api.example.com:${upstream.port}`
  await send(
    requestFor(`${base}/a`, {
      authorize: (target, hop) => {
        asked.push(`${hop} ${target.path}`)
        return GRANT
      },
    }),
    world.deps,
  )
  expect(asked).toEqual(['0 /a', '1 /b'])
  const denied = new VestryError('ACCESS_DENIED', 'no')
  const deny = requestFor(`${base}/a`, { authorize: () => Promise.reject(denied) })
  await expect(send(deny, world.deps)).rejects.toBe(denied)
  expect(world.asked).toHaveLength(2)
})

test('a name without addresses, and a resolver that fails, are upstream errors', async () => {
  await using world = createWorld({ names: { 'api.example.com': [] } })
  const request = requestFor('https://api.example.com/')
  await expect(send(request, world.deps)).rejects.toThrow(upstreamError)
  const resolver = () => Promise.reject(Object.assign(new Error('boom'), { code: 'ESERVFAIL' }))
  await expect(send(request, { ...world.deps, resolver })).rejects.toMatchObject({
    code: 'UPSTREAM_ERROR',
    context: { reason: 'ESERVFAIL' },
  })
})

test('a hanging resolver ends with the request', async () => {
  await using world = createWorld()
  const resolver = () => new Promise<string[]>(() => {})
  const request = requestFor('https://api.example.com/', { timeoutMs: 100 })
  await expect(send(request, { ...world.deps, resolver })).rejects.toMatchObject({
    code: 'UPSTREAM_TIMEOUT',
  })
})

describe('TLS', () => {
  const authority = createAuthority()
  const issued = authority.issue('api.example.com', '127.0.0.1')
  const ok = startUpstream((_, reply) => void reply.end('ok'), issued)
  const url = async (host = 'api.example.com') => `https://${host}:${(await ok).port}/`

  test('connects to the address, checks the name, says the name', async () => {
    await using world = createWorld({ pool: { caPem: authority.ca } })
    const result = await send(requestFor(await url()), world.deps)
    expect(result.status).toBe(200)
    expect((await ok).seen.at(-1)?.headers.host).toBe(`api.example.com:${(await ok).port}`)
    expect((await send(requestFor(await url('127.0.0.1')), world.deps)).status).toBe(200)
  })

  test('a wrong name and an unknown authority are upstream errors', async () => {
    await using world = createWorld({ pool: { caPem: authority.ca } })
    await expect(send(requestFor(await url('other.example')), world.deps)).rejects.toMatchObject({
      code: 'UPSTREAM_ERROR',
      context: { reason: 'ERR_TLS_CERT_ALTNAME_INVALID' },
    })
    await using strangers = createWorld()
    await expect(send(requestFor(await url()), strangers.deps)).rejects.toThrow(upstreamError)
  })

  test('verification stays on when the environment switches it off', async () => {
    await using world = createWorld()
    const before = process.env['NODE_TLS_REJECT_UNAUTHORIZED']
    process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = '0'
    try {
      await expect(send(requestFor(await url()), world.deps)).rejects.toThrow(upstreamError)
    } finally {
      if (before === undefined) delete process.env['NODE_TLS_REJECT_UNAUTHORIZED']
      else process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = before
    }
  })

  test('a proxy in the environment is not used', async () => {
    await using world = createWorld({ pool: { caPem: authority.ca } })
    const before = { ...process.env }
    Object.assign(process.env, {
      HTTPS_PROXY: 'http://127.0.0.1:1',
      ALL_PROXY: 'http://127.0.0.1:1',
    })
    try {
      expect((await send(requestFor(await url()), world.deps)).status).toBe(200)
    } finally {
      delete process.env['HTTPS_PROXY']
      delete process.env['ALL_PROXY']
      Object.assign(process.env, before)
    }
  })

  test('a pin is met by the leaf or by the authority that signed it, and by nothing else', async () => {
    await using world = createWorld({ pool: { caPem: authority.ca } })
    const pins = {
      leaf: keyPin(new X509Certificate(issued.cert)),
      issuer: keyPin(new X509Certificate(authority.ca)),
      hex: Buffer.from(keyPin(new X509Certificate(issued.cert)), 'base64').toString('hex'),
    }
    for (const pin of Object.values(pins)) {
      const authorize = () => ({ ...GRANT, pinSha256: [pin] })
      expect((await send(requestFor(await url(), { authorize }), world.deps)).status).toBe(200)
    }
    const stranger = keyPin(new X509Certificate(createAuthority().ca))
    // A connection opened without the pin must not serve a request that has one.
    await send(requestFor(await url()), world.deps)
    const authorize = () => ({ ...GRANT, pinSha256: [stranger] })
    await expect(send(requestFor(await url(), { authorize }), world.deps)).rejects.toThrow(
      upstreamError,
    )
  })

  test('an authority that did not sign the leaf meets no pin, though its certificate was sent', async () => {
    const stranger = createAuthority()
    const posing = { ...issued, cert: issued.cert + stranger.ca }
    await using upstream = await startUpstream((_, reply) => void reply.end('ok'), posing)
    await using world = createWorld({ pool: { caPem: authority.ca } })
    const authorize = () => ({ ...GRANT, pinSha256: [keyPin(new X509Certificate(stranger.ca))] })
    const request = requestFor(`https://api.example.com:${upstream.port}/`, { authorize })
    await expect(send(request, world.deps)).rejects.toThrow(upstreamError)
  })

  test('a server that speaks no TLS is an upstream error', async () => {
    await using plain = await startRawUpstream((socket) => socket.end('HTTP/1.1 200 OK\r\n\r\n'))
    await using world = createWorld()
    const request = requestFor(`https://api.example.com:${plain.port}/`)
    await expect(send(request, world.deps)).rejects.toThrow(upstreamError)
  })
})

describe('connections', () => {
  test('a dead address is followed by the next one, and a dead host by an error', async () => {
    await using upstream = await startUpstream((_, reply) => void reply.end('ok'))
    const names = { 'api.example.com': ['127.0.0.2', '127.0.0.1'], 'dead.example': ['127.0.0.2'] }
    await using world = createWorld({ names, holes: ['127.0.0.0/8'] })
    const at = (host: string) => requestFor(`http://${host}:${upstream.port}/`)
    expect((await send(at('api.example.com'), world.deps)).status).toBe(200)
    await expect(send(at('dead.example'), world.deps)).rejects.toMatchObject({
      code: 'UPSTREAM_ERROR',
      context: { reason: 'ECONNREFUSED' },
    })
  })

  test('nothing is sent twice once a byte of it was written', async () => {
    let requests = 0
    await using upstream = await startRawUpstream((socket) => {
      socket.once('data', () => {
        requests += 1
        socket.destroy()
      })
    })
    await using world = createWorld()
    const request = requestFor(`http://api.example.com:${upstream.port}/`)
    await expect(send(request, world.deps)).rejects.toThrow(upstreamError)
    expect(requests).toBe(1)
  })

  test('one is reused for one credential version, and never for another', async () => {
    await using upstream = await startUpstream((_, reply) => void reply.end('ok'))
    await using world = createWorld()
    const url = `http://api.example.com:${upstream.port}/`
    const as = (path: string, version: number) =>
      send(requestFor(url, { poolKey: { path, version } }), world.deps)
    // The library may open a second one when the next request follows in the same tick.
    for (let turn = 0; turn < 6; turn += 1) await as('a', 1)
    const before = upstream.connections()
    expect(before).toBeLessThanOrEqual(2)
    await as('a', 2)
    await as('b', 1)
    expect(upstream.connections()).toBe(before + 2)
    world.deps.pool.dropCredential('a')
    expect(world.deps.pool.size).toBe(1)
    await as('a', 1)
    expect(upstream.connections()).toBe(before + 3)
  })

  test('their number is bounded, and idle ones are let go', async () => {
    await using upstream = await startUpstream((_, reply) => void reply.end('ok'))
    let nowMs = 0
    await using world = createWorld({ pool: { maxEndpoints: 3, idleMs: 1_000, now: () => nowMs } })
    const url = `http://api.example.com:${upstream.port}/`
    for (let version = 0; version < 8; version += 1) {
      await send(requestFor(url, { poolKey: { path: 'a', version } }), world.deps)
    }
    expect(world.deps.pool.size).toBe(3)
    nowMs += 2_000
    await send(requestFor(url, { poolKey: { path: 'b', version: 1 } }), world.deps)
    expect(world.deps.pool.size).toBe(1)
  })

  test('closing lets requests finish, destroying does not, and neither takes new ones', async () => {
    const waiting: (() => void)[] = []
    await using upstream = await startUpstream((_, reply) => {
      waiting.push(() => void reply.end('ok'))
    })
    for (const how of ['close', 'destroy'] as const) {
      await using world = createWorld()
      const request = requestFor(`http://api.example.com:${upstream.port}/`)
      const sent = send(request, world.deps)
      const outcome = sent.then(({ status }) => status).catch((error: unknown) => error)
      await expect.poll(() => waiting.length).toBe(1)
      const closed = world.deps.pool[how]()
      await expect(send(request, world.deps)).rejects.toMatchObject({ code: 'SHUTTING_DOWN' })
      if (how === 'close') waiting.pop()?.()
      await closed
      const expected = how === 'close' ? 200 : expect.objectContaining({ code: 'UPSTREAM_ERROR' })
      expect(await outcome).toEqual(expected)
    }
  })
})
