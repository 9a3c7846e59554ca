/**
 * The durable journal of effects: what must not happen twice is reserved before it begins, marked before the
 * first byte leaves and kept with its result; what nobody waits for is run by workers, over restarts and nodes.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { type ErrorCode, VestryError } from '@vestry/contract/errors'
import type { Keyring } from '../seal/keyring.ts'
import type { Store } from '../store/store.ts'
import type { Execution, NewExecution } from './execution.ts'
import {
  type ExecutionFilter,
  ExecutionReads,
  type Found,
  type OpenCounts,
} from './execution-reads.ts'
import { type ExecutionRow, type Lease, newRow, toExecution } from './execution-row.ts'
import { type Alongside, cancelWaiting, claim, prune, reserve, wake } from './execution-writes.ts'
import type { Reserved, Runner } from './held.ts'
import type { HeldRun } from './held-run.ts'
import { HeldRuns } from './held-runs.ts'
import { interruptDead } from './interruption.ts'
import { Rounds } from './rounds.ts'
import { openContent, sealContent } from './sealed-content.ts'
import { Waiters } from './waiters.ts'
import { Worker } from './worker.ts'

/** How long a run outlives the last sign of its process, where several nodes share the store. */
const LEASE_MS = 30_000
/** Finds what no event told. */
const POLL_MS = 1_000
/** What an aborted body gets to end by itself. */
const ABORT_GRACE_MS = 1_000

export interface JournalDeps {
  readonly store: Store
  /** @throws VestryError VAULT_LOCKED while sealed. */
  readonly keys: () => Keyring
  /** Epoch ms; nodes that share a store agree on it within a second or so. */
  readonly now: () => number
  /** Names this start of this process, unlike any other: random. */
  readonly owner: string
  readonly warn: (message: string, cause: unknown) => void
  readonly leaseMs?: number
  readonly pollMs?: number
}

export class Journal implements AsyncDisposable {
  readonly #deps: JournalDeps
  readonly #leaseMs: number
  readonly #reads: ExecutionReads
  readonly #waiters: Waiters
  readonly #workers = new Map<string, Worker>()
  readonly #held: HeldRuns
  readonly #rounds = new Rounds()
  /** Inline ones whose reservation is on its way to the disk. */
  readonly #reserving = new Set<string>()
  readonly #unsubscribe: () => void
  #state: 'new' | 'started' | 'stopped' = 'new'

  constructor(deps: JournalDeps) {
    const { store, keys, now } = deps
    this.#deps = deps
    this.#leaseMs = deps.leaseMs ?? LEASE_MS
    this.#reads = new ExecutionReads(store, now)
    this.#waiters = new Waiters(this.#reads)
    this.#held = new HeldRuns({
      store,
      keys,
      now,
      owner: deps.owner,
      input: (id) => this.input(id),
      onEnd: (id) => void this.#waiters.check(id),
    })
    // One process hears of its own executions without the store's help.
    this.#unsubscribe =
      store.engine === 'sqlite'
        ? () => undefined
        : store.onChange((tables) => tables.includes('execution') && this.#look())
  }

  /**
   * Reserves it, or finds what was reserved under its key. A key is free again when its execution is forgotten,
   * failed before it reached anything, or failed and may be repeated; the later one then takes the key, the
   * earlier one keeps its id. Whoever asks with another fingerprint always gets `known`.
   *
   * @param alongside Written with it if it is stored, and not for one that is known.
   * @throws VestryError QUEUE_FULL, REQUEST_TOO_LARGE, SHUTTING_DOWN, VAULT_LOCKED, STORE_UNAVAILABLE; CONFLICT for an
   *   id that is taken.
   */
  async reserve(execution: NewExecution, alongside?: Alongside): Promise<Reserved> {
    if (this.#state === 'stopped') throw new VestryError('SHUTTING_DOWN')
    const { store, keys, now } = this.#deps
    const { id, kind, mode, input } = execution
    const sealed = input === undefined ? null : sealContent(keys(), 'execution-input', id, input)
    const nowMs = now()
    const row = newRow(execution, sealed, this.#lease(nowMs), nowMs)
    this.#reserving.add(id)
    try {
      const queueMax = this.#workers.get(kind)?.runner.queueMax
      const known = await reserve(store, row, nowMs, queueMax, alongside)
      if (known !== undefined) return { state: 'known', execution: known }
      if (mode === 'inline') return { state: 'held', execution: this.#hold(row) }
    } finally {
      this.#reserving.delete(id)
    }
    if (row.run_at <= nowMs) this.#workers.get(kind)?.wake()
    return { state: 'queued', execution: toExecution(row) }
  }

  /** What was reserved under a key. At once on SQLite. */
  find(kind: string, key: string): Found {
    return this.#reads.find(kind, key)
  }

  /** At once on SQLite. */
  get(id: string): Found {
    return this.#reads.get(id)
  }

  /** What an open one was reserved with. @throws VestryError SEAL_BROKEN, VAULT_LOCKED, STORE_UNAVAILABLE. */
  async input(id: string): Promise<Uint8Array | undefined> {
    const sealed = await this.#reads.input(id)
    return sealed && openContent(this.#deps.keys(), 'execution-input', id, sealed)
  }

  /**
   * What a done one answered, or a failed one left for its repetitions.
   * @throws VestryError SEAL_BROKEN, VAULT_LOCKED, STORE_UNAVAILABLE.
   */
  async output(id: string): Promise<Uint8Array | undefined> {
    const sealed = await this.#reads.output(id)
    return sealed && openContent(this.#deps.keys(), 'execution-output', id, sealed)
  }

  /** Resolves at its end, wherever it runs. @throws the signal's reason; VestryError JOB_NOT_FOUND. */
  wait(id: string, signal: AbortSignal): Promise<Execution> {
    this.#keepTime()
    return this.#waiters.wait(id, signal)
  }

  /**
   * Ends one that waits, as failed with `code`. One that runs on this node is told to stop, if its runner is
   * cancellable. @returns whether either was done.
   */
  async cancel(id: string, code: ErrorCode = 'CANCELLED'): Promise<boolean> {
    const { store, now } = this.#deps
    const outcome = { state: 'failed', reached: false, errorCode: code } as const
    if (await cancelWaiting(store, id, outcome, now())) {
      await this.#waiters.check(id)
      return true
    }
    const run = this.#held.get(id)
    if (run === undefined || this.#workers.get(run.kind)?.runner.cancellable !== true) return false
    run.abort(new VestryError(code))
    return true
  }

  /** Has one that waits run at once, whatever it waits for. @returns whether it did wait. */
  async wake(id: string): Promise<boolean> {
    const { store, now } = this.#deps
    const woken = await wake(store, id, now())
    if (woken) for (const worker of this.#workers.values()) void worker.look()
    return woken
  }

  /** Newest first. */
  list(filter: ExecutionFilter): Promise<Execution[]> {
    return this.#reads.list(filter)
  }

  /** Those that have not ended. */
  counts(kind: string): Promise<OpenCounts> {
    return this.#reads.counts(kind)
  }

  /** From `start` on, queued executions of `kind` are run here. @throws VestryError CONFIG_INVALID, CONFLICT. */
  register(kind: string, runner: Runner): void {
    if (this.#workers.has(kind)) throw new VestryError('CONFLICT', `${kind} has a runner already`)
    const worker = new Worker(runner, {
      claim: (limit) => this.#claim(kind, limit),
      anyDue: () => this.#reads.anyDue(kind),
      giveUp: (runs) => this.#held.giveUp(runs),
      warn: this.#deps.warn,
    })
    this.#workers.set(kind, worker)
    if (this.#state === 'started') worker.start()
  }

  /**
   * Deals with what dead processes left. On SQLite only under the instance lock and before `start`: whatever this
   * journal does not hold is dead there. @returns how many there were.
   */
  recover(): Promise<number> {
    const { store, owner, now } = this.#deps
    const held = () => [...this.#held.all().map(({ id }) => id), ...this.#reserving]
    return interruptDead(store, owner, held, now())
  }

  start(): void {
    if (this.#state === 'started') return
    this.#state = 'started'
    this.#keepTime()
    for (const worker of this.#workers.values()) worker.start()
  }

  /**
   * Begins nothing any more. What runs gets `budgetMs` to end, then its signal and `graceMs` to heed it; what is
   * still held after that is treated as after a crash. `start` may follow.
   */
  async stop(budgetMs: number, graceMs = ABORT_GRACE_MS): Promise<void> {
    this.#state = 'stopped'
    const workers = [...this.#workers.values()]
    await Promise.all(workers.map((worker) => worker.stop()))
    if (!(await this.#quietWithin(budgetMs))) {
      for (const run of this.#held.all()) run.abort(new VestryError('SHUTTING_DOWN'))
      await this.#quietWithin(graceMs)
    }
    this.#rounds.stop()
    await this.#held.saveAgain()
    await this.#held.giveUp(this.#held.all())
  }

  /** Removes what is forgotten. Call it now and then. @returns how many. */
  prune(): Promise<number> {
    return prune(this.#deps.store, this.#deps.now())
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#unsubscribe()
    await this.stop(0, 0)
  }

  async #claim(kind: string, limit: number): Promise<HeldRun[]> {
    this.#deps.keys() // while sealed nothing could be read, so nothing is taken from other nodes
    const nowMs = this.#deps.now()
    const claimed = await claim(this.#deps.store, kind, limit, this.#lease(nowMs), nowMs)
    return claimed.map((row) => this.#hold(row))
  }

  #hold(row: ExecutionRow): HeldRun {
    this.#keepTime()
    return this.#held.hold(row)
  }

  #lease(nowMs: number): Lease {
    return { owner: this.#deps.owner, untilMs: nowMs + this.#leaseMs }
  }

  /** From the first run or waiter on, even before `start`: what is held must be kept alive. */
  #keepTime(): void {
    if (this.#rounds.running || this.#state === 'stopped') return
    this.#rounds.every(this.#deps.pollMs ?? POLL_MS, async () => {
      this.#look()
      await this.#held.saveAgain()
    })
    this.#rounds.every(this.#leaseMs / 3, async () => {
      await this.#held.extend(this.#lease(this.#deps.now()))
      if (this.#deps.store.engine === 'postgres') await this.recover()
    })
  }

  /** Something may wait or have ended that no event told of. */
  #look(): void {
    for (const worker of this.#workers.values()) void worker.look()
    void this.#waiters.checkAll((id) => this.#held.get(id) !== undefined)
  }

  async #quietWithin(ms: number): Promise<boolean> {
    const timer = new AbortController()
    const late = delay(ms, false, { signal: timer.signal }).catch(() => false)
    try {
      return await Promise.race([this.#quiet().then(() => true), late])
    } finally {
      timer.abort()
    }
  }

  async #quiet(): Promise<void> {
    const bodies = [...this.#workers.values()].map((worker) => worker.quiet())
    await Promise.all([...bodies, this.#held.quiet()])
  }
}
