/** Drives `daemon-process.mjs` from a test. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { Ready } from '../../packages/server/src/app/ready.ts'

const SCRIPT = join(import.meta.dirname, 'daemon-process.mjs')

export class DaemonProcess implements AsyncDisposable {
  readonly child: ChildProcess
  readonly ready: Ready
  #nextId = 1

  private constructor(child: ChildProcess, ready: Ready) {
    this.child = child
    this.ready = ready
  }

  /** @throws Error with what the process wrote to stderr, when it ends before it is ready. */
  static async start(
    home: string,
    { passphraseFile, nodeArgs = [] }: { passphraseFile?: string; nodeArgs?: string[] } = {},
  ): Promise<DaemonProcess> {
    const args = [...nodeArgs, '--conditions=source', SCRIPT, home]
    if (passphraseFile !== undefined) args.push(passphraseFile)
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'pipe', 'ipc'] })
    let errors = ''
    child.stderr?.on('data', (chunk: Buffer) => {
      errors += chunk.toString('utf8')
    })
    const ready = await new Promise<Ready>((resolve, reject) => {
      child.once('message', (message: { ready: Ready }) => resolve(message.ready))
      child.once('exit', (code, signal) =>
        reject(new Error(`daemon ended (${code ?? signal}) before it was ready: ${errors}`)),
      )
    })
    return new DaemonProcess(child, ready)
  }

  async seal(): Promise<void> {
    await this.#ask({ do: 'seal' })
  }

  async snapshot(file: string): Promise<void> {
    await this.#ask({ do: 'snapshot', file })
  }

  /** How often each of these byte strings is in the process's memory, after a garbage collection. */
  async scan(needles: readonly Uint8Array[]): Promise<number[]> {
    const inverted = needles.map((bytes) =>
      Buffer.from(bytes.map((byte) => byte ^ 255)).toString('hex'),
    )
    const { found } = await this.#ask({ do: 'scan', needles: inverted })
    return found ?? []
  }

  async stop(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return
    const ended = once(this.child, 'exit')
    this.child.send({ do: 'stop', id: 0 })
    await ended
  }

  async kill(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return
    const ended = once(this.child, 'exit')
    this.child.kill('SIGKILL')
    await ended
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.kill()
  }

  #ask(message: Record<string, unknown>): Promise<{ found?: number[] }> {
    const id = this.#nextId++
    return new Promise((resolve, reject) => {
      const listen = (answer: { id?: number; found?: number[] }) => {
        if (answer.id !== id) return
        this.child.off('message', listen)
        resolve(answer)
      }
      this.child.on('message', listen)
      this.child.once('exit', () => reject(new Error('the daemon ended')))
      this.child.send({ ...message, id })
    })
  }
}
