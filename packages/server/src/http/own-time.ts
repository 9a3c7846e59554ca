/** Requests whose wire keeps the time of their bodies itself, and may give them more than the port does. */
import type { Socket } from 'node:net'

const sockets = new WeakSet<Socket>()

/** From now on; the connection must end with its request. */
export function keepOwnTime(socket: Socket): void {
  sockets.add(socket)
}

export function keepsOwnTime(socket: Socket): boolean {
  return sockets.has(socket)
}
