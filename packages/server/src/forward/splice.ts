/** Two connections made one: bytes and ends pass both ways, nothing is read, kept or changed. */
import type { Socket } from 'node:net'

export interface SpliceLimits {
  /** Neither side sent or took a byte for that long. */
  readonly idleMs: number
  /** For the client to close too, once the gateway has nothing more to say. */
  readonly lingerMs: number
}

/** Settles once both are closed. Back-pressure passes through: a slow reader slows the writer. */
export function splice(client: Socket, gateway: Socket, limits: SpliceLimits): Promise<void> {
  return new Promise((resolve) => {
    let linger: NodeJS.Timeout | undefined
    const destroyBoth = (): void => {
      client.destroy()
      gateway.destroy()
    }
    const endSoon = (): void => {
      linger ??= setTimeout(destroyBoth, limits.lingerMs)
    }
    const settle = (): void => {
      if (!client.closed || !gateway.closed) return
      clearTimeout(linger)
      resolve()
    }
    for (const socket of [client, gateway]) {
      socket.setTimeout(limits.idleMs, destroyBoth)
      socket.on('error', () => socket.destroy())
    }
    gateway.on('end', endSoon)
    gateway.on('close', () => {
      // Cut off or finished: the client gets what came until then, and what it still says is dropped.
      client.end()
      client.resume()
      endSoon()
      settle()
    })
    client.on('close', () => {
      gateway.destroy() // nobody is left to answer to: the gateway should know it at once
      settle()
    })
    client.pipe(gateway)
    gateway.pipe(client)
  })
}
