/** What the chapters of the demo share: printing, claims that must hold, and one throw-away home with its daemon. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { styleText } from 'node:util'

const ROOT = resolve(import.meta.dirname, '../..')
const VESTRY = join(ROOT, 'packages/server/bin/vestry.js')

let step = 0

export const say = (text: string): void => void process.stdout.write(`${text}\n`)
export const dim = (text: string): string => styleText('dim', text)
export const good = (text: string): void => say(`   ${styleText('green', '✓')} ${text}`)
export function title(text: string): void {
  step += 1
  say(`\n${styleText('bold', `${step}. ${text}`)}`)
}

export function must(condition: unknown, claim: string): void {
  if (!condition) throw new Error(`this did not hold: ${claim}`)
  good(claim)
}

export const ok = (text: string | number | undefined): string => styleText('green', String(text))
export const denied = (): string => styleText('red', 'DENIED')

/** A home, the daemon in it, and the commands an operator types. */
export class Stage implements AsyncDisposable {
  readonly home = mkdtempSync(join(tmpdir(), 'vestry-demo-'))
  #daemon: ChildProcess | undefined
  /** The daemon says it itself; what was started may have started it. */
  #pid = 0

  constructor(config: string) {
    this.write('vestry.yaml', config)
  }

  /** @returns The path. */
  write(name: string, text: string): string {
    const path = join(this.home, name)
    writeFileSync(path, text, { mode: 0o600 })
    return path
  }

  read(name: string): Buffer {
    return readFileSync(join(this.home, name))
  }

  async up(): Promise<void> {
    const args = ['up', '--home', this.home, '--dev', '--port', '0']
    const daemon = spawn(process.execPath, [VESTRY, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
    this.#daemon = daemon
    this.#pid = 0
    let said = ''
    daemon.stderr.on('data', (text: Buffer) => {
      said += text
    })
    await new Promise<void>((ready, failed) => {
      createInterface({ input: daemon.stdout }).on('line', (line) => {
        if (!line.startsWith('ready')) return
        this.#pid = Number(/ pid (\d+)/.exec(line)?.[1])
        ready()
      })
      daemon.once('exit', (code) => failed(new Error(`vestry up exited with ${code}\n${said}`)))
    })
  }

  /** Resolves when it is gone. */
  async end(signal: NodeJS.Signals): Promise<void> {
    const daemon = this.#daemon
    if (daemon === undefined || daemon.exitCode !== null || daemon.signalCode !== null) return
    const gone = new Promise((resolve) => daemon.once('exit', resolve))
    if (this.#pid > 0) process.kill(this.#pid, signal)
    else daemon.kill(signal)
    await gone
  }

  vestry(args: string[], input?: string): Promise<string> {
    // What comes after -- is of another program.
    const own = args.indexOf('--')
    const at = own < 0 ? args.length : own
    return run([VESTRY, ...args.toSpliced(at, 0, '--home', this.home)], { input })
  }

  async vestryJson<T>(args: string[], input?: string): Promise<T> {
    return JSON.parse(await this.vestry([...args, '--json'], input)) as T
  }

  /** A program of the repository that gets this environment only, and may end with these codes. */
  program(path: string, env: NodeJS.ProcessEnv, codes: readonly number[] = [0]): Promise<string> {
    return run([join(ROOT, path)], { env: { PATH: process.env['PATH'], ...env }, codes })
  }

  /** An agent of `examples/demo`: what it reports, line by line. */
  async agent<T>(file: string, env: NodeJS.ProcessEnv): Promise<T[]> {
    const text = await this.program(join('examples/demo', file), env)
    return text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as T)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end('SIGTERM')
    rmSync(this.home, { recursive: true, force: true })
  }
}

function run(
  args: string[],
  {
    input,
    env,
    codes = [0],
  }: { input?: string | undefined; env?: NodeJS.ProcessEnv; codes?: readonly number[] } = {},
): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, { cwd: ROOT, stdio: 'pipe', ...(env && { env }) })
    let out = ''
    let complaints = ''
    child.stdout.on('data', (text: Buffer) => {
      out += text
    })
    child.stderr.on('data', (text: Buffer) => {
      complaints += text
    })
    child.once('close', (code) => {
      if (codes.includes(code ?? -1)) resolve(out)
      else
        reject(new Error(`${args.slice(0, 3).join(' ')} exited with ${code}: ${complaints || out}`))
    })
    child.stdin.end(input ?? '')
  })
}

/** In every form memory would hold it: V8 keeps text as Latin-1 or UTF-16. */
export function holds(haystack: Buffer, needle: string): boolean {
  const forms = [
    Buffer.from(needle, 'latin1'),
    Buffer.from(needle, 'utf16le'),
    Buffer.from(Buffer.from(needle).toString('hex')),
    Buffer.from(Buffer.from(needle).toString('base64')),
  ]
  return forms.some((form) => haystack.includes(form))
}

/** As the command prints it, under a claim. */
export function shown(text: string): void {
  say(text.trimEnd().replaceAll(/^/gm, '   '))
}
