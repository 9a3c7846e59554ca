/** Children of a test: started, spoken to by signals, and waited for. */
import { type ChildProcess, spawn } from 'node:child_process'

export interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
  readonly lines: readonly Record<string, unknown>[]
  /** Since the start. */
  readonly ms: number
}

export interface Child {
  readonly process: ChildProcess
  /** Resolves when stderr has this text. */
  sees(text: string): Promise<void>
  readonly ended: Promise<Ended>
}

export function startChild(
  command: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Child {
  const started = performance.now()
  const child = spawn(command, args, {
    env: {
      PATH: process.env['PATH'] ?? '',
      NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'],
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let stdout = ''
  let stderr = ''
  const waiting: (() => void)[] = []
  child.stdout.setEncoding('utf8').on('data', (part) => {
    stdout += part
  })
  child.stderr.setEncoding('utf8').on('data', (part) => {
    stderr += part
    for (const look of waiting) look()
  })
  const ended = new Promise<Ended>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => {
      for (const look of waiting) look()
      const lines = stderr.split('\n').filter((line) => line.startsWith('{'))
      const ms = performance.now() - started
      resolve({ code, stdout, stderr, lines: lines.map((line) => JSON.parse(line)), ms })
    })
  })
  return {
    process: child,
    ended,
    sees(text) {
      return new Promise((resolve, reject) => {
        const look = (): void => {
          if (stderr.includes(text)) resolve()
          else if (child.exitCode !== null) reject(new Error(`never saw "${text}" in:\n${stderr}`))
        }
        waiting.push(look)
        look()
      })
    },
  }
}
