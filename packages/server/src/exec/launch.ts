/**
 * Runs one command in a sandbox, as if it had been started in our place: it has our standard streams, gets our
 * signals, and its end is told as a shell tells it.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { constants } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { VestryError } from '@vestry/contract/errors'
import { covered, passedOn } from './descriptors.ts'
import type { Variables } from './environment.ts'
import { type Sandbox, STATUS_FD } from './sandbox.ts'

export interface Launch {
  readonly sandbox: Sandbox
  readonly command: readonly string[]
  readonly environment: Variables
  /** Where a sandbox without mounts starts it. */
  readonly directory: string
  readonly filterFile: string
  /** Called as soon as the process of the command is known; not for one that was over before. */
  readonly started?: ((process: Launched) => void) | undefined
}

export interface Launched {
  /** Outside of the sandbox. */
  readonly pid: number
}

const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2', 'SIGCONT'] as const
const SIGNALLED = 128
/** At the process of the command, each after 10 ms: a busy machine takes seconds to get there. */
const MAX_LOOKS = 1_000

/** @returns The exit code, 128 + n after signal n. */
export async function launch({
  sandbox,
  command,
  environment,
  directory,
  filterFile,
  started,
}: Launch): Promise<number> {
  const [program = '', ...args] = [...sandbox.prefix, ...command]
  const hasView = sandbox.kind === 'bubblewrap'
  let pass = (_signal: NodeJS.Signals): void => undefined
  // Before there is an agent: it may run, and speak, before we are on the processor again.
  const release = takeSignals((signal) => pass(signal))
  try {
    const child = start()
    const agent = hasView ? insideOf(child) : async () => child.pid
    pass = (signal) => void forward(signal, child, agent)
    if (started !== undefined) void told(child, agent, started)
    return await ended(child)
  } finally {
    release()
  }

  function start(): ChildProcess {
    const filter = openSync(filterFile, 'r')
    const nothing = openSync('/dev/null', 'r+')
    try {
      const given = [
        ...(['inherit', 'inherit', 'inherit'] as const),
        ...(hasView ? [filter, 'pipe' as const] : []),
      ]
      return spawn(program, args, {
        env: { ...environment },
        cwd: directory,
        // A session of its own: a terminal's interrupt reaches the sandbox through us alone.
        detached: true,
        stdio: covered(given, passedOn(), nothing),
      })
    } finally {
      closeSync(filter)
      closeSync(nothing)
    }
  }
}

async function told(
  child: ChildProcess,
  agent: () => Promise<number | undefined>,
  started: (process: Launched) => void,
): Promise<void> {
  const pid = (await agent()) ?? child.pid
  if (pid !== undefined) started({ pid })
}

function ended(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once('error', (cause) =>
      reject(
        new VestryError('CONFIG_INVALID', `the sandbox did not start: ${cause.message}`, { cause }),
      ),
    )
    child.once('exit', (code, signal) =>
      resolve(signal === null ? (code ?? 1) : SIGNALLED + constants.signals[signal]),
    )
  })
}

/** While the agent runs, a signal means the agent: whoever listened before hears nothing until it has ended. */
function takeSignals(pass: (signal: NodeJS.Signals) => void): () => void {
  const undo = SIGNALS.map((signal) => {
    const before = process.listeners(signal)
    process.removeAllListeners(signal)
    process.on(signal, pass)
    return () => {
      process.off(signal, pass)
      for (const listener of before) process.on(signal, listener)
    }
  })
  return () => {
    for (const one of undo) one()
  }
}

async function forward(
  signal: NodeJS.Signals,
  child: ChildProcess,
  agent: () => Promise<number | undefined>,
): Promise<void> {
  const pid = await agent()
  if (child.exitCode !== null || child.signalCode !== null) return
  try {
    if (pid !== undefined) process.kill(pid, signal)
    else child.kill('SIGKILL') // nothing is running yet that could end in good order
  } catch {
    // It ended just now.
  }
}

/**
 * The process of the command itself, which is the first child of the one that bubblewrap put at the head of
 * the new process namespace; signals to the others would end the sandbox without a word to the agent.
 */
function insideOf(child: ChildProcess): () => Promise<number | undefined> {
  let status = ''
  child.stdio[STATUS_FD]?.on('data', (bytes: Buffer) => {
    status += bytes.toString('latin1')
  })
  return async () => {
    for (let patience = 0; patience < MAX_LOOKS && child.exitCode === null; patience += 1) {
      const head = /"child-pid":\s*(\d+)/.exec(status)?.[1]
      const pid = head === undefined ? undefined : firstChild(Number(head))
      if (pid !== undefined) return pid
      await sleep(10)
    }
    return undefined
  }
}

function firstChild(pid: number): number | undefined {
  try {
    const [first] = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').split(' ')
    return first === undefined || first === '' ? undefined : Number(first)
  } catch {
    return undefined
  }
}
