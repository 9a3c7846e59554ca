/**
 * One connection for one request: opened, written, read, closed. Silence and the caller's signal end
 * it. The network module is loaded here, at the first call, and nowhere else.
 */
import type { Socket } from 'node:net'
import type { Address } from './address.ts'

/** Nobody listens there, or nobody accepts. */
export class ConnectFailed extends Error {}

/** Longer silence than allowed, on an open connection. */
export class SilenceTooLong extends Error {}

export interface ConnectionOptions {
  /** Longest silence; also the longest time to connect. */
  timeoutMs: number
  signal: AbortSignal
}

export interface Connection {
  /** Undefined at the end. Rejects with the signal's reason, SilenceTooLong, or the system's error. */
  read(): Promise<Uint8Array | undefined>
  close(): void
}

/** @throws ConnectFailed; the signal's own reason. */
export async function connect(
  address: Address,
  bytes: Uint8Array,
  { timeoutMs, signal }: ConnectionOptions,
): Promise<Connection> {
  const { connect: open } = await import('node:net')
  signal.throwIfAborted()
  const socket =
    address.kind === 'unix'
      ? open({ path: address.path })
      : open({ host: address.host, port: address.port, noDelay: true })
  const abort = (): void => void socket.destroy(new Error('aborted'))
  signal.addEventListener('abort', abort, { once: true })
  socket.once('close', () => signal.removeEventListener('abort', abort))
  await connected(socket, timeoutMs, signal)
  socket.write(bytes)
  return reading(socket, timeoutMs, signal)
}

function connected(socket: Socket, timeoutMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => socket.destroy(new Error(`no connection within ${timeoutMs} ms`)),
      timeoutMs,
    )
    socket.once('connect', () => {
      clearTimeout(timer)
      socket.removeListener('error', failed)
      // Later errors reach the reader; one that comes when nobody reads must not end the process.
      socket.on('error', () => {})
      resolve()
    })
    const failed = (cause: Error): void => {
      clearTimeout(timer)
      reject(signal.aborted ? signal.reason : new ConnectFailed(textOf(cause), { cause }))
    }
    socket.once('error', failed)
  })
}

function reading(socket: Socket, timeoutMs: number, signal: AbortSignal): Connection {
  const parts: AsyncIterator<Uint8Array> = socket[Symbol.asyncIterator]()
  let isWaiting = false
  socket.on('timeout', () => {
    // A reader that is busy elsewhere is no silence of the other side.
    if (isWaiting) socket.destroy(new SilenceTooLong(`${timeoutMs} ms without a byte`))
  })
  return {
    async read() {
      isWaiting = true
      socket.setTimeout(timeoutMs)
      try {
        const { done, value } = await parts.next()
        return done === true ? undefined : value
      } catch (error) {
        throw signal.aborted ? signal.reason : error
      } finally {
        isWaiting = false
        socket.setTimeout(0)
      }
    },
    close() {
      socket.destroy()
    },
  }
}

/** An error of several addresses at once has a code and no message. */
function textOf(error: Error & { readonly code?: unknown }): string {
  return error.message === '' ? String(error.code) : error.message
}
