/** Requests to one remote server through the guarded way out, and what its answers mean. */
import { VestryError } from '@vestry/contract/errors'
import { isTransient, wasSent } from '../../egress/failure.ts'
import type { EgressDeps } from '../../egress/send.ts'
import { type EgressStream, openStream } from '../../egress/stream.ts'
import { EventStream, type StreamEvent } from './event-stream.ts'
import { MAX_MESSAGE_BYTES } from './gate.ts'
import { Gathering } from './gathering.ts'

export interface HttpOptions {
  readonly server: string
  readonly url: string
  /** With their secrets. */
  readonly headers: Readonly<Record<string, string>>
  readonly egress: EgressDeps
  /** For the head of an answer; its body may take as long as the call. */
  readonly timeoutMs: number
  readonly note: (line: string) => void
}

export interface Ask {
  readonly method: 'GET' | 'POST' | 'DELETE'
  readonly url?: string
  readonly headers?: readonly (readonly [name: string, value: string])[]
  readonly body?: string
  readonly signal: AbortSignal
  /** Default: that of the options. */
  readonly headMs?: number
}

/** Longer than any call; a stream that is still open then is opened again. */
const STREAM_MS = 86_400_000
const MAX_CONNECTIONS = 128
/** Before a stream is opened again. */
const MIN_PAUSE_MS = 100
const PAUSE_MS = 1_000
const MAX_PAUSE_MS = 30_000

/** @returns The head of the answer, whatever its status; to be disposed. @throws VestryError of egress. */
export function ask(
  options: HttpOptions,
  { method, url, headers = [], body, signal, headMs }: Ask,
) {
  const { server, egress, timeoutMs } = options
  return openStream(
    {
      method,
      url: url ?? options.url,
      headers: [...Object.entries(options.headers), ...headers],
      ...(body !== undefined && { body: Buffer.from(body) }),
      poolKey: { path: `mcp:${server}`, version: 0, connections: MAX_CONNECTIONS },
      // An operator wrote the address of this server; where it may lead to is for the address rules.
      authorize: () => ({ exactHost: true, allowHttp: true, followRedirects: false }),
      firstByteMs: method === 'GET' ? STREAM_MS : (headMs ?? timeoutMs),
      idleMs: STREAM_MS,
      totalMs: STREAM_MS,
      maxBytes: Number.MAX_SAFE_INTEGER,
      signal,
    },
    egress,
  )
}

/** The body as one message. @throws VestryError MCP_PROTOCOL_ERROR when it is too long. */
export async function wholeBody(reply: EgressStream): Promise<Uint8Array> {
  const body = new Gathering(MAX_MESSAGE_BYTES)
  for await (const chunk of reply.body) if (!body.add(chunk)) throw tooLong()
  return body.take()
}

/** @throws VestryError MCP_PROTOCOL_ERROR for an event that is too long. */
export async function* eventsOf(
  reply: EgressStream,
  events: EventStream,
): AsyncGenerator<StreamEvent> {
  for await (const chunk of reply.body) {
    const found = events.push(chunk)
    if (found === undefined) throw tooLong()
    yield* found
  }
}

export function newEvents(): EventStream {
  return new EventStream(MAX_MESSAGE_BYTES)
}

export function mediaType(reply: EgressStream): string {
  return (reply.headers['content-type'] ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? ''
}

/** What an answer that is no success says. */
export function refusal({ status }: { readonly status: number }): VestryError {
  const text =
    status === 401 || status === 403
      ? `refused our credentials (HTTP ${status})`
      : status >= 300 && status < 400
        ? `redirects elsewhere (HTTP ${status}), which is not followed`
        : `answered with HTTP ${status}`
  return new VestryError('MCP_PROTOCOL_ERROR', text, { context: { http_status: status } })
}

/** Nobody listens there any more: not one request failed, but the server. */
export function isGone(error: unknown): boolean {
  return isTransient(error) && !wasSent(error)
}

/** How long to wait before a stream is asked for again: what the server wants, else longer each time. */
export function pause(retryMs: number | undefined, failures: number): number {
  const wanted = retryMs ?? PAUSE_MS * 2 ** failures
  return Math.min(MAX_PAUSE_MS, Math.max(MIN_PAUSE_MS, wanted))
}

/** The failure of the whole connection. */
export function asFailure(error: unknown, before = ''): VestryError {
  const message = error instanceof Error ? error.message : 'failed'
  return new VestryError('MCP_PROTOCOL_ERROR', before + message)
}

function tooLong(): VestryError {
  return new VestryError(
    'MCP_PROTOCOL_ERROR',
    `sent a message of more than ${MAX_MESSAGE_BYTES} bytes`,
  )
}
