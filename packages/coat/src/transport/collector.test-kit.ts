/** A small collector on a real Unix socket, which can be told to misbehave. Keeps what it stores in memory. */
import { mkdtempSync, rmSync, writeSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Envelope } from '../aot.ts'

/**
 * - `acknowledging`: as the real one
 * - `silent`: stores, and never says a word
 * - `action-only`: reads one line per connection, finds it wrong and hangs up
 * - `hanging-up`: reads one line and hangs up without a word
 */
export type Manners = 'acknowledging' | 'silent' | 'action-only' | 'hanging-up'

export class TestCollector implements AsyncDisposable {
  readonly directory = mkdtempSync(join(tmpdir(), 'coat-'))
  readonly path = join(this.directory, 'queue.sock')
  readonly stored: Envelope[] = []
  readonly hellos: Record<string, unknown>[] = []
  /** Lines that were no JSON; the last one of a connection may be torn. */
  readonly broken: string[] = []
  duplicates = 0
  connections = 0
  flushes = 0
  manners: Manners = 'acknowledging'
  /** Of the welcome. */
  maxLine = 65_536
  /** What is stored is counted only. */
  isForgetful = false
  count = 0
  /** Acknowledgements are held back while this is set. */
  isMute = false
  #server: Server | undefined
  readonly #open = new Set<Socket>()
  readonly #marks = new Map<string, number>()
  #isStalled = false

  async listen(): Promise<this> {
    const server = createServer((socket) => this.#serve(socket))
    this.#server = server
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject).listen(this.path, resolve)
    })
    return this
  }

  /** Gone at once, as a killed process is: what was read and not stored is lost. */
  async kill(): Promise<void> {
    const server = this.#server
    this.#server = undefined
    for (const socket of this.#open) socket.destroy()
    await new Promise((resolve) => (server === undefined ? resolve(0) : server.close(resolve)))
    rmSync(this.path, { force: true })
  }

  stall(): void {
    this.#isStalled = true
    for (const socket of this.#open) socket.pause()
  }

  resume(): void {
    this.#isStalled = false
    for (const socket of this.#open) socket.resume()
  }

  acknowledge(): void {
    this.isMute = false
    for (const socket of this.#open) socket.emit('acknowledge')
  }

  seqs(): number[] {
    return this.stored.map(({ producer }) => producer?.seq ?? 0)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill()
    rmSync(this.directory, { recursive: true, force: true })
  }

  #serve(socket: Socket): void {
    this.connections += 1
    this.#open.add(socket)
    let rest = ''
    let producer = ''
    socket.setEncoding('utf8')
    socket.on('error', () => {})
    socket.on('close', () => {
      this.#open.delete(socket)
      if (rest !== '') this.broken.push(rest)
    })
    const say = (answer: object) => {
      // Through the stream, an answer to a peer that has gone would end the reading as well.
      const fd: unknown = Reflect.get(Reflect.get(socket, '_handle') ?? {}, 'fd')
      try {
        if (typeof fd === 'number') writeSync(fd, `${JSON.stringify(answer)}\n`)
      } catch {
        // It does not listen any more; what it sent counts all the same.
      }
    }
    const acknowledge = () => {
      if (this.manners === 'acknowledging' && !this.isMute)
        say({ type: 'aot_ack', seq: this.#marks.get(producer) ?? 0, rejected: [] })
    }
    socket.on('acknowledge', acknowledge)
    socket.on('data', (text: string) => {
      const lines = `${rest}${text}`.split('\n')
      rest = lines.pop() ?? ''
      if (this.manners === 'action-only' && lines.length > 0) {
        rest = ''
        socket.end('{"status":"error","message":"invalid request: unknown variant"}\n')
        return
      }
      if (this.manners === 'hanging-up' && lines.length > 0) {
        rest = ''
        socket.end()
        return
      }
      for (const line of lines) {
        const parsed = parse(line)
        if (parsed === undefined) this.broken.push(line)
        else if (parsed['type'] === 'aot_hello') {
          producer = String(parsed['producer'])
          this.hellos.push(parsed)
          if (this.manners === 'silent') continue
          say({
            type: 'aot_welcome',
            spec: 'aotp/0.1',
            ack: true,
            last_seq: this.#marks.get(producer) ?? 0,
            max_line: this.maxLine,
          })
        } else if (parsed['type'] === 'aot_flush') {
          this.flushes += 1
          say({ type: 'aot_flushed', id: parsed['id'], seq: this.#marks.get(producer) ?? 0 })
        } else this.#store(parsed as unknown as Envelope)
      }
      acknowledge()
    })
    if (this.#isStalled) socket.pause()
  }

  #store(envelope: Envelope): void {
    const { id = '', seq = 0 } = envelope.producer ?? {}
    if (seq <= (this.#marks.get(id) ?? 0)) {
      this.duplicates += 1
      return
    }
    this.#marks.set(id, seq)
    this.count += 1
    if (!this.isForgetful) this.stored.push(envelope)
  }
}

function parse(line: string): Record<string, unknown> | undefined {
  try {
    return JSON.parse(line) as Record<string, unknown>
  } catch {
    return undefined
  }
}
