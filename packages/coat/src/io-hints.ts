/**
 * Says which span a connection, a request or a child process belongs to, at the moment it begins: the host
 * sees these effects, but in one process with many spans it cannot know whose they are. Listens to the
 * runtime's diagnostics channels; no method is replaced, and no header, body or argument is read.
 */
import { createHmac, randomBytes } from 'node:crypto'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { ClientRequest } from 'node:http'
import type { Socket } from 'node:net'
import type { Ids } from './aot.ts'
import type { Point } from './span.ts'

const MOST_PER_SECOND = 200
/** Hints of one span about one target within this time are one hint. */
const WINDOW_MS = 1000
const HASH_DIGITS = 32

export interface IoHintsOptions {
  /** The span in whose context something begins. */
  readonly active: () => Ids | undefined
  readonly emit: (point: Point) => void
  /** Of the hashes of paths. Default: a random one. */
  readonly hashKey?: Uint8Array | undefined
  /** Monotonic, in milliseconds. */
  readonly now?: (() => number) | undefined
}

export interface IoHints {
  stop(): void
  /** Hints that were not emitted: the same again, or too many. */
  counts(): { readonly coalesced: number; readonly limited: number }
}

interface Hint {
  readonly proto: 'tcp' | 'http' | 'exec'
  readonly host?: string | undefined
  readonly port?: number | undefined
  readonly path?: string | undefined
  /** The program's file name, without its directory. */
  readonly command?: string | undefined
}

/** A channel that this runtime does not have is never published to. */
export function startIoHints({ active, emit, hashKey, now }: IoHintsOptions): IoHints {
  const key = hashKey ?? randomBytes(32)
  const clock = now ?? (() => performance.now())
  let windowMs = clock()
  let sent = 0
  let coalesced = 0
  let limited = 0
  /** Span and target → how it was told. Bounded by the limit of a window. */
  const told = new Map<string, Hint['proto']>()

  const tell = (span: Ids, tsMs: number, hint: Hint): void => {
    const nowMs = clock()
    if (nowMs - windowMs >= WINDOW_MS) {
      windowMs = nowMs
      sent = 0
      told.clear()
    }
    const target = `${span.trace_id} ${span.span_id} ${hint.host ?? ''} ${hint.command ?? ''}`
    const before = told.get(target)
    // A request says more than the connection that it opens first.
    if (before !== undefined && !(before === 'tcp' && hint.proto === 'http')) {
      coalesced += 1
      return
    }
    if (sent >= MOST_PER_SECOND) {
      limited += 1
      return
    }
    sent += 1
    told.set(target, hint.proto)
    const { path, ...rest } = hint
    const payload: Record<string, unknown> = { ...rest, phase: 'begin' }
    if (path !== undefined)
      payload['path_hash'] = createHmac('sha256', key)
        .update(path)
        .digest('hex')
        .slice(0, HASH_DIGITS)
    emit({ kind: 'x.coat.io', payload, parent: span, tsMs })
  }

  const subscriptions = CHANNELS.map(([name, listen]) => {
    const onMessage = (message: unknown): void => {
      // Whatever a channel hands over: an exception here would end the agent.
      try {
        const span = active()
        if (span === undefined || typeof message !== 'object' || message === null) return
        const tsMs = Date.now()
        listen(message as Message, (hint) => {
          try {
            tell(span, tsMs, hint)
          } catch {
            limited += 1
          }
        })
      } catch {
        limited += 1
      }
    }
    subscribe(name, onMessage)
    return () => void unsubscribe(name, onMessage)
  })

  return {
    stop: () => {
      for (const end of subscriptions) end()
    },
    counts: () => ({ coalesced, limited }),
  }
}

interface Message {
  readonly socket?: Socket
  readonly request?: unknown
  readonly process?: Child
}
interface Child {
  readonly spawnfile?: unknown
}
type Listen = (message: Message, tell: (hint: Hint) => void) => void

const CHANNELS: readonly (readonly [name: string, listen: Listen])[] = [
  ['net.client.socket', ({ socket }, tell) => socket !== undefined && connecting(socket, tell)],
  // The older runtimes only have the second.
  ['http.client.request.created', ({ request }, tell) => requesting(request, tell)],
  ['http.client.request.start', ({ request }, tell) => requesting(request, tell)],
  ['undici:request:create', ({ request }, tell) => fetching(request, tell)],
  ['child_process', ({ process: child }, tell) => child !== undefined && starting(child, tell)],
]

/** Later, where nobody else would catch what a socket that is none of the runtime's may throw. */
function quietly(run: () => void): () => void {
  return () => {
    try {
      run()
    } catch {
      // There is no hint then.
    }
  }
}

/** The message comes before the socket knows where it goes. */
function connecting(socket: Socket, tell: (hint: Hint) => void): void {
  const look = () => {
    const host: unknown = Reflect.get(socket, '_host')
    if (typeof host === 'string' && host !== '') return tell({ proto: 'tcp', host })
    // Sockets in the file system lead to this machine, the collector's among them.
    if (socket.destroyed || !socket.connecting || isLocal(socket)) return
    // Before the agent's own listeners, one of which may end the connection.
    const connected = () => {
      const { remoteAddress, remotePort } = socket
      if (remoteAddress !== undefined) tell({ proto: 'tcp', host: remoteAddress, port: remotePort })
    }
    socket.prependOnceListener('connect', quietly(connected))
  }
  process.nextTick(quietly(look))
}

function isLocal(socket: Socket): boolean {
  const handle: unknown = Reflect.get(socket, '_handle')
  return typeof handle !== 'object' || handle === null || handle.constructor.name === 'Pipe'
}

function requesting(given: unknown, tell: (hint: Hint) => void): void {
  const request = given as ClientRequest & { readonly socketPath?: string | null }
  if (request.socketPath) return
  const port = /:(\d{1,5})$/.exec(String(request.getHeader('host') ?? ''))?.[1]
  tell({
    proto: 'http',
    host: withoutBrackets(request.host),
    port: port === undefined ? (request.protocol === 'https:' ? 443 : 80) : Number(port),
    path: withoutQuery(request.path),
  })
}

function fetching(given: unknown, tell: (hint: Hint) => void): void {
  const { origin, path } = given as { origin?: string | URL; path?: string }
  const { hostname, port, protocol } = new URL(String(origin))
  tell({
    proto: 'http',
    host: withoutBrackets(hostname),
    port: port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port),
    path: withoutQuery(path ?? '/'),
  })
}

/** The message comes before the child knows what it runs. */
function starting(child: Child, tell: (hint: Hint) => void): void {
  const look = () => {
    const { spawnfile } = child
    const command = typeof spawnfile === 'string' ? spawnfile.split('/').at(-1) : undefined
    if (command !== undefined) tell({ proto: 'exec', command })
  }
  process.nextTick(quietly(look))
}

function withoutBrackets(host: string): string {
  return host.startsWith('[') ? host.slice(1, -1) : host
}

function withoutQuery(path: string): string {
  return path.split('?', 1)[0] ?? path
}
