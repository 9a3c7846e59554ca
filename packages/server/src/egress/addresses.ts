/**
 * Which addresses may be connected to (wire contract §8.3). Decides on the 4 or 16 bytes of an address, never on
 * its text, and looks at the IPv4 address inside every IPv6 form that carries one.
 */
import { isIP } from 'node:net'
import { VestryError } from '@vestry/contract/errors'

/** A block of addresses; `bits` counts the leading bits that are fixed. */
export interface Cidr {
  bytes: Uint8Array
  bits: number
}

/** Where this daemon itself listens; `0.0.0.0` and `::` stand for every local address. */
export interface Listener {
  address: string
  port: number
}

export interface AddressRules {
  /** Holes that the operator opened in the forbidden ranges. */
  holes: readonly Cidr[]
  /** Asked at each decision, since listeners come and go. */
  ownListeners: () => readonly Listener[]
  /** Addresses of this machine's interfaces, for listeners bound to all of them. */
  localAddresses: () => readonly string[]
}

interface Range extends Cidr {
  name: string
}

const FORBIDDEN = ranges({
  '0.0.0.0/8': 'this network',
  '10.0.0.0/8': 'private',
  '100.64.0.0/10': 'carrier-grade NAT',
  '127.0.0.0/8': 'loopback',
  '169.254.0.0/16': 'link-local',
  '172.16.0.0/12': 'private',
  '192.0.0.0/24': 'protocol assignments',
  '192.0.2.0/24': 'documentation',
  '192.88.99.0/24': '6to4 relay',
  '192.168.0.0/16': 'private',
  '198.18.0.0/15': 'benchmarking',
  '198.51.100.0/24': 'documentation',
  '203.0.113.0/24': 'documentation',
  '224.0.0.0/4': 'multicast',
  '240.0.0.0/4': 'reserved',
  '::/128': 'unspecified',
  '::1/128': 'loopback',
  '100::/64': 'discard-only',
  '2001::/32': 'Teredo',
  '2001:db8::/32': 'documentation',
  'fc00::/7': 'unique local',
  'fe80::/10': 'link-local',
  'fec0::/10': 'site-local',
  'ff00::/8': 'multicast',
})

/** No hole opens these. */
const NEVER = ranges({
  '169.254.169.254/32': 'cloud metadata',
  '100.100.100.200/32': 'cloud metadata',
  '168.63.129.16/32': 'cloud metadata',
  'fd00:ec2::254/128': 'cloud metadata',
})

const LOOPBACK = ranges({
  '0.0.0.0/8': 'this network',
  '127.0.0.0/8': 'loopback',
  '::/127': 'loopback',
})

/**
 * IPv6 blocks with an IPv4 address inside, and the byte positions it may take there. The local-use
 * translation block (RFC 8215) may be cut into longer prefixes, so each layout of RFC 6052 §2.2 is read.
 */
const EMBEDDINGS: readonly { block: Cidr; layouts: readonly (readonly number[])[] }[] = [
  { block: parseCidr('::ffff:0:0/96'), layouts: [[12, 13, 14, 15]] },
  { block: parseCidr('::/96'), layouts: [[12, 13, 14, 15]] },
  // IPv4-translated (RFC 2765): out of use, and still understood here and there.
  { block: parseCidr('::ffff:0:0:0/96'), layouts: [[12, 13, 14, 15]] },
  { block: parseCidr('64:ff9b::/96'), layouts: [[12, 13, 14, 15]] },
  {
    block: parseCidr('64:ff9b:1::/48'),
    layouts: [
      [6, 7, 9, 10],
      [7, 9, 10, 11],
      [9, 10, 11, 12],
      [12, 13, 14, 15],
    ],
  },
  { block: parseCidr('2002::/16'), layouts: [[2, 3, 4, 5]] },
]

/**
 * Why `address` may not be connected to, as the name of its range, or undefined when it may.
 * The name is safe to show to an agent; the address is not.
 */
export function refuse(address: Uint8Array, port: number, rules: AddressRules): string | undefined {
  const readings = [address, ...embedded(address)]
  for (const reading of readings) {
    const never = nameOf(NEVER, reading)
    if (never !== undefined) return never
    if (isOwn(reading, port, rules)) return "this daemon's own listener"
  }
  // A mapped address leads to the IPv4 host itself; the other forms lead to some translator first, so only
  // a hole that names them in IPv6 opens them.
  const direct = unmapped(address)
  if (rules.holes.some((hole) => contains(hole, address) || contains(hole, direct))) {
    return undefined
  }
  for (const reading of readings) {
    const name = nameOf(FORBIDDEN, reading)
    if (name !== undefined) return name
  }
  return undefined
}

/** 4 or 16 bytes; undefined for anything that is not a plain address, scoped ones (`%eth0`) included. */
export function parseAddress(text: string): Uint8Array | undefined {
  if (isIP(text) === 4) return Uint8Array.from(text.split('.').map(Number))
  if (isIP(text) !== 6 || text.includes('%')) return undefined
  const [head = '', tail] = text.split('::')
  const left = groups(head)
  const right = tail === undefined ? [] : groups(tail)
  const bytes = new Uint8Array(16)
  bytes.set(left)
  bytes.set(right, 16 - right.length)
  return bytes
}

/** @throws VestryError `CONFIG_INVALID` for a malformed block or one with a mask of 0. */
export function parseCidr(text: string): Cidr {
  const [address = '', mask = '', ...rest] = text.split('/')
  const bytes = parseAddress(address)
  const bits = /^\d{1,3}$/.test(mask) ? Number(mask) : -1
  if (bytes === undefined || bits < 0 || bits > bytes.length * 8 || rest.length > 0) {
    throw new VestryError('CONFIG_INVALID', `"${text}" is not a block of addresses`, {
      hint: 'Write address/mask, for example 10.20.0.0/16.',
    })
  }
  if (bits === 0) {
    throw new VestryError('CONFIG_INVALID', `"${text}" would open every address`, {
      hint: 'List the blocks that are needed.',
    })
  }
  return { bytes, bits }
}

/** The same address in the same form: an IPv4-mapped IPv6 address counts as the IPv4 one. */
export function sameAddress(one: Uint8Array, other: Uint8Array): boolean {
  return Buffer.compare(unmapped(one), unmapped(other)) === 0
}

function embedded(address: Uint8Array): Uint8Array[] {
  if (address.length !== 16) return []
  const inside: Uint8Array[] = []
  for (const { block, layouts } of EMBEDDINGS) {
    if (!contains(block, address)) continue
    for (const layout of layouts) inside.push(Uint8Array.from(layout, (at) => address[at] ?? 0))
  }
  return inside
}

function isOwn(address: Uint8Array, port: number, rules: AddressRules): boolean {
  return rules.ownListeners().some((listener) => {
    if (listener.port !== port) return false
    const own = parseAddress(listener.address)
    if (own === undefined) return false
    if (own.some((byte) => byte !== 0)) return sameAddress(own, address)
    return isLocal(address, rules)
  })
}

function isLocal(address: Uint8Array, rules: AddressRules): boolean {
  if (nameOf(LOOPBACK, address) !== undefined) return true
  return rules.localAddresses().some((text) => {
    const local = parseAddress(text)
    return local !== undefined && sameAddress(local, address)
  })
}

function contains(block: Cidr, address: Uint8Array): boolean {
  if (block.bytes.length !== address.length) return false
  const whole = block.bits >> 3
  for (let at = 0; at < whole; at += 1) if (block.bytes[at] !== address[at]) return false
  const rest = block.bits & 7
  if (rest === 0) return true
  return ((block.bytes[whole] ?? 0) ^ (address[whole] ?? 0)) >> (8 - rest) === 0
}

function nameOf(table: readonly Range[], address: Uint8Array): string | undefined {
  return table.find((range) => contains(range, address))?.name
}

function unmapped(address: Uint8Array): Uint8Array {
  const mapped = address.length === 16 && address.subarray(0, 10).every((byte) => byte === 0)
  return mapped && address[10] === 0xff && address[11] === 0xff ? address.subarray(12) : address
}

function groups(text: string): number[] {
  if (text === '') return []
  return text.split(':').flatMap((group) => {
    if (group.includes('.')) return group.split('.').map(Number)
    const value = Number.parseInt(group, 16)
    return [value >> 8, value & 0xff]
  })
}

function ranges(table: Record<string, string>): Range[] {
  return Object.entries(table).map(([block, name]) => ({ ...parseCidr(block), name }))
}
