/**
 * Opens one connection to one vetted address, while name checks, SNI and `Host` keep the original name
 * (wire contract §8.3, 8.6). Connects to the address itself, so no second resolution can happen, and compares the
 * peer before the first byte is sent. Proxy variables of the environment are never read.
 */
import { connect as connectTcp, type Socket } from 'node:net'
import { connect as connectTls, type SecureContext } from 'node:tls'
import type { buildConnector } from 'undici'
import { parseAddress, sameAddress } from './addresses.ts'
import type { VettedAddress } from './resolve.ts'
import { matchesPin } from './trust.ts'
import type { Target } from './url.ts'

/** One place to connect to. */
export interface Endpoint {
  target: Target
  address: VettedAddress
  /** Canonical pins, one of which must match; empty for none. */
  pins: readonly string[]
}

export interface ConnectorOptions {
  secureContext: () => SecureContext
  /** For TCP and TLS together. */
  timeoutMs: number
}

/** No request byte was written. */
export class ConnectFailure extends Error {
  /** `network` failures may pass at another address or a moment later; the others will not. */
  readonly kind: 'network' | 'tls' | 'pin' | 'address'

  constructor(kind: ConnectFailure['kind'], cause?: unknown) {
    super(`connection failed: ${kind}`, { cause })
    this.name = 'ConnectFailure'
    this.kind = kind
  }
}

export function pinnedConnector(
  endpoint: Endpoint,
  options: ConnectorOptions,
): buildConnector.connector {
  return (_options, callback) => {
    open(endpoint, options).then(
      (socket) => callback(null, socket),
      (error: unknown) => callback(asFailure(error), null),
    )
  }
}

async function open(endpoint: Endpoint, options: ConnectorOptions): Promise<Socket> {
  const { target, address } = endpoint
  const started = performance.now()
  const socket = connectTcp({ host: address.text, port: target.port, noDelay: true })
  await opened(socket, 'connect', 'network', options.timeoutMs)
  const peer = parseAddress(socket.remoteAddress ?? '')
  if (peer === undefined || !sameAddress(peer, address.bytes)) {
    socket.destroy()
    throw new ConnectFailure('address')
  }
  if (target.scheme === 'http') return socket

  const literal = target.literal !== undefined
  const secure = connectTls({
    socket,
    // Only compared with the certificate. SNI must not hold an address (RFC 6066 §3).
    host: literal ? address.text : target.host,
    ...(literal ? {} : { servername: target.host }),
    secureContext: options.secureContext(),
    ALPNProtocols: ['http/1.1'],
    // Stated, because the environment can turn the default off.
    rejectUnauthorized: true,
  })
  await opened(secure, 'secureConnect', 'tls', options.timeoutMs - (performance.now() - started))
  if (endpoint.pins.length > 0 && !matchesPin(secure, endpoint.pins)) {
    secure.destroy()
    throw new ConnectFailure('pin')
  }
  return secure
}

/** Resolves at `event`. On failure or after `timeoutMs` the socket is destroyed. */
function opened(
  socket: Socket,
  event: 'connect' | 'secureConnect',
  kind: ConnectFailure['kind'],
  timeoutMs: number,
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const timer = setTimeout(
    () => fail(new Error(`no ${event} in time`)),
    Math.max(1, Math.ceil(timeoutMs)),
  )
  const fail = (cause?: unknown) => {
    clearTimeout(timer)
    reject(new ConnectFailure(kind, cause))
    socket.destroy()
  }
  const closed = () => fail()
  // The error listener stays: an error after the hand-over must never be without one.
  socket.on('error', fail)
  socket.once('close', closed)
  socket.once(event, () => {
    clearTimeout(timer)
    socket.off('close', closed)
    resolve()
  })
  return promise
}

function asFailure(error: unknown): ConnectFailure {
  return error instanceof ConnectFailure ? error : new ConnectFailure('network', error)
}
