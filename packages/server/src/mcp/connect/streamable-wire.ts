/**
 * A remote server over streamable HTTP: each message is a POST, answered with JSON or a stream of events; a GET stream
 * carries what the server says by itself. @see MCP specification, "Streamable HTTP"
 */

import { setTimeout as sleep } from 'node:timers/promises'
import { VestryError } from '@vestry/contract/errors'
import type { EgressStream } from '../../egress/stream.ts'
import {
  asFailure,
  ask,
  eventsOf,
  type HttpOptions,
  isGone,
  mediaType,
  newEvents,
  pause,
  refusal,
  wholeBody,
} from './http-exchange.ts'
import { revisionIn, sessionOf } from './http-session.ts'
import { SessionRenewed } from './session-renewed.ts'
import type { Outgoing, Wire } from './wire.ts'

const BOTH = 'application/json, text/event-stream'
const STREAM = 'text/event-stream'
/** Statuses with which servers of the older transport answer a POST to their stream. */
const OLDER = new Set([400, 404, 405])
const MAX_RESUMES = 3
const MAX_REOPENS = 5
const GOODBYE_MS = 2_000
/** Changes that a new session may have brought. */
const ANNOUNCED = ['tools', 'resources'].map((what) =>
  Buffer.from(JSON.stringify({ jsonrpc: '2.0', method: `notifications/${what}/list_changed` })),
)

/** The server speaks the transport of 2024-11-05, if any. */
export class OlderTransport extends VestryError {}

interface Lane {
  readonly controller: AbortController
}

export class StreamableWire implements Wire {
  readonly pid = undefined
  onMessage: Wire['onMessage'] = () => true
  onEnd: Wire['onEnd'] = () => undefined
  readonly #options: HttpOptions
  readonly #all = new AbortController()
  /** Requests without an answer. */
  readonly #lanes = new Map<string | number, Lane>()
  #session: string | undefined
  #version: string | undefined
  /** Text of the first message, for the case that the session is lost. */
  #hello: string | undefined
  #renewing: Promise<void> | undefined
  #renewals = 0
  #failure: VestryError | undefined
  #listening = false
  #over = false

  constructor(options: HttpOptions) {
    this.#options = options
  }

  get failure(): VestryError | undefined {
    return this.#failure
  }

  open(): Promise<void> {
    return Promise.resolve()
  }

  negotiated(version: string): void {
    this.#version = version
  }

  answered(id: string | number): void {
    this.#lanes.delete(id)
  }

  async send(message: Outgoing): Promise<void> {
    const { request, method, text, cancelled } = message
    if (method === 'initialize') this.#hello = text
    const lane: Lane = { controller: new AbortController() }
    if (request !== undefined) this.#lanes.set(request, lane)
    const signal = AbortSignal.any([
      this.#all.signal,
      lane.controller.signal,
      // A request ends when its caller has waited enough; what wants no answer has nobody who waits.
      ...(request === undefined ? [AbortSignal.timeout(this.#options.timeoutMs)] : []),
    ])
    try {
      const reply = await this.#post(message, signal)
      void this.#read(reply, request, signal)
      if (method === 'notifications/initialized') void this.#listen()
    } catch (error) {
      if (request !== undefined) this.#lanes.delete(request)
      if (isGone(error)) this.fail(asFailure(error))
      throw this.#failure ?? error
    } finally {
      if (cancelled !== undefined) this.#giveUp(cancelled)
    }
  }

  fail(reason: VestryError): void {
    if (this.#over) return
    this.#failure ??= reason
    void this.close()
    this.onEnd()
  }

  async close(): Promise<void> {
    if (this.#over) return
    this.#over = true
    this.#all.abort(new VestryError('MCP_NOT_CONNECTED', 'the connection was closed'))
    if (this.#session === undefined) return
    try {
      const signal = AbortSignal.timeout(GOODBYE_MS)
      using _reply = await ask(this.#options, {
        method: 'DELETE',
        headers: this.#headers(),
        signal,
      })
    } catch {
      // It was asked; whether it forgets the session is its affair.
    }
  }

  hurry(): void {
    // Closing is short already.
  }

  #giveUp(id: string | number): void {
    this.#lanes.get(id)?.controller.abort(new VestryError('MCP_TIMEOUT', 'given up'))
    this.#lanes.delete(id)
  }

  /** @throws OlderTransport; SessionRenewed; VestryError MCP_PROTOCOL_ERROR, and those of egress. */
  async #post(message: Outgoing, signal: AbortSignal): Promise<EgressStream> {
    const session = this.#session
    const reply = await this.#sendOnce(message, signal)
    if (reply.status !== 404 || session === undefined) return this.#accepted(reply, message)
    reply.close()
    await this.#renewed(session)
    if (message.method === 'tools/call') throw new SessionRenewed(this.#options.server)
    return this.#accepted(await this.#sendOnce(message, signal), message)
  }

  #sendOnce({ text }: Outgoing, signal: AbortSignal): Promise<EgressStream> {
    return ask(this.#options, {
      method: 'POST',
      headers: [['Content-Type', 'application/json'], ['Accept', BOTH], ...this.#headers()],
      body: text,
      signal,
    })
  }

  #accepted(reply: EgressStream, { method }: Outgoing): EgressStream {
    if (reply.status >= 200 && reply.status < 300) {
      if (method === 'initialize') this.#session = sessionOf(reply)
      return reply
    }
    reply.close()
    if (method === 'initialize' && OLDER.has(reply.status))
      throw new OlderTransport('MCP_PROTOCOL_ERROR', refusal(reply).message)
    throw refusal(reply)
  }

  #headers(): [string, string][] {
    return [
      ...(this.#session === undefined ? [] : ([['Mcp-Session-Id', this.#session]] as const)),
      ...(this.#version === undefined ? [] : ([['MCP-Protocol-Version', this.#version]] as const)),
    ].map(([name, value]) => [name, value])
  }

  /** Reads an answer to its end; where it ends too early, asks for the rest. */
  async #read(
    first: EgressStream,
    request: string | number | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    const events = newEvents()
    let reply = first
    try {
      for (let resumes = 0; ; resumes += 1) {
        await this.#deliver(reply, events, request).catch((error: unknown) => {
          if (events.lastEventId === undefined || signal.aborted) throw error
        })
        if (request === undefined || !this.#lanes.has(request) || signal.aborted) return
        if (events.lastEventId === undefined || resumes >= MAX_RESUMES)
          throw new VestryError('MCP_PROTOCOL_ERROR', 'ended its reply without an answer')
        await sleep(pause(events.retryMs, resumes), undefined, { signal, ref: false })
        reply = await this.#stream(events.lastEventId, signal)
      }
    } catch (error) {
      if (request !== undefined && this.#lanes.has(request)) this.#refuse(request, error)
    } finally {
      reply.close()
    }
  }

  async #deliver(
    reply: EgressStream,
    events: ReturnType<typeof newEvents>,
    request?: string | number,
  ): Promise<void> {
    using _reply = reply
    const type = mediaType(reply)
    if (type === STREAM) {
      events.reconnected()
      for await (const { data } of eventsOf(reply, events)) {
        this.#message(Buffer.from(data))
        // Some servers keep the stream open, and connections are few.
        if (request !== undefined && !this.#lanes.has(request)) return
      }
      return
    }
    const body = await wholeBody(reply)
    if (body.length === 0 || reply.status === 202) return
    if (type !== 'application/json')
      throw new VestryError(
        'MCP_PROTOCOL_ERROR',
        'answered with neither JSON nor a stream of events',
      )
    this.#message(body)
  }

  #message(bytes: Uint8Array): void {
    // Servers begin streams with an empty event, only to give it an id.
    if (bytes.length === 0 || this.#over) return
    if (!this.onMessage(bytes)) this.#options.note('a message that is none was left out')
  }

  /** The request ends with an error as if the server had sent it. */
  #refuse(id: string | number, error: unknown): void {
    const message = error instanceof VestryError ? error.message : 'broke off'
    this.onMessage(
      Buffer.from(JSON.stringify({ jsonrpc: '2.0', id, error: { code: -32_000, message } })),
    )
  }

  async #stream(lastEventId: string | undefined, signal: AbortSignal): Promise<EgressStream> {
    const last: [string, string][] =
      lastEventId === undefined ? [] : [['Last-Event-ID', lastEventId]]
    const reply = await ask(this.#options, {
      method: 'GET',
      headers: [['Accept', STREAM], ...this.#headers(), ...last],
      signal,
    })
    if (reply.status === 200 && mediaType(reply) === STREAM) return reply
    reply.close()
    throw refusal(reply)
  }

  /** What the server says by itself. Not every server offers it. */
  async #listen(): Promise<void> {
    if (this.#listening) return
    this.#listening = true
    const { signal } = this.#all
    const events = newEvents()
    let last: unknown
    try {
      for (let failures = 0; failures < MAX_REOPENS; ) {
        try {
          const reply = await this.#stream(events.lastEventId, signal)
          failures = 0
          await this.#deliver(reply, events)
        } catch (error) {
          const status = error instanceof VestryError ? error.context['http_status'] : undefined
          if (signal.aborted || typeof status === 'number') return
          failures += 1
          last = error
        }
        await sleep(pause(events.retryMs, failures), undefined, { signal, ref: false })
      }
      if (isGone(last)) this.fail(asFailure(last))
      else this.#options.note('the stream of its own messages cannot be kept open')
    } catch {
      // Closed meanwhile.
    } finally {
      this.#listening = false
    }
  }

  /** One new session for all who met the end of the old one. */
  #renewed(lost: string): Promise<void> {
    if (this.#session !== lost && this.#renewing === undefined) return Promise.resolve()
    this.#renewing ??= this.#renew().finally(() => {
      this.#renewing = undefined
    })
    return this.#renewing
  }

  async #renew(): Promise<void> {
    this.#session = undefined
    this.#renewals += 1
    const id = `vestry-renewal-${this.#renewals}`
    const signal = AbortSignal.any([this.#all.signal, AbortSignal.timeout(this.#options.timeoutMs)])
    try {
      const hello = { ...(JSON.parse(this.#hello ?? '{}') as object), id }
      const reply = await this.#sendOnce(outgoing(hello), signal)
      if (reply.status !== 200) {
        reply.close()
        throw refusal(reply)
      }
      const session = sessionOf(reply)
      const version = await revisionIn(reply, id)
      if (version !== this.#version)
        throw new VestryError('MCP_PROTOCOL_ERROR', 'changed its protocol revision in mid-session')
      this.#session = session
      const ready = { jsonrpc: '2.0', method: 'notifications/initialized' }
      using _taken = await this.#sendOnce(outgoing(ready), signal)
    } catch (error) {
      this.fail(asFailure(error, 'lost its session, and no new one could be begun: '))
      throw this.#failure ?? error
    }
    this.#options.note('the session was lost and begun anew')
    void this.#listen()
    for (const message of ANNOUNCED) this.onMessage(message)
  }
}

function outgoing(message: object): Outgoing {
  return {
    text: JSON.stringify(message),
    request: undefined,
    method: undefined,
    cancelled: undefined,
  }
}
