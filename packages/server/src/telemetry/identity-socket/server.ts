/**
 * The identity socket: a process says which agent it is, and the kernel says which process it is. One JSON object
 * per line and an answer for each, in order; a connection that ends ends no claim.
 */
import { createServer, type Server, type Socket } from 'node:net'
import { listenOnSocket } from '../../http/listen-on-socket.ts'
import type { ClaimBook } from '../../identity/claims/claim-book.ts'
import type { ClaimDesk } from '../../identity/claims/claim-desk.ts'
import { ClaimRefused } from '../../identity/claims/claim-refused.ts'
import { isUnknown, readProcessPeer } from '../../identity/claims/process-peer.ts'
import type { ProcessPeer, Resolution, UnknownPeer } from '../../identity/claims/resolution.ts'
import { LineSplitter } from '../collector/line-splitter.ts'
import type { Pod } from '../pod.ts'
import { type Answer, describeClaim, describePeer, refusalAnswer } from './answer.ts'
import { type IdentityRequest, readRequest } from './request.ts'

export interface IdentityServerDeps {
  readonly desk: Pick<ClaimDesk, 'claim' | 'renew' | 'release' | 'agents'>
  readonly book: Pick<ClaimBook, 'resolve'>
  readonly pod: () => Promise<Pod>
  /** Takes one of the requests that a uid may make, whatever they ask. */
  readonly takeRequest: (uid: number | undefined) => boolean
  readonly connections: number
  readonly onClaim: (outcome: 'granted' | 'refused') => void
  readonly onInternalError: (error: unknown) => void
  /** For tests. */
  readonly readPeer?: (socket: Socket) => ProcessPeer | UnknownPeer
}

const MAX_LINE_BYTES = 65_536
/** A peer that says nothing, or does not read what it is told. */
const IDLE_MS = 300_000
const CLOSE_POLL_MS = 10
/** What one process may have at the same time, however few there are. */
const LEAST_PLACES = 16
const ANONYMOUS: Resolution = { kind: 'anonymous', stale: false }

export class IdentityServer {
  readonly #deps: IdentityServerDeps
  /** One for each place it listens at. */
  readonly #servers: Server[] = []
  readonly #sockets = new Set<Socket>()
  /** By process, of those that are known. */
  readonly #perProcess = new Map<number, number>()
  /** Requests that are being answered. */
  #busy = 0
  #closing = false

  constructor(deps: IdentityServerDeps) {
    this.#deps = deps
  }

  get connections(): number {
    return this.#sockets.size
  }

  /** @throws VestryError CONFIG_INVALID, INSTANCE_RUNNING */
  async listen(path: string, mode: number): Promise<void> {
    const server = createServer({ allowHalfOpen: true }, (socket) => this.#accept(socket))
    await listenOnSocket(server, path, mode)
    this.#servers.push(server)
  }

  /** What was asked is answered, for as long as `budgetMs`. */
  async close(budgetMs: number): Promise<void> {
    this.#closing = true
    const closed = this.#servers.map(
      (server) => new Promise<void>((resolve) => server.close(() => resolve())),
    )
    const endsAt = performance.now() + budgetMs
    while (this.#busy > 0 && performance.now() < endsAt)
      await new Promise((resolve) => setTimeout(resolve, CLOSE_POLL_MS))
    for (const socket of this.#sockets) socket.destroySoon()
    while (this.#sockets.size > 0 && performance.now() < endsAt)
      await new Promise((resolve) => setTimeout(resolve, CLOSE_POLL_MS))
    for (const socket of this.#sockets) socket.destroy()
    await Promise.all(closed)
  }

  #accept(socket: Socket): void {
    socket.on('error', () => undefined) // the peer went away; `close` follows
    if (this.#closing || this.#sockets.size >= this.#deps.connections) {
      socket.destroy()
      return
    }
    // Before a byte of it is read: who it is must not depend on what it says.
    const peer = (this.#deps.readPeer ?? readProcessPeer)(socket)
    if (!isUnknown(peer) && !this.#admit(peer.pid, socket)) {
      socket.destroy()
      return
    }
    this.#sockets.add(socket)
    socket.once('close', () => this.#sockets.delete(socket))
    socket.setTimeout(IDLE_MS, () => socket.destroy())
    this.#serve(socket, peer).catch((error: unknown) => {
      socket.destroy()
      if (!isHangUp(error)) this.#deps.onInternalError(error)
    })
  }

  /** One process must not be able to take all the places. */
  #admit(pid: number, socket: Socket): boolean {
    const own = this.#perProcess.get(pid) ?? 0
    if (own >= Math.max(LEAST_PLACES, this.#deps.connections / 4)) return false
    this.#perProcess.set(pid, own + 1)
    socket.once('close', () => {
      const left = (this.#perProcess.get(pid) ?? 1) - 1
      if (left > 0) this.#perProcess.set(pid, left)
      else this.#perProcess.delete(pid)
    })
    return true
  }

  async #serve(socket: Socket, peer: ProcessPeer | UnknownPeer): Promise<void> {
    const lines = new LineSplitter(MAX_LINE_BYTES)
    for await (const chunk of socket as AsyncIterable<Buffer>) {
      for (let at = 0; ; ) {
        const next = lines.next(chunk, at)
        at = next.at
        if (next.line === undefined) break
        if (next.line.length === 0) continue
        await write(socket, await this.#answer(peer, next.line))
      }
    }
    socket.end()
  }

  async #answer(peer: ProcessPeer | UnknownPeer, line: Buffer | 'too_long'): Promise<Answer> {
    this.#busy += 1
    try {
      if (line === 'too_long') {
        const message = `a request has at most ${MAX_LINE_BYTES} bytes`
        return refusalAnswer(new ClaimRefused('bad_request', message))
      }
      const { id, request } = readRequest(line)
      const answer = await this.#handle(peer, request)
      return id === undefined ? answer : { id, ...answer }
    } finally {
      this.#busy -= 1
    }
  }

  async #handle(
    peer: ProcessPeer | UnknownPeer,
    request: IdentityRequest | ClaimRefused,
  ): Promise<Answer> {
    const isClaim = !(request instanceof ClaimRefused) && request.type === 'claim'
    try {
      if (!this.#deps.takeRequest(isUnknown(peer) ? undefined : peer.uid))
        throw new ClaimRefused('rate_limited')
      if (request instanceof ClaimRefused) throw request
      const answer = await this.#carryOut(peer, request)
      if (isClaim) this.#deps.onClaim('granted')
      return answer
    } catch (error) {
      if (isClaim) this.#deps.onClaim('refused')
      if (error instanceof ClaimRefused) return refusalAnswer(error)
      this.#deps.onInternalError(error)
      return refusalAnswer(new ClaimRefused('unavailable'))
    }
  }

  async #carryOut(peer: ProcessPeer | UnknownPeer, request: IdentityRequest): Promise<Answer> {
    const { desk, book } = this.#deps
    switch (request.type) {
      case 'claim': {
        const { agent, ttl_secs: ttlSeconds, capabilities, scope, token, replace } = request
        const granted = await desk.claim(peer, {
          ...{ agent, ttlSeconds, capabilities, scope, token, replace },
        })
        return { ok: true, claim: describeClaim(granted.claim), token: granted.token }
      }
      case 'renew': {
        const { claim_id: id, ttl_secs: ttlSeconds } = request
        const { claim, token } = await desk.renew(peer, { id, ttlSeconds })
        const described = describeClaim(claim)
        return { ok: true, expires_at: described['expires_at'], claim: described, token }
      }
      case 'release':
        return { ok: true, released: await desk.release(peer, request.claim_id) }
      case 'whoami': {
        const resolution = isUnknown(peer) ? ANONYMOUS : book.resolve(peer)
        return describePeer(peer, resolution, (await this.#deps.pod()).id)
      }
      case 'agents':
        return { ok: true, agents: await desk.agents() }
    }
  }
}

/** One answer at a time: a peer that does not read waits for itself. */
function write(socket: Socket, answer: Answer): Promise<void> {
  if (!socket.writable) return Promise.resolve()
  return new Promise((resolve) => {
    socket.write(`${JSON.stringify(answer)}\n`, () => resolve())
  })
}

function isHangUp(error: unknown): boolean {
  return (
    error instanceof Error &&
    'code' in error &&
    ['ECONNRESET', 'EPIPE', 'ERR_STREAM_PREMATURE_CLOSE', 'ABORT_ERR'].includes(String(error.code))
  )
}
