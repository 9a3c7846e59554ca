/** A server as a process of ours: messages are lines of its standard input and output. */
import { VestryError } from '@vestry/contract/errors'
import { endText, ServerProcess, type StartOptions } from './child-process.ts'
import { MAX_MESSAGE_BYTES } from './gate.ts'
import { LineReader } from './line-reader.ts'
import type { StderrLog } from './stderr-log.ts'
import type { Outgoing, Wire } from './wire.ts'

/** Lines on standard output that are no messages; programs that greet are common. */
const MAX_STRAY_LINES = 100
/** Waits in the pipe for a server that does not read. */
const MAX_UNREAD_BYTES = 2 * MAX_MESSAGE_BYTES

export class StdioWire implements Wire {
  onMessage: Wire['onMessage'] = () => true
  onEnd: Wire['onEnd'] = () => undefined
  readonly #options: StartOptions
  readonly #log: StderrLog
  readonly #lines = new LineReader(MAX_MESSAGE_BYTES)
  #process: ServerProcess | undefined
  #starting: Promise<void> | undefined
  #failure: VestryError | undefined
  #stray = 0
  #state: 'new' | 'open' | 'closing' | 'ended' = 'new'

  constructor(options: StartOptions, log: StderrLog) {
    this.#options = options
    this.#log = log
  }

  get pid(): number | undefined {
    return this.#process?.running === true ? this.#process.pid : undefined
  }

  get failure(): VestryError | undefined {
    return this.#failure
  }

  /** Starts the process. What it says waits in its pipe until {@link open}. */
  start(): Promise<void> {
    this.#starting ??= this.#start()
    return this.#starting
  }

  async open(): Promise<void> {
    await this.start()
    if (this.#state !== 'open') throw this.#failure ?? broken('is not running')
    this.#process?.stdout.on('data', (chunk: Buffer) => this.#read(chunk))
  }

  async #start(): Promise<void> {
    const child = await ServerProcess.start(this.#options)
    this.#process = child
    child.stderr.on('data', (chunk: Buffer) => this.#log.push(chunk))
    void child.ended.then((how) => {
      this.#log.end()
      if (this.#state === 'open') this.#failure ??= broken(endText(how))
      const asked = this.#state === 'closing'
      this.#state = 'ended'
      this.onEnd()
      // What it started must not go on without it.
      if (!asked) void child.close()
    })
    if (this.#state === 'new') this.#state = 'open'
  }

  negotiated(): void {
    // Every revision frames its lines alike.
  }

  answered(): void {
    // Nothing is held for a request.
  }

  send({ text }: Outgoing): Promise<void> {
    const child = this.#process
    if (child === undefined || this.#state !== 'open')
      return Promise.reject(this.#failure ?? broken('is not running'))
    const waiting = child.stdin.writableLength + Buffer.byteLength(text)
    if (waiting > MAX_UNREAD_BYTES)
      return Promise.reject(broken('does not read its standard input'))
    child.stdin.write(`${text}\n`)
    return Promise.resolve()
  }

  fail(reason: VestryError): void {
    if (this.#state === 'ended') return
    if (this.#state === 'open') this.#failure ??= reason
    this.#state = 'closing'
    void this.#process?.kill()
  }

  async close(): Promise<void> {
    if (this.#state !== 'ended') this.#state = 'closing'
    // One that is just being started has to be ended, too.
    await this.#starting?.catch(() => undefined)
    await this.#process?.close()
  }

  hurry(): void {
    void this.#process?.kill()
  }

  #read(chunk: Buffer): void {
    if (this.#state !== 'open') return
    const lines = this.#lines.push(chunk)
    if (lines === undefined) {
      this.fail(broken(`sent a message of more than ${MAX_MESSAGE_BYTES} bytes`))
      return
    }
    for (const line of lines) {
      if (this.#state !== 'open') return
      if (!this.onMessage(line)) this.#onStray(line)
    }
  }

  /** Programs greet on standard output; one that does nothing else is no server. */
  #onStray(line: Uint8Array): void {
    this.#stray += 1
    this.#log.stray(line)
    if (this.#stray > MAX_STRAY_LINES)
      this.fail(broken(`wrote ${this.#stray} lines to standard output that are no messages`))
  }
}

function broken(what: string): VestryError {
  return new VestryError('MCP_PROTOCOL_ERROR', what)
}
