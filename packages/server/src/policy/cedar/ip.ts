/**
 * Cedar's `ipaddr`: an IPv4 or IPv6 address with a prefix length. Stricter than most readers: no
 * leading zeros, no IPv4 inside IPv6, no zone, at most 43 characters.
 */
import { CedarError, ExtValue } from './value.ts'

const LONGEST = 43

export class IpAddr extends ExtValue {
  readonly typeName = 'ipaddr'
  readonly version: 4 | 6
  /** The address as written: host bits of a range are kept and count in `==`. */
  readonly bits: bigint
  readonly prefix: number
  readonly #first: bigint
  readonly #last: bigint

  constructor(version: 4 | 6, bits: bigint, prefix: number) {
    super()
    this.version = version
    this.bits = bits
    this.prefix = prefix
    const hostMask = (1n << BigInt(width(version) - prefix)) - 1n
    this.#last = bits | hostMask
    this.#first = this.#last ^ hostMask
  }

  get key(): string {
    return `p${this.version},${this.bits},${this.prefix};`
  }

  isInRange(range: IpAddr): boolean {
    if (this.version !== range.version) return false
    return this.#first >= range.#first && this.#last <= range.#last
  }

  isLoopback(): boolean {
    return this.isInRange(this.version === 4 ? LOOPBACK_4 : LOOPBACK_6)
  }

  isMulticast(): boolean {
    return this.isInRange(this.version === 4 ? MULTICAST_4 : MULTICAST_6)
  }
}

const LOOPBACK_4 = new IpAddr(4, 127n << 24n, 8)
const LOOPBACK_6 = new IpAddr(6, 1n, 128)
const MULTICAST_4 = new IpAddr(4, 224n << 24n, 4)
const MULTICAST_6 = new IpAddr(6, 0xffn << 120n, 8)

export function parseIp(text: string): IpAddr | CedarError {
  if (text.length > LONGEST) return new CedarError('ip: longer than any address')
  const slash = text.indexOf('/')
  const address = slash < 0 ? text : text.slice(0, slash)
  const version = address.includes(':') ? 6 : 4
  const bits = version === 6 ? parseIpv6(address) : parseIpv4(address)
  if (bits === undefined) return new CedarError('ip: not an address')
  const prefix = slash < 0 ? width(version) : parsePrefix(text.slice(slash + 1))
  if (prefix === undefined || prefix > width(version)) {
    return new CedarError('ip: not a prefix length')
  }
  return new IpAddr(version, bits, prefix)
}

function width(version: 4 | 6): number {
  return version === 4 ? 32 : 128
}

function parsePrefix(text: string): number | undefined {
  return /^(?:0|[1-9][0-9]{0,2})$/.test(text) ? Number(text) : undefined
}

function parseIpv4(text: string): bigint | undefined {
  const parts = text.split('.')
  if (parts.length !== 4) return undefined
  let bits = 0n
  for (const part of parts) {
    if (!/^(?:0|[1-9][0-9]{0,2})$/.test(part) || Number(part) > 255) return undefined
    bits = (bits << 8n) | BigInt(part)
  }
  return bits
}

function parseIpv6(text: string): bigint | undefined {
  const halves = text.split('::')
  if (halves.length > 2) return undefined
  const [head = [], tail] = halves.map((half) => (half === '' ? [] : half.split(':')))
  const groups = tail === undefined ? head : fill(head, tail)
  if (groups?.length !== 8) return undefined
  let bits = 0n
  for (const group of groups) {
    if (!/^[0-9a-fA-F]{1,4}$/.test(group)) return undefined
    bits = (bits << 16n) | BigInt(`0x${group}`)
  }
  return bits
}

/** `::` stands for at least one group. */
function fill(head: string[], tail: string[]): string[] | undefined {
  const zeros = 8 - head.length - tail.length
  return zeros < 1 ? undefined : [...head, ...Array<string>(zeros).fill('0'), ...tail]
}
