/**
 * Connections beyond the limits: told why in one frame, then read to their end, because closing on
 * bytes nobody read is a reset, which kills old clients. Their number and their time are bounded.
 */
import type { Socket } from 'node:net'

const AT_ONCE = 256

export class TurnedAway {
  readonly #lingerMs: number
  /** Oldest first, each with the time at which it is given up. */
  readonly #sockets = new Map<Socket, number>()

  constructor(lingerMs: number) {
    this.#lingerMs = lingerMs
  }

  add(socket: Socket, lastWords: Buffer, nowMs: number): void {
    if (this.#sockets.size >= AT_ONCE) {
      for (const oldest of this.#sockets.keys()) {
        oldest.destroy()
        break
      }
    }
    this.#sockets.set(socket, nowMs + this.#lingerMs)
    socket.on('error', () => socket.destroy())
    socket.on('close', () => this.#sockets.delete(socket))
    socket.resume()
    socket.end(lastWords)
  }

  sweep(nowMs: number): void {
    for (const [socket, until] of this.#sockets) {
      if (nowMs < until) return
      socket.destroy()
    }
  }

  close(): void {
    for (const socket of this.#sockets.keys()) socket.destroy()
  }
}
