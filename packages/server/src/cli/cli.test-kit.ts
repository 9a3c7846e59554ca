/** A home of its own, a real daemon in it, and the command line run against both. */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { fakeTerminal } from './fake-terminal.test-kit.ts'
import { runProgram } from './program.ts'

const MAIN = fileURLToPath(new URL('./main.ts', import.meta.url))
/** Stands for `~/.vestry` of a user of its own. */
export const DEFAULT_HOME = 'default'

const never = new AbortController().signal

export interface Ran {
  exitCode: number | null
  out: string
  err: string
  /** The document that `--json` printed. */
  json: ReturnType<typeof JSON.parse>
}

export class CliHome {
  readonly base: string
  readonly home: string
  readonly passphraseFile: string
  readonly #children: ChildProcess[] = []

  constructor() {
    this.base = mkdtempSync(join(tmpdir(), 'vestry-'))
    this.home = join(this.base, 'h')
    this.passphraseFile = this.file('pass', 'correct horse battery staple\n')
    mkdirSync(join(this.base, 'user'))
    mkdirSync(this.home, { mode: 0o700 })
    // Each command logs in; that many in a second are a test's.
    this.file('h/vestry.yaml', 'limits: { authenticate: { per_second: 500, burst: 500 } }\n')
  }

  file(name: string, content: string | Uint8Array): string {
    const path = join(this.base, name)
    writeFileSync(path, content, { mode: 0o600 })
    return path
  }

  /** The real program in this process: what a command does, without the cost of a new one. */
  async vestry(argv: readonly string[], input = ''): Promise<Ran> {
    const terminal = fakeTerminal({ input })
    const exitCode = await runProgram(['--home', this.home, ...argv], terminal, never)
    return ranOf(exitCode, terminal.out(), terminal.err())
  }

  json(argv: readonly string[], input = ''): Promise<Ran> {
    return this.vestry([...argv, '--json'], input)
  }

  /** The command as an operator starts it; {@link DEFAULT_HOME} gives no --home. */
  spawn(argv: readonly string[], home = this.home): ChildProcess {
    const place = home === DEFAULT_HOME ? [] : ['--home', home]
    const args = ['--conditions=source', MAIN, ...argv, ...place]
    const env = {
      PATH: process.env['PATH'],
      NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'],
      HOME: join(this.base, 'user'),
    }
    const child = spawn(process.execPath, args, { env, stdio: 'pipe' })
    this.#children.push(child)
    return child
  }

  async run(argv: readonly string[], input?: string | Uint8Array, home = this.home): Promise<Ran> {
    const child = this.spawn(argv, home)
    const ended = finished(child)
    child.stdin?.end(input)
    return ended
  }

  /** @returns The line it printed when all was open. */
  async up(argv: readonly string[] = ['--passphrase-file', this.passphraseFile], home = this.home) {
    const child = this.spawn(['up', '--port', '0', ...argv], home)
    let line = ''
    let err = ''
    child.stdout?.on('data', (chunk: Buffer) => {
      line += chunk.toString()
    })
    child.stderr?.on('data', (chunk: Buffer) => {
      err += chunk.toString()
    })
    const dir = home === DEFAULT_HOME ? join(this.base, 'user', '.vestry') : home
    while (!existsSync(join(dir, 'run', 'ready.json')) || !line.endsWith('\n')) {
      if (child.exitCode !== null) throw new Error(`the daemon ended: ${err}`)
      await sleep(20)
    }
    return { child, line, err: () => err }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#children) {
      if (child.exitCode !== null || child.signalCode !== null) continue
      child.kill('SIGTERM')
      await new Promise((resolve) => child.once('exit', resolve))
    }
    rmSync(this.base, { recursive: true, force: true })
  }
}

export async function finished(child: ChildProcess): Promise<Ran> {
  const out: Buffer[] = []
  const err: Buffer[] = []
  child.stdout?.on('data', (chunk: Buffer) => out.push(chunk))
  child.stderr?.on('data', (chunk: Buffer) => err.push(chunk))
  const exitCode = await new Promise<number | null>((resolve) => child.once('close', resolve))
  return ranOf(exitCode, Buffer.concat(out).toString(), Buffer.concat(err).toString())
}

function ranOf(exitCode: number | null, out: string, err: string): Ran {
  return {
    exitCode,
    out,
    err,
    get json() {
      return JSON.parse(out)
    },
  }
}
