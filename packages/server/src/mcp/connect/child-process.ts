/**
 * One stdio server as a process: started without a shell in a session of its own, with an environment that holds
 * nothing of ours, and ended with everything it has started.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { tmpdir } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { VestryError } from '@vestry/contract/errors'
import { belonging, family, isAlive, MARK, type ProcessRow, signal } from './process-table.ts'

export interface StartOptions {
  readonly command: readonly string[]
  readonly cwd: string | undefined
  /** Values with their secrets. */
  readonly env: Readonly<Record<string, string>>
  /** Tells this process and its descendants from all others. */
  readonly mark: string
  /** The environment whose harmless part is passed on. */
  readonly base: NodeJS.ProcessEnv
  readonly times?: CloseTimes
}

/** Of closing: after the end of input, after SIGTERM, and for what outlived the server itself. */
export interface CloseTimes {
  readonly inputMs: number
  readonly termMs: number
  readonly leftoverMs: number
}

export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

const TIMES: CloseTimes = { inputMs: 5_000, termMs: 5_000, leftoverMs: 1_000 }
const INHERITED = /^(?:PATH|HOME|LANG|LANGUAGE|LC_[A-Z]+|TZ|TMPDIR)$/
const LOOK_MS = 25
/** After the end, for output that is still on its way. */
const DRAIN_MS = 250
/** Looks for descendants that start others while they are being ended. */
const MAX_SWEEPS = 20

export class ServerProcess {
  readonly pid: number
  readonly stdin: NodeJS.WritableStream & { readonly writableLength: number }
  readonly stdout: NodeJS.ReadableStream
  readonly stderr: NodeJS.ReadableStream
  /** Resolves when the process itself has ended and its output was read. */
  readonly ended: Promise<Ended>
  readonly #child: ChildProcess
  readonly #mark: string
  readonly #times: CloseTimes
  #over: Ended | undefined
  #gone = Promise.withResolvers<void>()
  #closing: Promise<void> | undefined
  #left = true

  private constructor(child: ChildProcess, { mark, times = TIMES }: StartOptions) {
    const { pid, stdin, stdout, stderr } = child
    if (pid === undefined || stdin === null || stdout === null || stderr === null)
      throw new VestryError('INTERNAL_ERROR', 'a process without its pipes')
    this.pid = pid
    this.stdin = stdin
    this.stdout = stdout
    this.stderr = stderr
    this.#child = child
    this.#mark = mark
    this.#times = times
    const closed = new Promise<void>((resolve) => child.once('close', () => resolve()))
    this.ended = new Promise((resolve) => {
      child.once('exit', (code, signal) => {
        this.#over = { code, signal }
        this.#gone.resolve()
        // A descendant that holds the pipe must not keep us from noticing.
        const late = sleep(DRAIN_MS, undefined, { ref: false })
        void Promise.race([closed, late]).then(() => resolve({ code, signal }))
      })
    })
  }

  /** @throws VestryError MCP_PROTOCOL_ERROR when it cannot be started at all. */
  static async start(options: StartOptions): Promise<ServerProcess> {
    const { command, cwd, env, mark, base } = options
    const [program = '', ...args] = command
    const child = spawn(program, args, {
      ...(cwd !== undefined && { cwd }),
      env: { ...baseEnvironment(base), ...env, [MARK]: mark },
      detached: true,
      shell: false,
      stdio: ['pipe', 'pipe', 'pipe'],
    })
    // Broken pipes are told by the end of the process.
    for (const pipe of [child.stdin, child.stdout, child.stderr]) pipe?.on('error', () => undefined)
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve)
      child.once('error', (cause) => reject(notStarted(program, cwd, cause)))
    })
    // Later ones are of signals that could not be sent.
    child.on('error', () => undefined)
    return new ServerProcess(child, options)
  }

  get running(): boolean {
    return this.#over === undefined
  }

  /** Ends it and all it has started; resolves when nothing of it is left, or nothing that can be ended. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  /** As {@link close}, without patience. */
  async kill(): Promise<void> {
    // Its number, and so that of its session, may be another's by now.
    if (!this.#left) return
    const kin = this.running ? family(this.pid) : []
    this.#signalGroup('SIGKILL')
    await this.#sweep(kin, 'SIGKILL')
  }

  async #close(): Promise<void> {
    const { inputMs, termMs } = this.#times
    // Who descends from whom is known only as long as parents live.
    const kin = this.running ? family(this.pid) : []
    if (this.running) {
      this.#child.stdin?.end()
      await this.#within(inputMs)
    }
    if (this.running) {
      this.#signalGroup('SIGTERM')
      await this.#within(termMs)
    }
    if (this.running) {
      kin.push(...family(this.pid))
      this.#signalGroup('SIGKILL')
      await this.#within(termMs)
    }
    await this.#sweep(kin, 'SIGTERM')
    this.#left = false
    this.#child.stdout?.destroy()
    this.#child.stderr?.destroy()
  }

  /** What is left of its descendants: asked first where there is patience, then ended. */
  async #sweep(kin: readonly ProcessRow[], first: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    let left = this.#leftovers(kin)
    if (left.length > 0 && first === 'SIGTERM') {
      signal(left, 'SIGTERM')
      const until = performance.now() + this.#times.leftoverMs
      while (left.some(isAlive) && performance.now() < until) await sleep(LOOK_MS)
      left = this.#leftovers(kin)
    }
    for (let round = 0; left.length > 0 && round < MAX_SWEEPS; round += 1) {
      signal(left, 'SIGKILL')
      await sleep(LOOK_MS)
      left = this.#leftovers(kin)
    }
  }

  #leftovers(kin: readonly ProcessRow[]): ProcessRow[] {
    const found = [...kin, ...belonging(this.#mark, this.pid)]
    const alive = new Map(found.filter(isAlive).map((row) => [row.pid, row]))
    return [...alive.values()]
  }

  #signalGroup(name: NodeJS.Signals): void {
    if (!this.running) return
    try {
      process.kill(-this.pid, name)
    } catch {
      // Ended in between.
    }
  }

  #within(ms: number): Promise<unknown> {
    return Promise.race([this.#gone.promise, sleep(ms, undefined, { ref: false })])
  }
}

/** What any program needs to run, and nothing of what ours was told. */
function baseEnvironment(base: NodeJS.ProcessEnv): Record<string, string> {
  const kept: Record<string, string> = { TMPDIR: tmpdir() }
  for (const [name, value] of Object.entries(base))
    if (value !== undefined && INHERITED.test(name)) kept[name] = value
  return kept
}

function notStarted(program: string, cwd: string | undefined, cause: Error): VestryError {
  const code = 'code' in cause ? String(cause.code) : ''
  const reason =
    code === 'ENOENT'
      ? `"${program}" was not found${cwd === undefined ? '' : ', or its working directory was not'}`
      : code === 'EACCES'
        ? `"${program}" may not be run`
        : `"${program}" did not start (${code})`
  return new VestryError('MCP_PROTOCOL_ERROR', reason, {
    hint: 'Check command and cwd of the server; the daemon looks programs up in its own PATH.',
    cause,
  })
}

/** How a process ended, for a person. */
export function endText({ code, signal: name }: Ended): string {
  return name === null ? `ended with exit code ${code ?? 0}` : `was ended by ${name}`
}
