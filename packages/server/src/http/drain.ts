/**
 * Lets a client finish its sentence before it is answered. Who still writes its request when the connection closes
 * meets a reset, and the reset destroys the answer with it, so the rest of a body that is refused is read and
 * thrown away first: within bounds, since nobody has to be let in for it.
 */
import type { Socket } from 'node:net'
import type { FastifyInstance, FastifyRequest } from 'fastify'

type Message = FastifyRequest['raw']

export interface DrainBounds {
  /** Bytes thrown away at most. */
  readonly bytes: number
  /** From the moment there is an answer. */
  readonly ms: number
  /** Without a byte: the client waits for the answer before it goes on. */
  readonly idleMs: number
}

const BOUNDS: DrainBounds = { bytes: 64 * 1024 * 1024, ms: 10_000, idleMs: 400 }

/** For every answer of `app` and of what is registered in it later; not for replies that are hijacked. */
export function drainBodies(app: FastifyInstance, bounds: DrainBounds = BOUNDS): void {
  app.addHook('onSend', (request, reply, payload, done) => {
    if (!isUnread(request.raw)) return done(null, payload)
    drained(request.raw, bounds).then((whole) => {
      if (!whole) reply.header('connection', 'close')
      done(null, payload)
    }, done)
  })
}

/** Resolves, to whether nothing is left, once the rest of the body has been read, is lost, or a bound is met. */
export function drained(
  request: Message,
  { bytes, ms, idleMs }: DrainBounds = BOUNDS,
): Promise<boolean> {
  if (!isUnread(request)) return Promise.resolve(true)
  const { promise, resolve } = Promise.withResolvers<boolean>()
  let read = 0
  const onData = (chunk: Uint8Array) => {
    read += chunk.length
    idle.refresh()
    if (read > bytes) finish()
  }
  const finish = () => {
    clearTimeout(timer)
    clearTimeout(idle)
    for (const event of ['end', 'close', 'error']) request.off(event, finish)
    request.off('data', onData)
    resolve(request.complete)
  }
  const timer = setTimeout(finish, ms)
  // Of a process that was busy itself, what came meanwhile is read before anybody is called idle.
  const idle = setTimeout(() => {
    const seen = read
    setImmediate(() => setImmediate(() => (read === seen ? finish() : idle.refresh())))
  }, idleMs)
  for (const event of ['end', 'close', 'error']) request.once(event, finish)
  request.on('data', onData).resume()
  return promise
}

/**
 * Ends a connection whose bytes are no HTTP, with `text` as the last word. What still comes is thrown away by the
 * parser, which stays and fails on it, until the client hangs up or a bound is met. Call it for every such failure.
 */
export function endRefused(
  socket: Socket,
  text: () => string,
  { bytes, ms }: Pick<DrainBounds, 'bytes' | 'ms'> = BOUNDS,
): void {
  const refused = refusals.get(socket)
  if (refused !== undefined) {
    if (socket.bytesRead - refused > bytes) socket.destroy()
    return
  }
  if (socket.destroyed) return
  refusals.set(socket, socket.bytesRead)
  if (socket.writable) socket.end(text())
  const timer = setTimeout(() => socket.destroy(), ms)
  socket.once('close', () => clearTimeout(timer))
}

/** How much each refused connection had sent by then. */
const refusals = new WeakMap<Socket, number>()

function isUnread(request: Message): boolean {
  if (request.complete || request.destroyed) return false
  const { 'content-length': length, 'transfer-encoding': coding } = request.headers
  return coding !== undefined || (length !== undefined && length !== '0')
}
