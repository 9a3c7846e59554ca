/**
 * Picks up the queued executions of one kind, never more at once than its runner allows. It asks the store only
 * when it has reason to: one was reserved here, an event came from another node, or the last claim left some.
 */
import { asVestryError, VestryError } from '@vestry/contract/errors'
import type { Runner } from './held.ts'
import type { HeldRun } from './held-run.ts'

export interface WorkerDeps {
  /** Up to `limit` that wait, now held by this process. */
  readonly claim: (limit: number) => Promise<HeldRun[]>
  /** Whether a claim would find any. */
  readonly anyDue: () => Promise<boolean>
  /** As if the process had died. */
  readonly giveUp: (runs: readonly HeldRun[]) => Promise<void>
  readonly warn: (message: string, cause: unknown) => void
}

export class Worker {
  readonly runner: Runner
  readonly #deps: WorkerDeps
  readonly #bodies = new Set<Promise<void>>()
  #stopped = true
  /** There may be more than were claimed. */
  #hungry = false
  #claiming: Promise<void> | undefined
  #looking = false

  constructor(runner: Runner, deps: WorkerDeps) {
    if (!Number.isSafeInteger(runner.concurrency) || runner.concurrency < 1) {
      throw new VestryError('CONFIG_INVALID', 'A runner needs a concurrency of at least 1')
    }
    this.runner = runner
    this.#deps = deps
  }

  start(): void {
    this.#stopped = false
    this.wake()
  }

  /** Claims nothing any more. Resolves when a claim that was under way has been dealt with. */
  async stop(): Promise<void> {
    this.#stopped = true
    await this.#claiming
  }

  /** One is there for certain. */
  wake(): void {
    this.#hungry = true
    if (this.#stopped || this.#free === 0 || this.#claiming !== undefined) return
    this.#claiming = this.#claim().finally(() => {
      this.#claiming = undefined
      // A slot or an execution may have appeared between the last claim and this line.
      if (this.#hungry && this.#free > 0 && !this.#stopped) this.wake()
    })
  }

  /** One may be there: a read finds out, which costs less than a claim. */
  async look(): Promise<void> {
    if (this.#stopped || this.#hungry || this.#looking) return
    this.#looking = true
    try {
      if (await this.#deps.anyDue()) this.wake()
    } catch {
      // The store is away; the next look finds out.
    } finally {
      this.#looking = false
    }
  }

  /** Resolves when no body runs. */
  async quiet(): Promise<void> {
    while (this.#bodies.size > 0) await Promise.all(this.#bodies)
  }

  get #free(): number {
    return this.runner.concurrency - this.#bodies.size
  }

  async #claim(): Promise<void> {
    while (this.#hungry && this.#free > 0 && !this.#stopped) {
      const limit = this.#free
      this.#hungry = false
      try {
        const runs = await this.#deps.claim(limit)
        if (runs.length === limit) this.#hungry = true
        if (this.#stopped) await this.#deps.giveUp(runs)
        else for (const run of runs) this.#start(run)
      } catch {
        return // the store is away or the vault is sealed; the next look finds what waits
      }
    }
  }

  #start(run: HeldRun): void {
    const body = this.#run(run).finally(() => {
      this.#bodies.delete(body)
      if (this.#hungry) this.wake()
    })
    this.#bodies.add(body)
  }

  async #run(run: HeldRun): Promise<void> {
    try {
      await this.runner.run(run, run.signal)
      if (run.isOpen) throw new Error('A runner returned without ending its execution')
    } catch (error) {
      if (!run.isOpen) return // it has its end; what came after changes nothing
      const named = asVestryError(error)
      if (isStop(named) || (this.#stopped && wasStopped(run.signal))) {
        await this.#deps.giveUp([run])
        return
      }
      if (named.code === 'INTERNAL_ERROR') this.#deps.warn(`A run of ${run.subject} failed`, error)
      // A store that is away gets it later.
      await run.fail({ code: named.code, reached: run.isSent }).catch(() => undefined)
    }
  }
}

function wasStopped({ aborted, reason }: AbortSignal): boolean {
  return aborted && isStop(asVestryError(reason))
}

function isStop({ code }: VestryError): boolean {
  return code === 'SHUTTING_DOWN'
}
