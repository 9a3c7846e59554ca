/**
 * What every command works with: its home, the daemon, and one way to answer. Data goes to stdout, one
 * document with `--json`; everything else goes to stderr.
 */
import { join } from 'node:path'
import { type Home, homeAt } from '../app/home.ts'
import type { AdminAddress, AdminClient } from './admin-client.ts'
import { EXIT } from './exit-code.ts'
import {
  type GivenSecret,
  passphraseSource,
  readSecret,
  type SecretQuestion,
  type SecretSource,
} from './secret-input.ts'
import { type Busy, busyWith } from './spinner.ts'
import { type Paint, paintFor } from './style.ts'
import type { OutputStream, Terminal } from './terminal.ts'
import { jsonLine, jsonText, safeLines } from './terminal-text.ts'

/** The options every command takes. */
export interface GlobalOptions {
  home?: string
  json?: boolean
  socket?: string
  operator?: string
  operatorKey?: string
  quiet?: boolean
  yes?: boolean
}

type Reply = Record<string, unknown>

const FIRST_OPERATOR = 'owner'
const MAX_PASSPHRASE_BYTES = 4_096

export class CommandIo {
  readonly home: Home
  readonly json: boolean
  readonly terminal: Terminal
  /** For stdout. */
  readonly paint: Paint
  readonly signal: AbortSignal
  /** One of {@link EXIT}, or that of a process which was run for the caller. */
  exitCode: number = EXIT.done
  readonly #options: GlobalOptions
  #busy: Busy | undefined

  constructor(options: GlobalOptions, terminal: Terminal, signal: AbortSignal) {
    this.#options = options
    this.terminal = terminal
    this.signal = signal
    this.json = options.json === true
    this.home = homeAt(options.home, terminal.env)
    this.paint = paintFor(terminal.stdout, terminal.env)
  }

  get env(): NodeJS.ProcessEnv {
    return this.terminal.env
  }

  /** The answer: `document` with `--json`, else the text, which its maker has made safe to show. */
  print(document: unknown, human: string | ((paint: Paint) => string)): void {
    const text = this.json
      ? jsonText(document)
      : typeof human === 'string'
        ? human
        : human(this.paint)
    this.terminal.stdout.write(text === '' || text.endsWith('\n') ? text : `${text}\n`)
  }

  /** One more part of an answer that has no end: with `--json` one document per line. */
  printPart(document: unknown, human: string): void {
    this.terminal.stdout.write(this.json ? jsonLine(document) : human)
  }

  /** Prose beside the answer; silent with `--quiet`. */
  note(text: string): void {
    if (this.#options.quiet !== true) this.#say(`${safeLines(text)}\n`)
  }

  warn(text: string): void {
    const paint = paintFor(this.terminal.stderr, this.env)
    this.#say(`${paint('yellow', 'warning:')} ${safeLines(text)}\n`)
  }

  #say(line: string): void {
    this.#busy?.clear()
    this.terminal.stderr.write(line)
  }

  /** Where progress may be drawn in its own place, if somebody looks at it. */
  get progress(): OutputStream | undefined {
    const { stderr } = this.terminal
    const canMove = stderr.isTTY === true && this.env['TERM'] !== 'dumb'
    return canMove && this.#options.quiet !== true ? stderr : undefined
  }

  get address(): AdminAddress {
    const operator = this.#options.operator ?? FIRST_OPERATOR
    const own = operator === FIRST_OPERATOR ? 'operator.key' : `operator-${operator}.key`
    return {
      socket: this.#options.socket ?? this.home.adminSocket,
      operator,
      keyFile: this.#options.operatorKey ?? join(this.home.keys, own),
    }
  }

  /** One verb: log in, call, hang up. */
  async call(verb: string, params: Reply = {}, doing = 'waiting for the daemon'): Promise<Reply> {
    return this.admin(
      (admin) => admin.call(`admin.${verb}`, params, { signal: this.signal }),
      doing,
    )
  }

  /** Several calls as the operator on one connection. */
  async admin<T>(
    work: (admin: AdminClient, busy: Busy) => Promise<T>,
    doing = 'waiting for the daemon',
  ): Promise<T> {
    const { AdminClient } = await import('./admin-client.ts')
    return this.busy(doing, async (busy) => {
      await using admin = await AdminClient.open(this.address, this.signal)
      return await work(admin, busy)
    })
  }

  /** The few calls that need no login. */
  async anonymous<T>(work: (admin: AdminClient) => Promise<T>): Promise<T> {
    const { AdminClient } = await import('./admin-client.ts')
    return this.busy('waiting for the daemon', async () => {
      await using admin = await AdminClient.connect(this.address.socket, this.signal)
      return await work(admin)
    })
  }

  busy<T>(doing: string, work: (busy: Busy) => Promise<T>): Promise<T> {
    const shown = this.#options.quiet === true ? undefined : this.terminal.stderr
    return busyWith(shown, doing, async (busy) => {
      this.#busy = busy
      try {
        return await work(busy)
      } finally {
        this.#busy = undefined
      }
    })
  }

  secret(source: SecretSource, asked: SecretQuestion): Promise<GivenSecret> {
    return readSecret(source, asked, this.terminal)
  }

  /** A passphrase of the vault; `option` begins the names of its options. */
  passphrase(
    source: SecretSource,
    question: string,
    { option = 'passphrase', isNew = false }: { option?: string; isNew?: boolean } = {},
  ): Promise<GivenSecret> {
    const from = option === 'passphrase' ? passphraseSource(source, this.env) : source
    return this.secret(from, { option, question, isNew, maxBytes: MAX_PASSPHRASE_BYTES })
  }

  /** Whether somebody sits there who can be asked. */
  get interactive(): boolean {
    const { stdin, stderr } = this.terminal
    return stdin.isTTY === true && stderr.isTTY === true && !this.json
  }

  /** Asks before what cannot be undone; without a terminal, or with `--yes`, the command is the answer. */
  async confirm(question: string): Promise<boolean> {
    if (!this.interactive || this.#options.yes === true) return true
    const { createInterface } = await import('node:readline/promises')
    const { stdin: input, stderr: output } = this.terminal
    const lines = createInterface({ input, output })
    try {
      const answer = await lines.question(`${question} [y/N] `, { signal: this.signal })
      return /^y(?:es)?$/i.test(answer.trim())
    } finally {
      lines.close()
    }
  }

  /** A secret goes to a terminal, or where it was asked for in so many words. */
  mayShowSecret(force: boolean | undefined): boolean {
    return this.json || force === true || this.terminal.stdout.isTTY === true
  }
}
