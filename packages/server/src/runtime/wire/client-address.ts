/** Where a request came from, when proxies that are trusted stand before us. */
import { BlockList, isIP } from 'node:net'
import { VestryError } from '@vestry/contract/errors'

export type ClientAddress = (socketAddress: string, forwardedFor: string | undefined) => string

/**
 * @param trusted Addresses or blocks such as `10.0.0.0/8`.
 * @throws VestryError CONFIG_INVALID
 */
export function clientAddress(trusted: readonly string[]): ClientAddress {
  const proxies = new BlockList()
  for (const text of trusted) add(proxies, text)
  const isProxy = (address: string): boolean => {
    const family = isIP(address)
    return family !== 0 && proxies.check(address, family === 6 ? 'ipv6' : 'ipv4')
  }
  return (socketAddress, forwardedFor) => {
    let client = plain(socketAddress)
    // From the right: each proxy appended whom it heard; what stands left of a stranger, the stranger may have made up.
    const hops = (forwardedFor ?? '').split(',').map((hop) => plain(hop.trim()))
    while (isProxy(client)) {
      const hop = hops.pop()
      if (hop === undefined || isIP(hop) === 0) break
      client = hop
    }
    return client
  }
}

/** Sockets that take both families name IPv4 peers in IPv6. */
function plain(address: string): string {
  const mapped = /^::ffff:(\d{1,3}(?:\.\d{1,3}){3})$/i.exec(address)?.[1]
  return mapped ?? address
}

function add(list: BlockList, text: string): void {
  const [address = '', bits, ...rest] = text.split('/')
  const family = isIP(address)
  const type = family === 6 ? 'ipv6' : 'ipv4'
  try {
    if (family === 0 || rest.length > 0) throw new Error('no address')
    if (bits === undefined) list.addAddress(address, type)
    else if (/^\d{1,3}$/.test(bits)) list.addSubnet(address, Number(bits), type)
    else throw new Error('no mask')
  } catch (cause) {
    throw new VestryError('CONFIG_INVALID', `runtime.trusted_proxies: "${text}" is no address`, {
      hint: 'Write an address or a block, such as 10.0.0.5 or 10.0.0.0/8',
      cause,
    })
  }
}
