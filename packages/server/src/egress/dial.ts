/**
 * Bare connections to one address that an operator named, for bytes that are passed on unread. No guard of
 * addresses stands here, because no caller chooses where it goes.
 */
import { connect as connectTcp, isIP, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { trustStore } from './trust.ts'

export interface DialAddress {
  readonly host: string
  readonly port: number
  readonly tls: boolean
}

/** Opens one connection that stays open for reading when it ends for writing. Rejects with the platform's error. */
export type Dial = () => Promise<Socket>

/** @param options.caPem Authorities trusted besides the system's. */
export function dialer(
  { host, port, tls }: DialAddress,
  options: { timeoutMs: number; caPem?: string },
): Dial {
  const trust = trustStore(options.caPem)
  const address = { host, port, allowHalfOpen: true }
  const open = (): Socket =>
    tls
      ? connectTls({
          ...address,
          ALPNProtocols: ['http/1.1'],
          secureContext: trust(),
          ...(isIP(host) === 0 && { servername: host }),
        })
      : connectTcp(address)
  return async () => {
    const event = tls ? 'secureConnect' : 'connect'
    const socket = await settled(open(), event, `${host}:${port}`, options.timeoutMs)
    return socket.setNoDelay(true)
  }
}

/** The same to a Unix socket, found anew by its path each time: whoever listened there may have been replaced. */
export function socketDialer(path: string, options: { timeoutMs: number }): Dial {
  return () =>
    settled(connectTcp({ path, allowHalfOpen: true }), 'connect', path, options.timeoutMs)
}

function settled(socket: Socket, event: string, place: string, timeoutMs: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const late = new Error(`no connection to ${place} within ${timeoutMs} ms`)
    const timer = setTimeout(() => socket.destroy(late), timeoutMs)
    const failed = (error: Error): void => {
      clearTimeout(timer)
      reject(error)
    }
    socket.once('error', failed)
    socket.once(event, () => {
      clearTimeout(timer)
      socket.off('error', failed)
      resolve(socket)
    })
  })
}
