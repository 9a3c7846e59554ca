/**
 * One connection to the queue socket. Written to directly through its descriptor, because a write that
 * waits inside the runtime would keep the process alive and could not be finished when it exits.
 */
import { connect, type Socket } from 'node:net'
import { setTimeout } from 'node:timers'
import { Descriptor } from './descriptor.ts'
import type { Progress } from './outlet.ts'
import { outside } from './root.ts'

/** No answer of a collector is near this long. */
const LONGEST_ANSWER = 65_536
/** How long a peer that takes no more may still say why. */
const LAST_WORDS_MS = 100

export interface LaneEvents {
  answer(line: string): void
  /** @param isClean The peer ended the connection, and nothing it was sent was left unread. */
  closed(reason: string, isClean: boolean): void
}

export class Lane extends Descriptor {
  readonly #socket: Socket
  #text = ''

  constructor(path: string, events: LaneEvents) {
    let socket: Socket | undefined
    super(() => descriptorOf(socket))
    let reason = ''
    this.#socket = socket = outside(() => connect({ path }))
    socket.unref()
    socket.setEncoding('utf8')
    socket.on('data', (text: string) => this.#read(text, events))
    socket.on('error', (error: NodeJS.ErrnoException) => {
      reason = error.code ?? error.message
    })
    socket.on('close', () => {
      const why = reason || this.reason
      this.close()
      events.closed(why || 'peer closed', why === '')
    })
  }

  override progress(): Progress {
    const wasBroken = this.reason !== ''
    const progress = super.progress()
    if (progress === 'broken' && !wasBroken)
      outside(() => setTimeout(() => this.#socket.destroy(), LAST_WORDS_MS).unref())
    return progress
  }

  /** Ends the connection; what the kernel took is still delivered. */
  override close(): void {
    super.close()
    this.#socket.destroy()
  }

  #read(text: string, events: LaneEvents): void {
    const lines = `${this.#text}${text}`.split('\n')
    this.#text = lines.pop() ?? ''
    for (const line of lines) if (line !== '') events.answer(line)
    if (this.#text.length > LONGEST_ANSWER) this.#socket.destroy()
  }
}

/** A member of the runtime's socket that is not documented; without it there is no lane. */
function descriptorOf(socket: Socket | undefined): number {
  const handle: unknown = socket === undefined ? null : Reflect.get(socket, '_handle')
  const fd: unknown = typeof handle === 'object' && handle !== null ? Reflect.get(handle, 'fd') : -1
  return typeof fd === 'number' ? fd : -1
}
