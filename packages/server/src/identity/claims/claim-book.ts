/**
 * Who each process is, asked for every line that arrives. Claims are kept by process, a process being its number
 * and the moment it started. What was found for a peer is kept until a claim changes, and for a few milliseconds.
 */
import { type Clock, elapsedMs, type Instant, instant } from '../clock.ts'
import type { ProcessFacts, ProcessTable } from './process-table.ts'
import type { Claim, ClaimResolver, ProcessPeer, Resolution } from './resolution.ts'

/** Why a claim is over. */
export type ClaimEnd =
  | 'release'
  | 'replaced'
  | 'expire'
  | 'exit'
  /** The process runs something else than what it was granted for. */
  | 'program_changed'
  | 'operator'
  | 'agent_ended'
  | 'terms_changed'

export interface ClaimBookDeps {
  readonly processes: ProcessTable
  readonly clock: Clock
  /** Called once for each claim that is over. */
  readonly onEnd: (claim: Claim, reason: ClaimEnd) => void
}

interface Held {
  claim: Claim
  /** Granted or renewed; and for how long. */
  since: Instant
  lifetimeMs: number
}

interface Seen {
  resolution: Resolution
  epoch: number
  /** When it was found, and when the processes it is about were last seen; on the clock that never goes back. */
  foundAtMs: number
  aliveAtMs: number
}

/** How many parents up a claim for a tree is looked for. */
const MAX_HOPS = 16
/** How long it is believed that a process still is who it was: lines come in bursts, numbers are reused slowly. */
const FRESH_MS = 5
/** The same for what a process inherits. */
const TREE_FRESH_MS = 50

const ANONYMOUS: Resolution = { kind: 'anonymous', stale: false }
const STALE: Resolution = { kind: 'anonymous', stale: true }

export class ClaimBook implements ClaimResolver {
  readonly #deps: ClaimBookDeps
  readonly #byId = new Map<string, Held>()
  readonly #byProcess = new Map<string, Held>()
  readonly #seen = new WeakMap<ProcessPeer, Seen>()
  #trees = 0
  /** Raised with each change: what was found before it is asked for again. */
  #epoch = 0

  constructor(deps: ClaimBookDeps) {
    this.#deps = deps
  }

  get size(): number {
    return this.#byId.size
  }

  resolve(peer: ProcessPeer): Resolution {
    const seen = this.#seen.get(peer)
    if (seen?.resolution === STALE) return STALE
    const nowMs = this.#deps.clock.monotonic()
    if (seen !== undefined && seen.epoch === this.#epoch && !this.#isOld(seen, peer, nowMs)) {
      const { resolution } = seen
      if (resolution.kind === 'anonymous') return resolution
      const held = this.#byId.get(resolution.claim.id)
      if (held !== undefined && !this.#endIfExpired(held)) return resolution
    }
    const resolution = this.#look(peer)
    if (resolution === undefined) {
      this.#seen.delete(peer)
      return ANONYMOUS
    }
    this.#seen.set(peer, {
      resolution,
      epoch: this.#epoch,
      foundAtMs: nowMs,
      aliveAtMs: nowMs,
    })
    return resolution
  }

  /** One that its process holds already is over with it. */
  add(claim: Claim): void {
    const before = this.#byProcess.get(keyOf(claim))
    if (before !== undefined) this.#end(before, 'replaced')
    this.#keep({
      claim,
      since: instant(this.#deps.clock),
      lifetimeMs: claim.expiresAtMs - this.#deps.clock.now(),
    })
  }

  /** @returns undefined for one that is over. */
  renew(id: string, expiresAtMs: number): Claim | undefined {
    const held = this.#byId.get(id)
    if (held === undefined || this.#endIfExpired(held)) return undefined
    held.claim = { ...held.claim, expiresAtMs }
    held.since = instant(this.#deps.clock)
    held.lifetimeMs = expiresAtMs - this.#deps.clock.now()
    this.#epoch += 1
    return held.claim
  }

  byId(id: string): Claim | undefined {
    const held = this.#byId.get(id)
    return held === undefined || this.#endIfExpired(held) ? undefined : held.claim
  }

  /** What this very process holds; not what it inherits. */
  ofProcess(peer: Pick<ProcessPeer, 'pid' | 'startTime'>): Claim | undefined {
    const held = this.#byProcess.get(keyOf(peer))
    return held === undefined || this.#endIfExpired(held) ? undefined : held.claim
  }

  /** After looking whether their processes are still there. */
  ofAgent(agentId: string): Claim[] {
    const own = [...this.#byId.values()].filter(({ claim }) => claim.agentId === agentId)
    for (const held of own) this.#check(held)
    return own.map(({ claim }) => claim).filter(({ id }) => this.#byId.has(id))
  }

  all(): Claim[] {
    return [...this.#byId.values()].map(({ claim }) => claim)
  }

  /** @returns the claim that was ended; undefined when it was over already. */
  end(id: string, reason: ClaimEnd): Claim | undefined {
    const held = this.#byId.get(id)
    if (held === undefined) return undefined
    this.#end(held, reason)
    return held.claim
  }

  /** Ends what has expired and what lost its process. Called about twice a second. */
  check(): void {
    for (const held of [...this.#byId.values()]) this.#check(held)
  }

  /** Whether the process of a claim is the one that claimed. */
  isAlive(claim: Pick<Claim, 'pid' | 'startTime'>): boolean {
    return this.#alive(claim) !== undefined
  }

  /** @returns undefined when it cannot be known just now. */
  #look(peer: ProcessPeer): Resolution | undefined {
    const self = this.#alive(peer)
    if (self === undefined) {
      if (peer.startTime !== '' && !this.#deps.processes.readable()) return undefined
      const held = this.#byProcess.get(keyOf(peer))
      if (held !== undefined) this.#end(held, 'exit')
      return STALE
    }
    const own = this.#running(peer)
    if (own !== undefined) return { kind: 'claimed', claim: own }
    const inherited = this.#trees === 0 ? undefined : this.#inherited(self, peer.uid)
    return inherited === undefined ? ANONYMOUS : { kind: 'claimed', claim: inherited }
  }

  /** The nearest claim for a tree that `self` descends from, all in between being processes of the same user. */
  #inherited(self: ProcessFacts, uid: number): Claim | undefined {
    const { processes } = this.#deps
    let child = self
    for (let hop = 0; hop < MAX_HOPS && child.parentPid > 0; hop += 1) {
      const parent = processes.read(child.parentPid)
      // A parent that started later has got the number of the real one, which is gone.
      if (parent === undefined || parent.ended) return undefined
      if (Number(parent.startTime) > Number(child.startTime)) return undefined
      if (processes.owner(parent.pid)?.uid !== uid) return undefined
      const held = this.#byProcess.get(keyOf(parent))
      if (held?.claim.scope === 'tree') {
        this.#check(held)
        if (this.#byId.has(held.claim.id)) return held.claim
      }
      child = parent
    }
    return undefined
  }

  #alive({ pid, startTime }: Pick<ProcessPeer, 'pid' | 'startTime'>): ProcessFacts | undefined {
    if (startTime === '') return undefined
    const facts = this.#deps.processes.read(pid)
    return facts === undefined || facts.ended || facts.startTime !== startTime ? undefined : facts
  }

  #isOld(seen: Seen, peer: ProcessPeer, nowMs: number): boolean {
    if (nowMs - seen.aliveAtMs < FRESH_MS) return false
    const { resolution } = seen
    const own = resolution.kind === 'claimed' && keyOf(resolution.claim) === keyOf(peer)
    // What it has of itself needs one look at the process; what it inherits or lacks, a walk up the tree.
    if (!own && this.#trees > 0 && nowMs - seen.foundAtMs >= TREE_FRESH_MS) return true
    if (this.#alive(peer) === undefined) return true
    if (own && resolution.kind === 'claimed' && this.#changed(resolution.claim)) return true
    if (!own && resolution.kind === 'claimed' && !this.isAlive(resolution.claim)) return true
    seen.aliveAtMs = nowMs
    return false
  }

  #check(held: Held): void {
    if (this.#endIfExpired(held)) return
    if (this.#alive(held.claim) !== undefined) {
      if (this.#changed(held.claim)) this.#end(held, 'program_changed')
    } else if (this.#deps.processes.readable()) this.#end(held, 'exit')
  }

  /** What the process holds, if it still runs the program that it was granted for. */
  #running(peer: ProcessPeer): Claim | undefined {
    const claim = this.ofProcess(peer)
    if (claim === undefined || !this.#changed(claim)) return claim
    this.end(claim.id, 'program_changed')
    return undefined
  }

  /** A process may become another program and keep number and start: that one was never looked at. */
  #changed({ pid, shown }: Claim): boolean {
    return shown?.program !== undefined && this.#deps.processes.program(pid) !== shown.program
  }

  #endIfExpired(held: Held): boolean {
    if (elapsedMs(held.since, this.#deps.clock) < held.lifetimeMs) return false
    this.#end(held, 'expire')
    return true
  }

  #keep(held: Held): void {
    this.#epoch += 1
    this.#byId.set(held.claim.id, held)
    this.#byProcess.set(keyOf(held.claim), held)
    if (held.claim.scope === 'tree') this.#trees += 1
  }

  #end(held: Held, reason: ClaimEnd): void {
    if (!this.#byId.delete(held.claim.id)) return
    this.#epoch += 1
    this.#byProcess.delete(keyOf(held.claim))
    if (held.claim.scope === 'tree') this.#trees -= 1
    this.#deps.onEnd(held.claim, reason)
  }
}

function keyOf({ pid, startTime }: Pick<ProcessPeer, 'pid' | 'startTime'>): string {
  return `${pid}:${startTime}`
}
