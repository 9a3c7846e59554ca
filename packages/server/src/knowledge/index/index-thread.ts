/** The index from the event loop's side: asks its thread, and waits without blocking anybody. */
import { extname, join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { VestryError } from '@vestry/contract/errors'
import type { Candidate, IndexCall, IndexQuery, IndexReply, IndexRequest } from './index-query.ts'

const OWN_TYPE = extname(import.meta.filename)
const SCRIPT = join(import.meta.dirname, `index-worker${OWN_TYPE}`)
/** Of one request, from its turn on. */
const TIMEOUT_MS = 60_000
/** Requests that wait; the next one is refused. */
const MAX_WAITING = 1_000

interface Waiting {
  readonly settle: (reply: IndexReply) => void
  readonly fail: (error: Error) => void
}

export class IndexThread implements AsyncDisposable {
  readonly #path: string
  readonly #waiting = new Map<number, Waiting>()
  #worker: Worker | undefined
  #next = 0
  #timer: NodeJS.Timeout | undefined

  constructor(path: string) {
    this.#path = path
  }

  /** Begins a thread, or opens the file again. @returns the revision that the file has. */
  async open(lineage: string): Promise<number> {
    const { revision } = await this.#ask({ op: 'open', path: this.#path, lineage })
    return revision
  }

  /** @returns the revision that the file has now. */
  async apply(request: Omit<Extract<IndexRequest, { op: 'apply' }>, 'op'>): Promise<number> {
    return (await this.#ask({ op: 'apply', ...request })).revision
  }

  async search(query: IndexQuery): Promise<readonly Candidate[]> {
    return (await this.#ask({ op: 'search', query })).candidates
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#end(new VestryError('SHUTTING_DOWN'))
  }

  async #ask(request: IndexRequest): Promise<IndexReply> {
    if (this.#waiting.size >= MAX_WAITING)
      throw new VestryError('QUEUE_FULL', 'Too many searches wait')
    const worker = this.#worker ?? this.#begin()
    const id = this.#next++
    const reply = await new Promise<IndexReply>((settle, fail) => {
      this.#waiting.set(id, { settle, fail })
      const call: IndexCall = { id, request }
      worker.postMessage(call)
      if (this.#waiting.size === 1) this.#keepTime()
    })
    if (reply.error === undefined) return reply
    throw failed(new Error(reply.error))
  }

  #begin(): Worker {
    const worker = new Worker(SCRIPT, {
      name: 'knowledge index',
      // From the sources, packages are the sources too.
      execArgv: OWN_TYPE === '.ts' ? ['--conditions=source'] : [],
      env: {},
      stdout: true,
      stderr: true,
    })
    worker.stdout.resume()
    worker.stderr.resume()
    worker.unref()
    worker.on('message', (reply: IndexReply) => {
      const waiting = this.#waiting.get(reply.id)
      this.#waiting.delete(reply.id)
      this.#keepTime()
      waiting?.settle(reply)
    })
    const broken = (cause?: unknown) => {
      if (this.#worker === worker) void this.#end(failed(cause))
    }
    worker.on('error', broken)
    worker.on('exit', () => broken())
    this.#worker = worker
    return worker
  }

  /** One that hangs is ended; the file is as it was before. */
  #keepTime(): void {
    clearTimeout(this.#timer)
    if (this.#waiting.size === 0) return
    this.#timer = setTimeout(() => {
      void this.#end(failed(new Error(`no answer within ${TIMEOUT_MS} ms`)))
    }, TIMEOUT_MS)
  }

  async #end(reason: Error): Promise<void> {
    clearTimeout(this.#timer)
    const worker = this.#worker
    this.#worker = undefined
    for (const { fail } of this.#waiting.values()) fail(reason)
    this.#waiting.clear()
    await worker?.terminate()
  }
}

function failed(cause: unknown): VestryError {
  return new VestryError('BACKEND_ERROR', 'The index of knowledge does not answer', { cause })
}
