/** Listening on a Unix socket at a path that may hold the file of a listener that died. */
import { chmodSync, lstatSync, unlinkSync } from 'node:fs'
import { createConnection, type Server } from 'node:net'
import { VestryError } from '@vestry/contract/errors'

/** macOS allows 103 bytes and the end of the text. */
export const MAX_SOCKET_PATH_BYTES = 103

/** @throws VestryError CONFIG_INVALID for a path that is too long for the kernel. */
export function assertSocketPath(path: string): void {
  const bytes = Buffer.byteLength(path)
  if (bytes <= MAX_SOCKET_PATH_BYTES) return
  throw new VestryError(
    'CONFIG_INVALID',
    `the socket path is ${bytes} bytes long; ${MAX_SOCKET_PATH_BYTES} are allowed: ${path}`,
    { hint: 'Choose a shorter path, or a shorter --home' },
  )
}

/**
 * @param mode Of the socket file; until it has it, the socket is for its owner alone.
 * @throws VestryError CONFIG_INVALID, or INSTANCE_RUNNING when somebody answers there.
 */
export async function listenOnSocket(server: Server, path: string, mode: number): Promise<void> {
  assertSocketPath(path)
  await removeStale(path)
  // The mask closes the moment between bind and chmod: a Unix socket is bound before listen() returns.
  const before = process.umask(0o177)
  let bound: Promise<void>
  try {
    bound = bind(server, path)
  } finally {
    process.umask(before)
  }
  await bound
  chmodSync(path, mode)
}

function bind(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const failed = (cause: Error): void =>
      reject(
        new VestryError('CONFIG_INVALID', `cannot listen on ${path}: ${cause.message}`, {
          hint: 'Make sure that its directory exists and may be written to',
          cause,
        }),
      )
    server.once('error', failed)
    server.listen({ path, backlog: 1_024 }, () => {
      server.off('error', failed)
      server.on('error', () => undefined) // a peer that could not be accepted; the next one may be
      resolve()
    })
  })
}

async function removeStale(path: string): Promise<void> {
  const found = lstatSync(path, { throwIfNoEntry: false })
  if (found === undefined) return
  if (!found.isSocket()) {
    throw new VestryError('CONFIG_INVALID', `${path} exists and is not a socket`, {
      hint: 'Move the file away or choose another path',
    })
  }
  const outcome = await probe(path)
  if (outcome === 'answered') {
    throw new VestryError('INSTANCE_RUNNING', `another process answers on ${path}`, {
      hint: 'Stop it first, or choose another path or --home',
    })
  }
  // Only a refused connect proves that nobody listens: a full queue, for one, says EAGAIN.
  if (outcome !== 'ECONNREFUSED') {
    throw new VestryError('CONFIG_INVALID', `${path} exists and cannot be probed: ${outcome}`, {
      hint: 'Make sure no other process uses it, then remove the file',
    })
  }
  unlinkSync(path)
}

function probe(path: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = createConnection({ path, timeout: 2_000 })
    const finish = (outcome: string): void => {
      socket.destroy()
      resolve(outcome)
    }
    socket.once('connect', () => finish('answered'))
    socket.once('timeout', () => finish('ETIMEDOUT'))
    socket.once('error', (error: NodeJS.ErrnoException) => finish(error.code ?? error.message))
  })
}
