/** The stand-in of the published Python client as a process of its own, driven by one JSON line for each call. */
import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

/** One HTTP request of one call, as the client saw it. */
export interface Attempt {
  readonly method: string
  /** As it went over the wire. */
  readonly target: string
  readonly ms: number
  readonly status?: number
  /** Lower-case names. */
  readonly headers?: Readonly<Record<string, string>>
  readonly text?: string
}

/** The exception that a caller of the client would have caught. */
export interface Raised {
  readonly class: string
  readonly bases: readonly string[]
  readonly message: string
  readonly status: number | null
  readonly text: string | null
}

export interface Outcome {
  // biome-ignore lint/suspicious/noExplicitAny: tests assert on whatever a call returned
  readonly ok?: any
  readonly raised?: Raised
  readonly attempts: readonly Attempt[]
  /** Seconds between attempts, as that client counts them. */
  readonly slept: readonly number[]
}

/** Which client makes the call; absent members come from the environment. */
export interface On {
  readonly key?: string
  readonly base_url?: string
  /** Without any key. */
  readonly anonymous?: boolean
  /** v0.3.1. */
  readonly later?: boolean
  readonly config?: {
    readonly timeout?: number
    readonly max_retries?: number
    readonly pace?: number
  }
}

export type Call = (name: string, ...args: unknown[]) => Promise<Outcome>

export class RuntimeProcess implements AsyncDisposable {
  readonly #child: ChildProcess
  readonly #waiting = new Map<number, PromiseWithResolvers<Outcome>>()
  readonly #end: Promise<void>
  #lastId = 0

  /** @param env `SYMBIONT_*` and nothing else but the way to Python. */
  constructor(env: Readonly<Record<string, string>>) {
    const child = spawn('python3', [join(import.meta.dirname, 'py-runtime.py')], {
      env: { PATH: process.env['PATH'] ?? '', ...env },
      stdio: ['pipe', 'pipe', 'pipe'],
    })
    this.#child = child
    let stderr = ''
    child.stdin.on('error', () => undefined)
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text
    })
    createInterface({ input: child.stdout }).on('line', (line) => {
      const { id, ...outcome } = JSON.parse(line) as Outcome & { id: number }
      this.#waiting.get(id)?.resolve(outcome)
      this.#waiting.delete(id)
    })
    this.#end = new Promise((resolve) => {
      child.on('close', (code) => {
        for (const { reject } of this.#waiting.values())
          reject(new Error(`the client ended with ${code}\n${stderr}`))
        this.#waiting.clear()
        resolve()
      })
    })
  }

  /** @throws Error when the process ends before it answers. */
  call(on: On, name: string, args: readonly unknown[], kwargs: object = {}): Promise<Outcome> {
    this.#lastId += 1
    const waiting = Promise.withResolvers<Outcome>()
    this.#waiting.set(this.#lastId, waiting)
    const command = { id: this.#lastId, on, call: name, args, kwargs }
    this.#child.stdin?.write(`${JSON.stringify(command)}\n`)
    return waiting.promise
  }

  as(on: On): Call {
    return (name, ...args) => this.call(on, name, args)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.#end
  }
}

/** What the call gave. @throws Error with what was raised instead. */
export async function given(asked: Promise<Outcome>) {
  const { ok, raised, attempts } = await asked
  if (raised === undefined) return ok
  const last = attempts.at(-1)
  throw new Error(`${raised.class}: ${raised.message}\n${last?.target} ${last?.text}`)
}
