/**
 * Work beside the event loop: threads that begin with the first task, end when none came for a while, and are ended
 * hard when a task takes too long or too much memory.
 */
import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import { type ErrorCode, VestryError } from '@vestry/contract/errors'

export interface ThreadLimits {
  /** At once; other tasks wait. */
  readonly threads: number
  /** From the moment a thread has the task. */
  readonly timeoutMs: number
  readonly idleMs: number
  /** Of the heap of each thread; what lies outside of the heap the script has to bound. */
  readonly heapMb: number
  /** Tasks that wait; the next one is refused. */
  readonly waiting: number
}

export interface ThreadWork {
  readonly name: string
  readonly script: string
  readonly limits: ThreadLimits
  /** Whether a task that nobody waits for any more costs its thread. */
  readonly endOnAbort: boolean
  /** Told of a thread that took too long or broke off. */
  readonly broken: (problem: string, cause?: unknown) => VestryError
}

/** What a script posts for each task. */
export type ThreadAnswer<Result> =
  | { readonly result: Result }
  | {
      readonly error: { readonly code: ErrorCode; readonly message: string }
      /** The thread ends by itself and takes nothing more. */
      readonly last?: true
    }

interface Job<Result> {
  readonly task: unknown
  readonly resolve: (result: Result) => void
  readonly reject: (reason: unknown) => void
}

interface Thread<Result> {
  readonly worker: Worker
  job: Job<Result> | undefined
  timer: NodeJS.Timeout | undefined
}

const SOURCE = '.ts'
/** Young objects are many in parsers, and short-lived. */
const YOUNG_MB = 32

export class Threads<Task, Result> implements AsyncDisposable {
  readonly #work: ThreadWork
  readonly #threads = new Set<Thread<Result>>()
  readonly #waiting: Job<Result>[] = []

  constructor(work: ThreadWork) {
    this.#work = work
  }

  /** How many there are now. */
  get size(): number {
    return this.#threads.size
  }

  /**
   * @param urgent Before all that waits: for what is short, and somebody looks at.
   * @throws VestryError QUEUE_FULL, what the script answered, what `broken` makes; the signal's reason.
   */
  async run(task: Task, signal: AbortSignal, urgent = false): Promise<Result> {
    signal.throwIfAborted()
    if (this.#waiting.length >= this.#work.limits.waiting)
      throw new VestryError('QUEUE_FULL', `Too much waits for the ${this.#work.name}`)
    const { promise, resolve, reject } = Promise.withResolvers<Result>()
    const job: Job<Result> = { task, resolve, reject }
    const leave = (): void => this.#leave(job, signal.reason)
    signal.addEventListener('abort', leave, { once: true })
    if (urgent) this.#waiting.unshift(job)
    else this.#waiting.push(job)
    this.#next()
    try {
      return await promise
    } finally {
      signal.removeEventListener('abort', leave)
    }
  }

  /** Ends all threads; what they were at fails. The next task begins new ones. */
  async close(): Promise<void> {
    const stopped = new VestryError('SHUTTING_DOWN')
    for (const { reject } of this.#waiting.splice(0)) reject(stopped)
    await Promise.all([...this.#threads].map((thread) => this.#end(thread, stopped)))
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #leave(job: Job<Result>, reason: unknown): void {
    job.reject(reason)
    const at = this.#waiting.indexOf(job)
    if (at >= 0) this.#waiting.splice(at, 1)
    if (!this.#work.endOnAbort) return
    for (const thread of this.#threads) if (thread.job === job) void this.#end(thread, reason)
  }

  #next(): void {
    const thread = this.#waiting.length === 0 ? undefined : this.#free()
    const job = thread && this.#waiting.shift()
    if (thread === undefined || job === undefined) return
    clearTimeout(thread.timer)
    thread.job = job
    const { timeoutMs } = this.#work.limits
    thread.timer = setTimeout(() => {
      void this.#end(thread, this.#work.broken(`took longer than ${timeoutMs / 1_000} s`))
    }, timeoutMs)
    thread.worker.postMessage(job.task)
  }

  #free(): Thread<Result> | undefined {
    for (const thread of this.#threads) if (thread.job === undefined) return thread
    return this.#threads.size < this.#work.limits.threads ? this.#begin() : undefined
  }

  #begin(): Thread<Result> {
    const { name, script, limits } = this.#work
    const worker = new Worker(script, {
      name,
      // From the sources, packages are the sources too.
      execArgv: extname(script) === SOURCE ? ['--conditions=source'] : [],
      env: {},
      stdout: true,
      stderr: true,
      resourceLimits: { maxOldGenerationSizeMb: limits.heapMb, maxYoungGenerationSizeMb: YOUNG_MB },
    })
    worker.stdout.resume()
    worker.stderr.resume()
    worker.unref()
    const thread: Thread<Result> = { worker, job: undefined, timer: undefined }
    this.#threads.add(thread)
    worker.on('message', (answer: ThreadAnswer<Result>) => this.#answered(thread, answer))
    const broken = (cause?: unknown): void =>
      void this.#end(thread, this.#work.broken('broke off', cause))
    worker.on('error', broken) // out of memory, or an error that nothing caught
    worker.on('exit', () => broken())
    return thread
  }

  #answered(thread: Thread<Result>, answer: ThreadAnswer<Result>): void {
    if ('error' in answer) {
      const error = new VestryError(answer.error.code, answer.error.message)
      if (answer.last) {
        void this.#end(thread, error)
        return
      }
      thread.job?.reject(error)
    } else thread.job?.resolve(answer.result)
    thread.job = undefined
    this.#rest(thread)
    this.#next()
  }

  #rest(thread: Thread<Result>): void {
    clearTimeout(thread.timer)
    const { idleMs } = this.#work.limits
    thread.timer = setTimeout(() => void this.#end(thread, undefined), idleMs).unref()
  }

  async #end(thread: Thread<Result>, reason: unknown): Promise<void> {
    if (!this.#threads.delete(thread)) return
    clearTimeout(thread.timer)
    const { job } = thread
    thread.job = undefined
    job?.reject(reason)
    await thread.worker.terminate()
    this.#next()
  }
}
