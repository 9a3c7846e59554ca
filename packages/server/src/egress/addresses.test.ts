import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type AddressRules, parseAddress, parseCidr, refuse, sameAddress } from './addresses.ts'

const closed: AddressRules = { holes: [], ownListeners: () => [], localAddresses: () => [] }

function judge(text: string, rules: Partial<AddressRules> = {}, port = 443): string | undefined {
  const bytes = parseAddress(text)
  if (bytes === undefined) throw new Error(`${text} is no address`)
  return refuse(bytes, port, { ...closed, ...rules })
}

const open = (...blocks: string[]) => ({ holes: blocks.map(parseCidr) })

/** First and last address of every range of wire contract §8.3, and its neighbours outside. */
const IPV4: [inside: string[], outside: string[]][] = [
  [['0.0.0.0', '0.255.255.255'], ['1.0.0.0']],
  [
    ['10.0.0.0', '10.255.255.255'],
    ['9.255.255.255', '11.0.0.0'],
  ],
  [
    ['100.64.0.0', '100.127.255.255'],
    ['100.63.255.255', '100.128.0.0'],
  ],
  [
    ['127.0.0.0', '127.0.0.1', '127.255.255.255'],
    ['126.255.255.255', '128.0.0.0'],
  ],
  [
    ['169.254.0.0', '169.254.255.255'],
    ['169.253.255.255', '169.255.0.0'],
  ],
  [
    ['172.16.0.0', '172.31.255.255'],
    ['172.15.255.255', '172.32.0.0'],
  ],
  [
    ['192.0.0.0', '192.0.0.255'],
    ['191.255.255.255', '192.0.1.0'],
  ],
  [
    ['192.0.2.0', '192.0.2.255'],
    ['192.0.1.255', '192.0.3.0'],
  ],
  [
    ['192.88.99.0', '192.88.99.255'],
    ['192.88.98.255', '192.88.100.0'],
  ],
  [
    ['192.168.0.0', '192.168.255.255'],
    ['192.167.255.255', '192.169.0.0'],
  ],
  [
    ['198.18.0.0', '198.19.255.255'],
    ['198.17.255.255', '198.20.0.0'],
  ],
  [
    ['198.51.100.0', '198.51.100.255'],
    ['198.51.99.255', '198.51.101.0'],
  ],
  [
    ['203.0.113.0', '203.0.113.255'],
    ['203.0.112.255', '203.0.114.0'],
  ],
  [['224.0.0.0', '239.255.255.255', '240.0.0.0', '255.255.255.255'], ['223.255.255.255']],
]

const IPV6: [inside: string[], outside: string[]][] = [
  [['::', '::1'], []],
  [['100::', '100::ffff:ffff:ffff:ffff'], ['100:0:0:1::']],
  [
    ['2001::', '2001:0:ffff:ffff:ffff:ffff:ffff:ffff'],
    ['2001:1::', '2001:4860:4860::8888'],
  ],
  [
    ['2001:db8::', '2001:db8:ffff::1'],
    ['2001:db7::', '2001:db9::'],
  ],
  [['fc00::', 'fdff::1'], ['fbff::1']],
  [['fe80::', 'febf::1'], []],
  [['fec0::', 'feff::1'], []],
  [['ff00::', 'ff02::1', 'ffff::'], []],
]

describe('vault §28.32: every range of 8.3, at its edges', () => {
  for (const [inside, outside] of [...IPV4, ...IPV6]) {
    test(`${inside[0]} to ${inside.at(-1)}`, () => {
      for (const address of inside) expect(judge(address), address).toBeDefined()
      for (const address of outside) expect(judge(address), address).toBeUndefined()
    })
  }
})

/** How an IPv4 address is written into each IPv6 form that carries one. */
const WRAPPERS: Record<string, (a: number, b: number) => string> = {
  'IPv4-mapped': (a, b) => `::ffff:${hex(a)}:${hex(b)}`,
  'IPv4-compatible': (a, b) => `::${hex(a)}:${hex(b)}`,
  NAT64: (a, b) => `64:ff9b::${hex(a)}:${hex(b)}`,
  translated: (a, b) => `::ffff:0:${hex(a)}:${hex(b)}`,
  'local NAT64 /96': (a, b) => `64:ff9b:1:1:1:1:${hex(a)}:${hex(b)}`,
  'local NAT64 /48': (a, b) => `64:ff9b:1:${hex(a)}:${hex(b >> 8)}:${hex((b & 255) << 8)}::`,
  '6to4': (a, b) => `2002:${hex(a)}:${hex(b)}::1`,
}

describe('vault §28.32: an IPv4 address inside an IPv6 one is judged as itself', () => {
  for (const [name, wrap] of Object.entries(WRAPPERS)) {
    test(name, () => {
      for (const address of IPV4.flatMap(([inside]) => inside)) {
        const [a = 0, b = 0, c = 0, d = 0] = address.split('.').map(Number)
        const wrapped = wrap((a << 8) | b, (c << 8) | d)
        expect(judge(wrapped), `${address} as ${wrapped}`).toBeDefined()
      }
    })
  }

  test('public addresses pass in the forms that are globally reachable', () => {
    for (const address of ['::ffff:8.8.8.8', '64:ff9b::8.8.8.8', '2002:808:808::1']) {
      expect(judge(address), address).toBeUndefined()
    }
  })
})

test('vault §28.32: metadata addresses stay forbidden behind any hole and in any form', () => {
  const rules = open(
    '169.254.0.0/16',
    '100.64.0.0/10',
    '168.0.0.0/6',
    'fd00::/8',
    '::/1',
    '2002::/16',
  )
  for (const address of [
    '169.254.169.254',
    '100.100.100.200',
    '168.63.129.16',
    'fd00:ec2::254',
    '::ffff:169.254.169.254',
    '64:ff9b::169.254.169.254',
    '2002:a9fe:a9fe::1',
  ]) {
    expect(judge(address, rules), address).toBe('cloud metadata')
  }
  expect(judge('169.254.1.1', rules)).toBeUndefined()
})

test('a hole opens its block and nothing beside it, nor a translator that could lead there', () => {
  const rules = open('10.20.0.0/16')
  expect(judge('10.20.255.255', rules)).toBeUndefined()
  expect(judge('::ffff:10.20.0.1', rules)).toBeUndefined()
  expect(judge('64:ff9b::10.20.0.1', rules)).toBe('private')
  expect(judge('64:ff9b::10.20.0.1', open('64:ff9b::/96'))).toBeUndefined()
  expect(judge('2002:a14:1::1', rules)).toBe('private')
  expect(judge('10.21.0.0', rules)).toBe('private')
  expect(judge('192.168.0.1', rules)).toBe('private')
  expect(judge('::1', open('::1/128'))).toBeUndefined()
})

test('a hole that would open everything is refused, as is what is no block', () => {
  for (const text of [
    '0.0.0.0/0',
    '::/0',
    '10.0.0.0',
    '10.0.0.0/33',
    '10.0.0.0/8/8',
    'x/8',
    '/8',
  ]) {
    expect(() => parseCidr(text), text).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }))
  }
})

describe("the daemon's own listeners are out of reach even behind a hole", () => {
  const holes = [parseCidr('127.0.0.0/8'), parseCidr('::1/128'), parseCidr('10.0.0.0/8')]
  const localAddresses = () => ['10.1.2.3', '34.5.6.7']

  test('bound to one address', () => {
    const rules = { holes, ownListeners: () => [{ address: '127.0.0.1', port: 8080 }] }
    expect(judge('127.0.0.1', rules, 8080)).toBeDefined()
    expect(judge('::ffff:127.0.0.1', rules, 8080)).toBeDefined()
    expect(judge('127.0.0.1', rules, 8081)).toBeUndefined()
    expect(judge('127.0.0.2', rules, 8080)).toBeUndefined()
  })

  test('bound to all of them', () => {
    for (const address of ['0.0.0.0', '::']) {
      const rules = { holes, localAddresses, ownListeners: () => [{ address, port: 8080 }] }
      for (const own of ['127.0.0.1', '127.9.9.9', '::1', '10.1.2.3', '34.5.6.7']) {
        expect(judge(own, rules, 8080), own).toBeDefined()
      }
      expect(judge('10.9.9.9', rules, 8080)).toBeUndefined()
    }
  })
})

test('any IPv6 address parses to the bytes its text says', () => {
  fc.assert(
    fc.property(fc.ipV6(), (text) => {
      const bytes = parseAddress(text)
      const canonical = new URL(`http://[${text}]`).hostname.slice(1, -1)
      expect(bytes).toHaveLength(16)
      expect(bytes && sameAddress(bytes, parseAddress(canonical) ?? new Uint8Array())).toBe(true)
    }),
  )
})

test('what is no plain address does not parse', () => {
  for (const text of ['fe80::1%eth0', '1.2.3', '0x7f.0.0.1', 'example.com', '', '1.2.3.4.5']) {
    expect(parseAddress(text), text).toBeUndefined()
  }
})

function hex(value: number): string {
  return value.toString(16)
}
