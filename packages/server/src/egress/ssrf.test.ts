/**
 * Addresses as an agent's fetch meets them: no credential, redirects allowed, either scheme, and a policy that
 * lists every host. What is refused here is refused by the address rules alone.
 */
import { expect, test } from 'vitest'
import { type EgressRequest, send } from './send.ts'
import { startUpstream } from './testing/upstream.ts'
import { createWorld, requestFor } from './testing/world.ts'

const blocked = expect.objectContaining({ code: 'SSRF_BLOCKED' })

const fetchOf = (url: string, options: Partial<EgressRequest> = {}): EgressRequest =>
  requestFor(url, {
    maxRedirects: 5,
    onOverflow: 'refuse',
    authorize: () => ({ exactHost: true, allowHttp: true, followRedirects: true }),
    ...options,
  })

const INNER: [kind: string, addresses: string[]][] = [
  ['loopback', ['127.0.0.1', '127.8.8.8', '::1']],
  ['private', ['10.1.2.3', '172.31.255.1', '192.168.1.1', 'fd12::1']],
  ['link-local', ['169.254.7.7', 'fe80::7']],
  ['metadata', ['169.254.169.254', '100.100.100.200', 'fd00:ec2::254']],
  ['carrier-grade NAT', ['100.64.0.1', '100.127.255.254']],
  ['multicast', ['224.0.0.251', 'ff02::fb']],
  ['unspecified', ['0.0.0.0', '::']],
  ['documentation and benchmarking', ['192.0.2.1', '198.18.0.1', '2001:db8::1']],
  [
    'mapped and translated',
    ['::ffff:127.0.0.1', '::ffff:10.0.0.1', '::ffff:a9fe:a9fe', '64:ff9b::a00:1', '2002:a00:1::'],
  ],
]

const urlOf = (address: string, scheme = 'http') =>
  `${scheme}://${address.includes(':') ? `[${address}]` : address}/latest/meta-data`

test.each(INNER)(
  'gateway §19.27: %s addresses are refused as literals',
  async (_kind, addresses) => {
    await using world = createWorld({ holes: [] })
    for (const address of addresses) {
      for (const scheme of ['http', 'https']) {
        const fetching = send(fetchOf(urlOf(address, scheme)), world.deps)
        await expect(fetching, address).rejects.toThrow(blocked)
      }
    }
  },
)

test.each(INNER)(
  'gateway §19.27: a name with one %s address is refused, whatever the others are',
  async (_kind, addresses) => {
    for (const address of addresses) {
      for (const answers of [[address], ['93.184.216.34', address], [address, '2606:4700::1111']]) {
        await using world = createWorld({ holes: [], names: { 'shop.example': answers } })
        await expect(send(fetchOf('https://shop.example/'), world.deps)).rejects.toThrow(blocked)
      }
    }
  },
)

test('gateway §19.27: decimal, octal, hexadecimal and shortened hosts are the addresses they stand for', async () => {
  await using upstream = await startUpstream((_, reply) => void reply.end('reached'))
  await using world = createWorld({ holes: [] })
  for (const host of [
    '2130706433',
    '017700000001',
    '0x7f000001',
    '0177.0.0.01',
    '0x7f.0.0.1',
    '127.1',
    '127.0.1',
    '0',
    '2852039166',
    '0xa9fea9fe',
    '0251.0376.0251.0376',
    '169.254.43518',
    '127.0.0.1.',
    '１２７.０.０.１',
    '[::ffff:7f00:1]',
    '[0:0:0:0:0:ffff:127.0.0.1]',
  ]) {
    const fetching = send(fetchOf(`http://${host}:${upstream.port}/`), world.deps)
    await expect(fetching, host).rejects.toThrow(blocked)
  }
  expect(world.asked).toEqual([])
  expect(upstream.connections()).toBe(0)
})

test('gateway §19.27: a name that changes its address between check and connection reaches the one checked', async () => {
  await using upstream = await startUpstream((_, reply) => void reply.end('public'))
  await using world = createWorld({ names: { 'rebind.example': [['127.0.0.1'], ['127.0.0.2']] } })
  const url = `http://rebind.example:${upstream.port}/`
  const { body } = await send(fetchOf(url), world.deps)
  expect(Buffer.from(body).toString()).toBe('public')
  expect(world.asked).toEqual(['rebind.example'])
  // The next request sees the new answer, and a connection that is still open does not help it.
  await expect(send(fetchOf(url), world.deps)).rejects.toThrow(blocked)
  expect(upstream.seen).toHaveLength(1)
})

test.each(INNER)(
  'gateway §19.27: a redirect to %s addresses is refused, by literal and by name',
  async (_kind, addresses) => {
    const inner = addresses.filter((address) => !/127\.0\.0\.1$/.test(address))
    await using upstream = await startUpstream(({ url }, reply) => {
      reply.writeHead(302, { location: decodeURIComponent(url.slice(1)) }).end()
    })
    for (const address of inner) {
      await using world = createWorld({ names: { 'inner.example': [address] } })
      for (const location of [urlOf(address), 'http://inner.example/', '//inner.example/x']) {
        const from = `http://shop.example:${upstream.port}/${encodeURIComponent(location)}`
        await expect(send(fetchOf(from), world.deps), `${address} ${location}`).rejects.toThrow(
          blocked,
        )
      }
    }
  },
)

test('gateway §19.27: every hop of a chain is vetted anew, the last one too', async () => {
  await using upstream = await startUpstream(({ url }, reply) => {
    const hop = Number(url.slice(1))
    reply.writeHead(302, { location: hop < 4 ? `/${hop + 1}` : 'http://shop.example/' }).end()
  })
  const answers = [...Array.from({ length: 5 }, () => ['127.0.0.1']), ['192.168.0.1']]
  await using world = createWorld({ names: { 'shop.example': answers } })
  const fetching = send(fetchOf(`http://shop.example:${upstream.port}/0`), world.deps)
  await expect(fetching).rejects.toThrow(blocked)
  expect(world.asked).toHaveLength(6)
  expect(upstream.seen).toHaveLength(5)
})

test('gateway §19.27: neither other schemes nor logins in the URL are followed', async () => {
  await using upstream = await startUpstream(({ url }, reply) => {
    reply.writeHead(302, { location: decodeURIComponent(url.slice(1)) }).end()
  })
  await using world = createWorld()
  for (const location of [
    'file:///etc/passwd',
    'gopher://127.0.0.1:6379/_INFO',
    'ftp://shop.example/',
    'data:text/plain,x',
    'http://user:pass@shop.example/',
    'http://shop.example:0/',
  ]) {
    const from = `http://shop.example:${upstream.port}/${encodeURIComponent(location)}`
    await expect(send(fetchOf(from), world.deps), location).rejects.toMatchObject({
      code: 'REDIRECT_BLOCKED',
    })
    await expect(send(fetchOf(location), world.deps), location).rejects.toMatchObject({
      code: 'INVALID_PARAMS',
    })
  }
})
