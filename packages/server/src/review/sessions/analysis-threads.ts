/**
 * Runs analyses beside the event loop: a tool that somebody made to be slow, or to use up memory, costs a thread
 * that is ended, and nobody else's call waits for it. Threads begin with the first tool and end when none came for a
 * while.
 */
import { extname, join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { VestryError } from '@vestry/contract/errors'
import type { Analysis } from '../analysis/finding.ts'
import type { Surroundings } from '../analysis/rule.ts'

/** Texts instead of documents: what remembers how numbers were written cannot be handed to a thread. */
export interface AnalysisTask {
  readonly toolJson: string
  readonly earlierJson: readonly string[]
  readonly around: Omit<Surroundings, 'earlier'>
}

export type AnalysisAnswer = { readonly analysis: Analysis } | { readonly error: string }

export interface ThreadLimits {
  /** At once; others wait. */
  readonly threads: number
  /** From the moment a thread has it. */
  readonly timeoutMs: number
  readonly idleMs: number
  readonly heapMb: number
  /** Tasks that wait; the next one is refused. */
  readonly waiting: number
}

const LIMITS: ThreadLimits = {
  threads: 2,
  timeoutMs: 20_000,
  idleMs: 20_000,
  heapMb: 256,
  waiting: 256,
}

const OWN_TYPE = extname(import.meta.filename)
const SCRIPT = join(import.meta.dirname, `analysis-worker${OWN_TYPE}`)

interface Job {
  readonly task: AnalysisTask
  readonly settle: (answer: AnalysisAnswer) => void
  readonly fail: (error: Error) => void
}

interface Thread {
  readonly worker: Worker
  job: Job | undefined
  timer: NodeJS.Timeout | undefined
}

export class AnalysisThreads {
  readonly #limits: ThreadLimits
  readonly #script: string | URL
  readonly #threads = new Set<Thread>()
  readonly #waiting: Job[] = []
  #closed = false

  /** @param script What runs in a thread. */
  constructor(limits: Partial<ThreadLimits> = {}, script: string | URL = SCRIPT) {
    this.#limits = { ...LIMITS, ...limits }
    this.#script = script
  }

  get size(): number {
    return this.#threads.size
  }

  /** @throws VestryError ANALYSIS_FAILED, with what the thread said as its cause; QUEUE_FULL; SHUTTING_DOWN. */
  async run(task: AnalysisTask): Promise<Analysis> {
    if (this.#closed) throw stopped()
    if (this.#waiting.length >= this.#limits.waiting)
      throw new VestryError('QUEUE_FULL', 'Too many tools wait for their analysis')
    const answer = await new Promise<AnalysisAnswer>((settle, fail) => {
      this.#waiting.push({ task, settle, fail })
      this.#next()
    })
    if ('analysis' in answer) return answer.analysis
    throw new VestryError('ANALYSIS_FAILED', 'The analysis ended with an error', {
      cause: new Error(answer.error),
    })
  }

  /** Ends all threads; what they were at fails. They begin again after {@link open}. */
  async close(): Promise<void> {
    this.#closed = true
    for (const { fail } of this.#waiting.splice(0)) fail(stopped())
    await Promise.all([...this.#threads].map((thread) => this.#end(thread, stopped())))
  }

  open(): void {
    this.#closed = false
  }

  #next(): void {
    if (this.#waiting.length === 0) return
    const thread = this.#free()
    if (thread === undefined) return
    const job = this.#waiting.shift()
    if (job === undefined) return
    clearTimeout(thread.timer)
    thread.job = job
    const { timeoutMs } = this.#limits
    thread.timer = setTimeout(() => {
      void this.#end(thread, failed(`The analysis took longer than ${timeoutMs} ms`))
    }, timeoutMs)
    thread.worker.postMessage(job.task)
  }

  #free(): Thread | undefined {
    for (const thread of this.#threads) if (thread.job === undefined) return thread
    return this.#threads.size < this.#limits.threads ? this.#begin() : undefined
  }

  #begin(): Thread {
    const worker = new Worker(this.#script, {
      name: 'tool analysis',
      // From the sources, packages are the sources too.
      execArgv: OWN_TYPE === '.ts' ? ['--conditions=source'] : [],
      env: {},
      stdout: true,
      stderr: true,
      resourceLimits: { maxOldGenerationSizeMb: this.#limits.heapMb },
    })
    worker.stdout.resume()
    worker.stderr.resume()
    worker.unref()
    const thread: Thread = { worker, job: undefined, timer: undefined }
    this.#threads.add(thread)
    worker.on('message', (answer: AnalysisAnswer) => {
      const { job } = thread
      thread.job = undefined
      this.#rest(thread)
      job?.settle(answer)
      this.#next()
    })
    // Out of memory, or an error that nothing caught; the exit follows.
    worker.on('error', (error) => void this.#end(thread, failed('The analysis broke off', error)))
    worker.on('exit', () => void this.#end(thread, failed('The analysis broke off')))
    return thread
  }

  #rest(thread: Thread): void {
    clearTimeout(thread.timer)
    thread.timer = setTimeout(() => void this.#end(thread, stopped()), this.#limits.idleMs).unref()
  }

  async #end(thread: Thread, reason: Error): Promise<void> {
    if (!this.#threads.delete(thread)) return
    clearTimeout(thread.timer)
    const { job } = thread
    thread.job = undefined
    job?.fail(reason)
    await thread.worker.terminate()
    this.#next()
  }
}

function failed(message: string, cause?: unknown): VestryError {
  return new VestryError('ANALYSIS_FAILED', message, cause === undefined ? {} : { cause })
}

function stopped(): VestryError {
  return new VestryError('SHUTTING_DOWN', 'Analyses have stopped')
}
