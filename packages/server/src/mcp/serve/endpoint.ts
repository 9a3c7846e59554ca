/**
 * The MCP endpoint of Vestry on the common HTTP port (streamable HTTP): one path, to which clients post messages, and
 * from which they hear when their tools have changed. Who may do what is decided per request, by the key it carries.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { asVestryError, VestryError } from '@vestry/contract/errors'
import { newTxn } from '@vestry/contract/ids'
import { drained } from '../../http/drain.ts'
import type { Peer } from '../../identity/caller.ts'
import { ONLY_PROTO, readStrictJson } from '../../json/strict-json.ts'
import { type BodyMemory, readBody } from '../../llm/wire/request-body.ts'
import type { McpClient } from './client.ts'
import { openStream } from './event-stream.ts'
import {
  type Asked,
  answer,
  callerOf,
  handshake,
  type MethodsDeps,
  PROTOCOL_VERSIONS,
} from './methods.ts'
import {
  errorReply,
  RPC,
  RpcFailure,
  type RpcMessage,
  type RpcReply,
  readRpc,
  resultReply,
} from './rpc.ts'
import { begin, cancel, type Session, type Sessions } from './sessions.ts'

export interface EndpointDeps extends MethodsDeps {
  readonly sessions: Sessions
  /** @throws VestryError UNAUTHORIZED, RATE_LIMITED, VAULT_LOCKED; also for a page that may not call here. */
  readonly admit: (request: IncomingMessage) => Promise<McpClient>
  /** Whether who made a request may go on with it: keys are revoked, tokens run out. */
  readonly isStill: (request: IncomingMessage, client: McpClient) => Promise<boolean>
  readonly peer: (request: IncomingMessage) => Peer
  /** Answers a preflight, and lets listed pages read answers. */
  readonly cors: (origin: string | undefined) => Readonly<Record<string, string>>
  readonly bodies: BodyMemory
  readonly sealed: () => boolean
  readonly draining: () => boolean
  /** A listener has come: its tools are looked at from now on. */
  readonly onListening: () => void
  /** Requests under way, each with what ends it. */
  readonly underWay: Set<AbortController>
}

const MAX_BODY_BYTES = 4_194_304
const BODY_MS = 20_000
const SESSION = 'mcp-session-id'
const VERSION = 'mcp-protocol-version'

interface Outgoing {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  /** Undefined: no body. */
  readonly body: unknown
}

/** Answers; never throws. */
export async function serve(
  deps: EndpointDeps,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  request.on('error', () => undefined)
  response.on('error', () => undefined)
  let reply: Outgoing | undefined
  try {
    reply = await replyTo(deps, request, response)
  } catch (error) {
    reply = refusal(error)
  }
  if (reply === undefined) return
  await send(request, response, reply, {
    ...deps.cors(request.headers.origin),
    ...(deps.draining() && { connection: 'close' }),
  }).catch(() => response.destroy())
}

/** @returns undefined where a stream was opened. */
async function replyTo(
  deps: EndpointDeps,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<Outgoing | undefined> {
  if (deps.draining()) throw new VestryError('SHUTTING_DOWN')
  if (request.method === 'OPTIONS') return { status: 204, body: undefined }
  if (deps.sealed()) throw new VestryError('NOT_READY', 'The vault is sealed')
  const client = await deps.admit(request)
  switch (request.method) {
    case 'POST':
      return posted(deps, request, response, client)
    case 'GET':
      return listen(deps, request, response, client)
    case 'DELETE': {
      deps.sessions.end(sessionOf(deps, request, client))
      return { status: 200, body: {} }
    }
    default:
      return {
        status: 405,
        headers: { allow: 'DELETE, GET, OPTIONS, POST' },
        body: errorReply(null, new RpcFailure(RPC.refused, 'Method not allowed')),
      }
  }
}

async function posted(
  deps: EndpointDeps,
  request: IncomingMessage,
  response: ServerResponse,
  client: McpClient,
): Promise<Outgoing> {
  if (!/^application\/json(?:\s*;|$)/i.test(request.headers['content-type'] ?? ''))
    return {
      status: 415,
      body: errorReply(null, new RpcFailure(RPC.refused, 'Send application/json')),
    }
  using body = await readBody(request, {
    maxBytes: MAX_BODY_BYTES,
    timeoutMs: BODY_MS,
    memory: deps.bodies,
  })
  const { messages, isBatch } = readRpc(parsed(body.bytes))
  const opening = messages.find(
    (message) => message.kind === 'request' && message.method === 'initialize',
  )
  if (opening !== undefined) {
    if (messages.length > 1) throw new RpcFailure(RPC.request, '"initialize" comes alone')
    return opened(deps, client, opening)
  }
  const session = sessionOf(deps, request, client)
  const late = new AbortController()
  const onClose = () => late.abort(new VestryError('CANCELLED', 'The client left'))
  response.once('close', onClose)
  deps.underWay.add(late)
  try {
    const asked = {
      client,
      peer: deps.peer(request),
      traceparent: header(request, 'traceparent'),
      session,
      signal: late.signal,
    }
    const replies = await Promise.all(messages.map((message) => replied(deps, message, asked)))
    const given = replies.filter((reply) => reply !== undefined)
    if (given.length === 0) return { status: 202, body: undefined }
    return { status: 200, body: isBatch ? given : given[0] }
  } finally {
    response.off('close', onClose)
    deps.underWay.delete(late)
  }
}

function opened({ sessions }: EndpointDeps, client: McpClient, message: RpcMessage): Outgoing {
  if (message.kind !== 'request') throw new RpcFailure(RPC.request, '"initialize" needs an id')
  const result = handshake(message.params['protocolVersion'])
  const session = sessions.open(client, client.txn ?? newTxn(), result.protocolVersion)
  return { status: 200, headers: { [SESSION]: session.id }, body: resultReply(message.id, result) }
}

async function replied(
  deps: EndpointDeps,
  message: RpcMessage,
  asked: Asked,
): Promise<RpcReply | undefined> {
  if (message.kind === 'answer') return undefined
  if (message.kind === 'notification') {
    if (message.method === 'notifications/cancelled')
      cancel(asked.session, message.params['requestId'])
    return undefined
  }
  const { id } = message
  try {
    using work = begin(asked.session, id)
    const signal = AbortSignal.any([asked.signal, work.signal])
    return resultReply(id, await answer(deps, message, { ...asked, signal }))
  } catch (error) {
    return errorReply(id, error)
  }
}

async function listen(
  deps: EndpointDeps,
  request: IncomingMessage,
  response: ServerResponse,
  client: McpClient,
): Promise<Outgoing | undefined> {
  if (!(request.headers.accept ?? '').includes('text/event-stream'))
    return {
      status: 406,
      body: errorReply(null, new RpcFailure(RPC.refused, 'Accept text/event-stream')),
    }
  const session = sessionOf(deps, request, client)
  const peer = deps.peer(request)
  const caller = callerOf({ client, peer, traceparent: undefined, session })
  // Whoever connects again has lost the stream before.
  session.stream?.end()
  const stream = openStream(
    response,
    { client, caller, isStill: () => deps.isStill(request, client) },
    { [SESSION]: session.id, ...deps.cors(request.headers.origin) },
  )
  session.stream = stream
  response.once('close', () => {
    if (session.stream === stream) session.stream = undefined
  })
  deps.onListening()
  return undefined
}

/** @throws SessionGone, RpcFailure */
function sessionOf(
  { sessions }: EndpointDeps,
  request: IncomingMessage,
  client: McpClient,
): Session {
  const id = header(request, SESSION)
  if (id === undefined) throw new RpcFailure(RPC.request, 'The header Mcp-Session-Id is missing')
  const session = sessions.find(id, client)
  if (session === undefined) throw new SessionGone()
  const version = header(request, VERSION)
  if (version !== undefined && !PROTOCOL_VERSIONS.includes(version))
    throw new RpcFailure(RPC.request, 'MCP-Protocol-Version: this version is not spoken here')
  return session
}

/** 404 tells a client to begin anew. */
class SessionGone extends RpcFailure {
  constructor() {
    super(RPC.session, 'Session not found')
  }
}

function refusal(thrown: unknown): Outgoing {
  if (thrown instanceof RpcFailure)
    return { status: thrown instanceof SessionGone ? 404 : 400, body: errorReply(null, thrown) }
  const error = asVestryError(thrown)
  const retryMs = error.context['retry_after_ms']
  const status = error.code === 'DEADLINE_EXCEEDED' ? 408 : error.status
  return {
    status,
    headers: {
      ...(status === 401 && { 'www-authenticate': 'Bearer' }),
      ...((status === 429 || status === 503) && {
        'retry-after': String(
          typeof retryMs === 'number' ? Math.max(1, Math.ceil(retryMs / 1_000)) : 1,
        ),
      }),
    },
    body: errorReply(null, error),
  }
}

function parsed(bytes: Uint8Array): unknown {
  try {
    return readStrictJson(bytes, ONLY_PROTO)
  } catch (error) {
    throw new RpcFailure(RPC.parse, asVestryError(error).message)
  }
}

async function send(
  request: IncomingMessage,
  response: ServerResponse,
  { status, headers = {}, body }: Outgoing,
  more: Readonly<Record<string, string>>,
): Promise<void> {
  const whole = await drained(request)
  if (response.destroyed || response.headersSent) return
  const text = body === undefined ? undefined : Buffer.from(JSON.stringify(body))
  response.writeHead(status, {
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    ...(text !== undefined && {
      'content-type': 'application/json; charset=utf-8',
      'content-length': text.length,
    }),
    ...(text === undefined && status !== 204 && { 'content-length': 0 }),
    ...more,
    ...headers,
    ...(!whole && { connection: 'close' }),
  })
  response.end(text)
}

function header({ headers }: IncomingMessage, name: string): string | undefined {
  const value = headers[name]
  return typeof value === 'string' && value !== '' ? value : undefined
}
