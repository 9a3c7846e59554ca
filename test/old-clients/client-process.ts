/** Runs a script in one of the stand-in clients, as a process of its own, and talks with it in JSON lines. */
import { type ChildProcessByStdio, spawn, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { onTestFinished } from 'vitest'
import type { AgentKeys } from '../harness/keys.ts'

const here = dirname(fileURLToPath(import.meta.url))
const CLIENTS = {
  python: { command: 'python3', file: join(here, 'py-client.py') },
  node: { command: process.execPath, file: join(here, 'node-client.mjs') },
} as const

/** Why the Python tests cannot run here; undefined when they can. */
export const noPython: string | undefined = (() => {
  const { status } = spawnSync('python3', ['-c', 'import sys; sys.exit(sys.version_info < (3, 8))'])
  return status === 0 ? undefined : 'python3 (3.8 or newer) is not installed'
})()

// biome-ignore lint/suspicious/noExplicitAny: tests assert on whatever a script told
type Told = any

export interface ClientProcess {
  /** The next `tell(…)` of the script. @throws when the script ends or is silent for too long. */
  hear(timeoutMs?: number): Promise<Told>
  /** Answers one `ask()`. */
  say(line?: string): void
  /** Everything told until the script ends of itself. @throws when it crashed. */
  rest(timeoutMs?: number): Promise<Told[]>
  /** Exit code, signal and stderr. */
  ended(timeoutMs?: number): Promise<{ code: number | null; stderr: string }>
}

/** A home as the published clients know it; removed when the test ends. */
export function clientHome(keys: readonly AgentKeys[] = []): string {
  const home = mkdtempSync(join(tmpdir(), 'client-'))
  onTestFinished(() => rmSync(home, { recursive: true, force: true }))
  mkdirSync(join(home, '.sanctum', 'keys'), { recursive: true, mode: 0o700 })
  for (const key of keys) writeKey(keyFile(home, key.name), key.seed)
  return home
}

export const keyFile = (home: string, name: string): string =>
  join(home, '.sanctum', 'keys', `${name}.key`)

export function writeKey(path: string, seed: Uint8Array): void {
  writeFileSync(path, `${Buffer.from(seed).toString('hex')}\n`, { mode: 0o600 })
}

/** Starts `script`; the process is gone when the test is. */
export function runClient(
  language: keyof typeof CLIENTS,
  script: string,
  { home, args = [] }: { home: string; args?: readonly string[] },
): ClientProcess {
  const { command, file } = CLIENTS[language]
  const path = join(mkdtempSync(join(home, 'script-')), 'script')
  writeFileSync(path, script)
  const child = spawn(command, [file, path, ...args], {
    env: { PATH: process.env['PATH'] ?? '', HOME: home },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  return converse(child)
}

function converse(child: ChildProcessByStdio<Writable, Readable, Readable>): ClientProcess {
  const told: Told[] = []
  const waiting: (() => void)[] = []
  let stderr = ''
  let exit: { code: number | null } | undefined
  const wake = (): void => {
    for (const go of waiting.splice(0)) go()
  }
  createInterface({ input: child.stdout }).on('line', (line) => {
    told.push(JSON.parse(line))
    wake()
  })
  child.stdin.on('error', () => undefined)
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  child.on('close', (code) => {
    exit = { code }
    wake()
  })

  const until = async <T>(what: string, ready: () => T | undefined, ms: number): Promise<T> => {
    const deadline = Date.now() + ms
    for (;;) {
      const value = ready()
      if (value !== undefined) return value
      const left = deadline - Date.now()
      if (left <= 0) throw new Error(`${what}: nothing within ${ms} ms\n${stderr}`)
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left)
        waiting.push(() => {
          clearTimeout(timer)
          resolve()
        })
      })
    }
  }
  const ended = (ms = 20_000) =>
    until('the end of the client', () => exit && { code: exit.code, stderr }, ms)

  return {
    hear: (ms = 15_000) =>
      until(
        'a client',
        () => {
          if (told.length > 0) return told.shift()
          if (exit) throw new Error(`the client ended (${exit.code}) without a word\n${stderr}`)
          return undefined
        },
        ms,
      ),
    say: (line = '') => void child.stdin.write(`${line}\n`),
    rest: async (ms) => {
      const { code } = await ended(ms)
      if (code !== 0) throw new Error(`the client ended with ${code}\n${stderr}`)
      return told.splice(0)
    },
    ended,
  }
}
