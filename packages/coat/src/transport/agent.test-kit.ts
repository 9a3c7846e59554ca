/** An agent as a process of its own, and what it printed. */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process'
import { join } from 'node:path'
import type { Envelope } from '../aot.ts'
import type { Plan } from './agent-program.test-kit.ts'

const PROGRAM = join(import.meta.dirname, 'agent-program.test-kit.ts')
/** Far beyond anything that is expected. */
const GUARD_MS = 120_000

export interface Agent {
  readonly child: ChildProcess
  /** What it printed on stderr so far. */
  text(): string
  /** Resolves when it prints a line on stdout. */
  line(): Promise<string>
  ended(): Promise<Ended>
}

export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stderr: string
  /** The last line of stdout, parsed. */
  readonly told: Record<string, unknown>
}

export function startAgent(plan: Plan, options: SpawnOptions = {}): Agent {
  const child = spawn(
    process.execPath,
    ['--conditions=source', '--no-warnings', PROGRAM, JSON.stringify(plan)],
    { stdio: ['pipe', 'pipe', 'pipe'], ...options },
  )
  const guard = setTimeout(() => child.kill('SIGKILL'), GUARD_MS)
  let stderr = ''
  let stdout = ''
  const waiting: ((line: string) => void)[] = []
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
    if (text.includes('\n')) waiting.shift()?.(text.trimEnd())
  })
  const ended = new Promise<Ended>((resolve) => {
    child.on('close', (code, signal) => {
      clearTimeout(guard)
      for (const tell of waiting.splice(0)) tell('')
      const last = stdout.trimEnd().split('\n').at(-1) ?? ''
      resolve({ code, signal, stderr, told: last.startsWith('{') ? JSON.parse(last) : {} })
    })
  })
  return {
    child,
    text: () => stderr,
    line: () => new Promise((resolve) => waiting.push(resolve)),
    ended: () => ended,
  }
}

/** The envelopes among what was printed; fails on a line that claims to be one and is not. */
export function envelopesIn(stderr: string): Envelope[] {
  return stderr
    .split('\n')
    .filter((line) => line.startsWith('[coat] '))
    .map((line) => JSON.parse(line.slice('[coat] '.length)) as Envelope)
}

export function warningsIn(stderr: string): string[] {
  return stderr.split('\n').filter((line) => line.startsWith('[coat:warn]'))
}
