/**
 * Stands between a server and the protocol library: bounds what may come in, takes secrets out of it, and lets only
 * answers to open requests, list changes and a few requests of the server pass.
 */

import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js'
import type { JSONRPCMessage } from '@modelcontextprotocol/sdk/types.js'
import { VestryError } from '@vestry/contract/errors'
import type { Scrubber } from '../../egress/scrub.ts'
import { Buckets } from '../../limits/bucket.ts'
import { readMessages, type Understood } from './message.ts'
import type { Wire } from './wire.ts'

/** Of one message, either way. */
export const MAX_MESSAGE_BYTES = 4 * 1_024 * 1_024

/** Messages that answer nothing, and their bytes: at once, and each second after. */
const MESSAGES = {
  kind: 'bucket',
  key: 'messages',
  scope: 'mcp',
  burst: 2_000,
  perSecond: 200,
} as const
const BYTES = {
  kind: 'bucket',
  key: 'bytes',
  scope: 'mcp',
  burst: 2 * MAX_MESSAGE_BYTES,
  perSecond: 1_048_576,
} as const
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
  readonly #unasked: Buckets
  #closed = false

  constructor(deps: GateDeps) {
    this.#deps = deps
    this.#unasked = new Buckets({ now: deps.now })
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
    const unasked = messages?.filter((message) => !this.#take(message)).length ?? 1
    if (unasked > 0) this.#count(unasked, given.length)
    return messages !== undefined
  }

  /** @returns Whether we have asked for it. */
  #take({ kind, message }: Understood): boolean {
    switch (kind) {
      case 'answer':
        // What comes after its request was given up is as good as never sent.
        if (!('id' in message) || message.id === undefined || !this.#open.delete(message.id))
          return false
        this.#deps.wire.answered(message.id)
        this.onmessage?.(message)
        return true
      case 'notification': {
        if (!('method' in message) || !PASSED_ON.has(message.method)) return false
        // A request that the server takes back is not answered any more.
        const taken = cancelledId(message)
        if (taken !== undefined) this.#asked.delete(taken)
        this.onmessage?.(message)
        return false
      }
      case 'request':
        this.#ask(message)
        return false
      default:
        return kind satisfies never
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

  #count(messages: number, bytes: number): void {
    const isWithin =
      this.#unasked.take({ ...MESSAGES, cost: messages }) === 0 &&
      this.#unasked.take({ ...BYTES, cost: bytes }) === 0
    if (isWithin) return
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
