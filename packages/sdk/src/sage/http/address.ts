/** Where a gateway or a sidecar listens: a Unix socket, or host and port. */

import { socketPath } from '../environment.ts'
import { ConfigurationError, GatewayError } from '../errors.ts'

export type HttpTarget =
  | { readonly socketPath: string }
  | { readonly host: string; readonly port: number }

export type Address =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }

/**
 * @throws GatewayError when neither a socket nor host and port are given.
 * @throws ConfigurationError when what is given cannot be an address.
 */
export function addressOf(
  target: Partial<Record<'socketPath' | 'host' | 'port', unknown>>,
): Address {
  const { socketPath: path, host, port } = target
  if (typeof path === 'string' && path !== '') {
    if (host !== undefined || port !== undefined) {
      throw new ConfigurationError('Give a socketPath, or host and port, not both')
    }
    return { kind: 'unix', path: socketPath(path) }
  }
  if (typeof host !== 'string' || host === '' || port === undefined) {
    throw new GatewayError('Neither a socketPath nor host and port were given')
  }
  if (typeof port !== 'number' || !Number.isInteger(port) || port < 1 || port > 65_535) {
    throw new ConfigurationError('The gateway port is not a number from 1 to 65535')
  }
  return { kind: 'tcp', host, port }
}

/** For messages: holds no credential. */
export function addressText(address: Address): string {
  return address.kind === 'unix' ? address.path : `${address.host}:${address.port}`
}
