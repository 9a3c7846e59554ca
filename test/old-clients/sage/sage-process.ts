/** The stand-in of the Python agent SDK as a process, driven by one JSON line for each call; and its runner. */
import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { assertNoTokens } from '../../harness/needles.ts'

const here = import.meta.dirname

/** One HTTP exchange as the client saw it. */
export interface Exchange {
  readonly status: number
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>
  /** Bytes, head included. */
  readonly size: number
  /** The server had hung up by the time the answer was complete. */
  readonly closed: boolean
}

export interface Outcome {
  // biome-ignore lint/suspicious/noExplicitAny: tests assert on whatever a call returned
  readonly ok?: any
  readonly raised?: {
    readonly class: string
    readonly message: string
    readonly exit_code: number
    /** False for what the SDK did not mean to raise. */
    readonly classified: boolean
  }
  readonly attempts: readonly Exchange[]
  /** Seconds before each retry. */
  readonly slept: readonly number[]
  readonly events: readonly { readonly event: string }[]
  readonly ms: number
}

export interface Call {
  readonly call: string
  readonly args?: object
  /** Besides `PATH`. */
  readonly env?: Readonly<Record<string, string>>
  /** Keeps its tokens between calls of the same name. */
  readonly on?: string
  /** Options of its HTTP client. */
  readonly http?: { readonly timeout?: number; max_retries?: number; retry_backoff?: number }
}

export class SageProcess implements AsyncDisposable {
  readonly #child: ChildProcess
  readonly #waiting: ((line: Outcome | Error) => void)[] = []
  readonly #end: Promise<void>
  #calls = 0

  constructor() {
    const child = spawn('python3', [join(here, 'py-sage.py')], {
      env: { PATH: process.env['PATH'] ?? '' },
      stdio: ['pipe', 'pipe', 'pipe'],
    })
    this.#child = child
    let stderr = ''
    child.stdin.on('error', () => undefined)
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text
    })
    createInterface({ input: child.stdout }).on('line', (line) => {
      this.#waiting.shift()?.(JSON.parse(line) as Outcome)
    })
    this.#end = new Promise((resolve) => {
      child.on('close', (code) => {
        for (const settle of this.#waiting.splice(0))
          settle(new Error(`the stand-in ended with ${code}\n${stderr}`))
        resolve()
      })
    })
  }

  /** Calls are answered one after the other. */
  send(call: Call): Promise<Outcome> {
    this.#calls += 1
    return new Promise((resolve, reject) => {
      this.#waiting.push((line) => (line instanceof Error ? reject(line) : resolve(line)))
      this.#child.stdin?.write(`${JSON.stringify({ id: this.#calls, ...call })}\n`)
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.#end
  }
}

export interface AgentRun {
  readonly child: ChildProcess
  /** Names of the events logged so far. */
  events(): string[]
  /** Settles when an event was logged. */
  logged(event: string): Promise<void>
  readonly ended: Promise<{ code: number | null; stdout: string; stderr: string }>
}

export const RUNNER = join(here, 'sage_runner.py')

/** Starts one of the runner's agents as a process of its own. */
export function runAgent(agent: string, env: Readonly<Record<string, string>>): AgentRun {
  return watched(
    spawn('python3', [RUNNER, agent], {
      env: { PATH: process.env['PATH'] ?? '', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    }),
  )
}

export function watched(child: ChildProcess): AgentRun {
  let stdout = ''
  let stderr = ''
  const events: string[] = []
  const waiting = new Map<string, () => void>()
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
  })
  if (child.stderr !== null) {
    createInterface({ input: child.stderr }).on('line', (line) => {
      stderr += `${line}\n`
      if (!line.startsWith('{')) return
      const { event } = JSON.parse(line) as { event: string }
      events.push(event)
      waiting.get(event)?.()
    })
  }
  const closed = new Promise<{ code: number | null; stdout: string; stderr: string }>((resolve) => {
    child.on('close', (code) => resolve({ code, stdout, stderr }))
  })
  const ended = closed.then((all) => {
    assertNoTokens('the output of an agent', stdout + stderr)
    return all
  })
  ended.catch(() => undefined)
  return {
    child,
    events: () => events,
    logged: (event) =>
      events.includes(event)
        ? Promise.resolve()
        : Promise.race([
            new Promise<void>((resolve) => waiting.set(event, resolve)),
            ended.then(({ stderr: text }) => {
              throw new Error(`ended before ${event}\n${text}`)
            }),
          ]),
    ended,
  }
}
