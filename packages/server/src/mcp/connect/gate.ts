/**
 * Stands between a server and the protocol library: bounds what may come in, takes secrets out of it, and lets only
 * answers to open requests, list changes and a few requests of the server pass.
 */

import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js'
import type { JSONRPCMessage } from '@modelcontextprotocol/sdk/types.js'
import { VestryError } from '@vestry/contract/errors'
import type { Scrubber } from '../../egress/scrub.ts'
import { readMessages, type Understood } from './message.ts'
import type { Wire } from './wire.ts'

/** Of one message, either way. */
export const MAX_MESSAGE_BYTES = 4 * 1_024 * 1_024

/** Messages that answer nothing: at once, and each second after. */
const BURST = 2_000
const PER_SECOND = 200
/** Requests of the server that wait for our answer. */
const MAX_ASKED = 64
const REFUSED = -32_000

const PASSED_ON = new Set([
  'notifications/tools/list_changed',
  'notifications/resources/list_changed',
  'notifications/prompts/list_changed',
  'notifications/cancelled',
])

export interface GateDeps {
  readonly wire: Wire
  readonly scrubber: Scrubber
  readonly now: () => number
}

export class Gate implements Transport {
  onclose?: () => void
  onerror?: (error: Error) => void
  onmessage?: Transport['onmessage']
  readonly #deps: GateDeps
  /** Ids of our requests that have no answer yet. */
  readonly #open = new Set<string | number>()
  readonly #asked = new Set<string | number>()
  #budget = BURST
  #atMs: number
  #closed = false

  constructor(deps: GateDeps) {
    this.#deps = deps
    this.#atMs = deps.now()
    deps.wire.onMessage = (bytes) => this.#receive(bytes)
    deps.wire.onEnd = () => this.#end()
  }

  start(): Promise<void> {
    return this.#deps.wire.open()
  }

  setProtocolVersion(version: string): void {
    this.#deps.wire.negotiated(version)
  }

  async send(message: JSONRPCMessage): Promise<void> {
    const text = JSON.stringify(message)
    if (Buffer.byteLength(text) > MAX_MESSAGE_BYTES) {
      throw new VestryError('INVALID_PARAMS', `The message exceeds ${MAX_MESSAGE_BYTES} bytes`)
    }
    const id = 'id' in message ? message.id : undefined
    const method = 'method' in message ? message.method : undefined
    const request = id !== undefined && method !== undefined ? id : undefined
    const cancelled = method === 'notifications/cancelled' ? cancelledId(message) : undefined
    if (request !== undefined) this.#open.add(request)
    else if (id !== undefined) this.#asked.delete(id)
    if (cancelled !== undefined) this.#open.delete(cancelled)
    try {
      await this.#deps.wire.send({ text, request, method, cancelled })
    } catch (error) {
      if (request !== undefined) this.#open.delete(request)
      throw error
    }
  }

  async close(): Promise<void> {
    await this.#deps.wire.close()
    this.#end()
  }

  #end(): void {
    if (this.#closed) return
    this.#closed = true
    this.#open.clear()
    this.onclose?.()
  }

  /** @returns False for what is no message of the protocol. */
  #receive(given: Uint8Array): boolean {
    if (this.#closed) return true
    const bytes = this.#deps.scrubber.body(given, true)
    const messages = readMessages(bytes)
    if (messages === undefined) {
      this.#count()
      return false
    }
    for (const message of messages) this.#take(message)
    return true
  }

  #take({ kind, message }: Understood): void {
    switch (kind) {
      case 'answer':
        // What comes after its request was given up is as good as never sent.
        if ('id' in message && message.id !== undefined && this.#open.delete(message.id)) {
          this.#deps.wire.answered(message.id)
          this.onmessage?.(message)
        } else this.#count()
        return
      case 'notification':
        this.#count()
        if ('method' in message && PASSED_ON.has(message.method)) this.onmessage?.(message)
        return
      case 'request':
        this.#count()
        this.#ask(message)
        return
      default:
        kind satisfies never
    }
  }

  #ask(message: JSONRPCMessage): void {
    if (!('id' in message) || message.id === undefined) return
    if (this.#asked.has(message.id) || this.#asked.size >= MAX_ASKED) {
      const error = { code: REFUSED, message: 'Too many requests wait for an answer' }
      void this.send({ jsonrpc: '2.0', id: message.id, error }).catch(() => undefined)
      return
    }
    this.#asked.add(message.id)
    this.onmessage?.(message)
  }

  #count(): void {
    const nowMs = this.#deps.now()
    const gained = (Math.max(0, nowMs - this.#atMs) / 1_000) * PER_SECOND
    this.#budget = Math.min(BURST, this.#budget + gained) - 1
    this.#atMs = nowMs
    if (this.#budget >= 0) return
    this.#deps.wire.fail(
      new VestryError('MCP_PROTOCOL_ERROR', 'sent messages that nobody asked for without an end'),
    )
  }
}

function cancelledId(message: JSONRPCMessage): string | number | undefined {
  const params: unknown = 'params' in message ? message.params : undefined
  const id: unknown = Reflect.get(Object(params), 'requestId')
  return typeof id === 'string' || typeof id === 'number' ? id : undefined
}
