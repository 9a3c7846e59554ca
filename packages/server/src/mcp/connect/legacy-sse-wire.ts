/**
 * A remote server of the revision 2024-11-05: one stream of events carries all it says, and its first event tells
 * where messages are posted to. @see MCP specification 2024-11-05, "HTTP with SSE"
 */
import { VestryError } from '@vestry/contract/errors'
import type { EgressStream } from '../../egress/stream.ts'
import { parseLocation, parseTarget, sameOrigin } from '../../egress/url.ts'
import {
  ask,
  eventsOf,
  type HttpOptions,
  isGone,
  mediaType,
  newEvents,
  refusal,
} from './http-exchange.ts'
import type { Outgoing, Wire } from './wire.ts'

export class LegacySseWire implements Wire {
  readonly pid = undefined
  onMessage: Wire['onMessage'] = () => true
  onEnd: Wire['onEnd'] = () => undefined
  readonly #options: HttpOptions
  readonly #all = new AbortController()
  readonly #endpoint = Promise.withResolvers<string>()
  #version: string | undefined
  #failure: VestryError | undefined
  #over = false

  constructor(options: HttpOptions) {
    this.#options = options
    // Whoever opens hears of it; nobody else has to.
    this.#endpoint.promise.catch(() => undefined)
  }

  get failure(): VestryError | undefined {
    return this.#failure
  }

  /** Resolves when it is known where messages go. */
  async open(): Promise<void> {
    const headers = [['Accept', 'text/event-stream']] as const
    const reply = await ask(this.#options, { method: 'GET', headers, signal: this.#all.signal })
    if (reply.status !== 200 || mediaType(reply) !== 'text/event-stream') {
      reply.close()
      if (reply.status !== 200) throw refusal(reply)
      throw broken('is no MCP server: it answers neither transport')
    }
    void this.#read(reply)
    await this.#endpoint.promise
  }

  negotiated(version: string): void {
    this.#version = version
  }

  answered(): void {
    // Answers come on the one stream.
  }

  async send({ text }: Outgoing): Promise<void> {
    const url = await this.#endpoint.promise
    const version: [string, string][] =
      this.#version === undefined ? [] : [['MCP-Protocol-Version', this.#version]]
    try {
      using reply = await ask(this.#options, {
        method: 'POST',
        url,
        headers: [['Content-Type', 'application/json'], ...version],
        body: text,
        signal: this.#all.signal,
      })
      if (reply.status < 200 || reply.status >= 300) throw refusal(reply)
      reply.finish()
    } catch (error) {
      if (isGone(error)) this.fail(broken(messageOf(error)))
      throw this.#failure ?? error
    }
  }

  fail(reason: VestryError): void {
    if (this.#over) return
    this.#failure ??= reason
    this.#end(reason)
    this.onEnd()
  }

  close(): Promise<void> {
    if (!this.#over) this.#end(new VestryError('MCP_NOT_CONNECTED', 'the connection was closed'))
    return Promise.resolve()
  }

  hurry(): void {
    // Closing waits for nothing.
  }

  #end(reason: VestryError): void {
    this.#over = true
    this.#endpoint.reject(reason)
    this.#all.abort(reason)
  }

  async #read(reply: EgressStream): Promise<void> {
    try {
      for await (const { type, data } of eventsOf(reply, newEvents())) {
        if (this.#over) return
        if (type === 'endpoint') this.#endpoint.resolve(this.#addressOf(data))
        else if (type === 'message' && data !== '' && !this.onMessage(Buffer.from(data)))
          this.#options.note('a message that is none was left out')
      }
      this.fail(broken('closed its stream'))
    } catch (error) {
      this.fail(broken(messageOf(error)))
    } finally {
      reply.close()
    }
  }

  /** @throws VestryError for another origin: our credentials go to the one that was configured. */
  #addressOf(data: string): string {
    const base = parseTarget(this.#options.url)
    const target = parseLocation(data, base)
    if (!sameOrigin(base, target)) throw broken('wants messages to be posted to another origin')
    return target.href
  }
}

function broken(what: string): VestryError {
  return new VestryError('MCP_PROTOCOL_ERROR', what)
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : 'broke off'
}
