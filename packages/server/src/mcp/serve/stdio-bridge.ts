/**
 * Lets an MCP client that starts a program speak to Vestry: what it writes, a message a line, is posted to the
 * endpoint, and what comes back is written to it. Nothing else is ever written there.
 */
import type { IncomingMessage } from 'node:http'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { asVestryError, VestryError } from '@vestry/contract/errors'
import { type OperatorClient, operatorClient } from '../../egress/operator-request.ts'
import { LineReader } from '../connect/line-reader.ts'
import { errorReply, RPC, RpcFailure, type RpcId } from './rpc.ts'

export interface BridgeOptions {
  readonly url: URL
  readonly key: string
  readonly input: Readable
  /** One line, which ends in a line break. Resolves when there is room for the next. */
  readonly write: (line: string) => Promise<void>
  /** For people. */
  readonly note: (text: string) => void
  readonly signal: AbortSignal
}

const MAX_LINE_BYTES = 4_194_304
const MAX_REPLY_BYTES = 16_777_216
/** Messages on their way; the client waits beyond that. */
const MAX_UNDER_WAY = 64
/** Longer than any tool may take. */
const REPLY_MS = 630_000
/** For what is under way when the client has ended. */
const LINGER_MS = 5_000
const LISTEN_AGAIN_MS = 1_000
const MAX_LISTEN_AGAIN_MS = 30_000

interface Message {
  readonly id?: RpcId | null
  readonly method?: string
}

/** Resolves when the client has ended. @throws VestryError DAEMON_UNREACHABLE, UNAUTHORIZED before the first reply. */
export async function bridge(options: BridgeOptions): Promise<void> {
  const ended = new AbortController()
  using client = operatorClient(options.url, { maxSockets: MAX_UNDER_WAY + 2 })
  const relay = new Relay(client, options, AbortSignal.any([options.signal, ended.signal]))
  const lines = new LineReader(MAX_LINE_BYTES)
  const stop = () => options.input.destroy()
  options.signal.addEventListener('abort', stop, { once: true })
  const underWay = new Set<Promise<void>>()
  const pass = async (line: Uint8Array): Promise<void> => {
    if (underWay.size >= MAX_UNDER_WAY) await Promise.race(underWay)
    const work = relay.pass(Buffer.from(line).toString('utf8'))
    underWay.add(work)
    void work.finally(() => underWay.delete(work))
  }
  try {
    for await (const chunk of options.input as AsyncIterable<Buffer>) {
      const complete = lines.push(chunk)
      if (complete === undefined) {
        await relay.refuse(`A message may have ${MAX_LINE_BYTES} bytes at most`)
        break
      }
      for (const line of complete) await pass(line)
    }
    await Promise.race([
      Promise.all(underWay),
      sleep(LINGER_MS, undefined, { signal: ended.signal, ref: false }).catch(() => undefined),
    ])
    await relay.end()
  } catch (error) {
    if (!options.signal.aborted) throw error
  } finally {
    options.signal.removeEventListener('abort', stop)
    ended.abort(new VestryError('CANCELLED', 'The client has ended'))
  }
}

class Relay {
  readonly #client: OperatorClient
  readonly #options: BridgeOptions
  readonly #signal: AbortSignal
  #session: string | undefined
  #version: string | undefined
  /** As the client said it: said again when the session is lost. */
  #opening: string | undefined
  #renewing: Promise<void> | undefined
  #listening = false

  constructor(client: OperatorClient, options: BridgeOptions, signal: AbortSignal) {
    this.#client = client
    this.#options = options
    this.#signal = signal
  }

  /** Never throws: what goes wrong is the answer. */
  async pass(line: string): Promise<void> {
    if (line.trim() === '') return
    const message = messageOf(line)
    if (message === undefined) return this.refuse('This line is no message')
    const { id, method } = message
    try {
      const text = method === 'initialize' ? await this.#open(line) : await this.#post(line)
      if (text !== undefined) await this.#write(text)
      if (method === 'notifications/initialized') void this.#listen()
    } catch (error) {
      const { code, message: what, hint } = asVestryError(error)
      if (code !== 'CANCELLED')
        this.#options.note(`${code}: ${what}${hint === undefined ? '' : ` → ${hint}`}`)
      if (id !== undefined && id !== null && method !== undefined)
        await this.#reply(errorReply(id, error))
    }
  }

  refuse(what: string): Promise<void> {
    return this.#reply(errorReply(null, new RpcFailure(RPC.parse, what)))
  }

  async end(): Promise<void> {
    const session = this.#session
    if (session === undefined || this.#options.signal.aborted) return
    const signal = AbortSignal.timeout(LINGER_MS)
    const reply = await this.#client({ method: 'DELETE', headers: this.#headers(), signal }).catch(
      () => undefined,
    )
    reply?.resume()
  }

  async #open(line: string): Promise<string> {
    this.#session = undefined
    this.#version = undefined
    const reply = await this.#send(line)
    const text = await textOf(reply)
    if (reply.statusCode !== 200) throw refusedBy(reply, text)
    const session = reply.headers['mcp-session-id']
    this.#session = typeof session === 'string' ? session : undefined
    this.#version = versionIn(text)
    this.#opening = line
    return text
  }

  async #post(line: string): Promise<string | undefined> {
    const session = this.#session
    let reply = await this.#send(line)
    if (reply.statusCode === 404 && this.#opening !== undefined) {
      reply.resume()
      await this.#renew(session)
      reply = await this.#send(line)
    }
    const text = await textOf(reply)
    if (reply.statusCode === 202) return undefined
    if (reply.statusCode !== 200) throw refusedBy(reply, text)
    return text
  }

  /** The daemon was started anew, or sealed meanwhile: the client need not know. */
  #renew(lost: string | undefined): Promise<void> {
    if (this.#session !== lost) return Promise.resolve()
    this.#renewing ??= this.#open(this.#opening ?? '')
      .then(() => undefined)
      .finally(() => {
        this.#renewing = undefined
      })
    return this.#renewing
  }

  /** Passes on what the endpoint tells by itself, for as long as the client is there. */
  async #listen(): Promise<void> {
    if (this.#listening) return
    this.#listening = true
    let waitMs = LISTEN_AGAIN_MS
    while (!this.#signal.aborted) {
      try {
        const headers = { ...this.#headers(), accept: 'text/event-stream' }
        const reply = await this.#client({ method: 'GET', headers, signal: this.#signal })
        if (reply.statusCode === 200) {
          waitMs = LISTEN_AGAIN_MS
          for await (const line of createInterface({ input: reply }))
            if (line.startsWith('data: ')) await this.#write(line.slice('data: '.length))
        } else reply.resume()
      } catch {
        // Said where somebody waits for an answer; here it is only tried again.
      }
      await sleep(waitMs, undefined, { signal: this.#signal, ref: false }).catch(() => undefined)
      waitMs = Math.min(2 * waitMs, MAX_LISTEN_AGAIN_MS)
    }
  }

  #send(body: string): Promise<IncomingMessage> {
    const signal = AbortSignal.any([this.#signal, AbortSignal.timeout(REPLY_MS)])
    return this.#client({ method: 'POST', headers: this.#headers(), body, signal })
  }

  #headers(): Record<string, string> {
    return {
      authorization: `Bearer ${this.#options.key}`,
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      ...(this.#session !== undefined && { 'mcp-session-id': this.#session }),
      ...(this.#version !== undefined && { 'mcp-protocol-version': this.#version }),
    }
  }

  #reply(message: unknown): Promise<void> {
    return this.#write(JSON.stringify(message))
  }

  #write(text: string): Promise<void> {
    return this.#options.write(`${text}\n`)
  }
}

function messageOf(line: string): Message | undefined {
  try {
    const value: unknown = JSON.parse(line)
    if (Array.isArray(value)) return {}
    return typeof value === 'object' && value !== null ? value : undefined
  } catch {
    return undefined
  }
}

async function textOf(reply: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of reply as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > MAX_REPLY_BYTES) {
      reply.destroy()
      throw new VestryError('RESPONSE_TOO_LARGE', `The answer exceeds ${MAX_REPLY_BYTES} bytes`)
    }
    chunks.push(chunk)
  }
  // JSON has no line breaks outside of escapes once they are taken out, and lines are what the client reads.
  return Buffer.concat(chunks)
    .toString('utf8')
    .replaceAll(/[\r\n]+/g, ' ')
}

function versionIn(text: string): string | undefined {
  const { result } = JSON.parse(text) as { result?: { protocolVersion?: unknown } }
  const version = result?.protocolVersion
  return typeof version === 'string' ? version : undefined
}

const MAX_SAID = 500

function refusedBy({ statusCode = 0 }: IncomingMessage, text: string): VestryError {
  let said: unknown
  try {
    said = (JSON.parse(text) as { error?: { message?: unknown } }).error?.message
  } catch {
    said = undefined
  }
  const what = typeof said === 'string' ? said.slice(0, MAX_SAID) : `answered ${statusCode}`
  if (statusCode === 401) {
    return new VestryError('UNAUTHORIZED', what, {
      hint: 'Make a key for the agent: vestry key add --agent AGENT',
    })
  }
  return new VestryError(statusCode === 429 ? 'RATE_LIMITED' : 'MCP_PROTOCOL_ERROR', what)
}
