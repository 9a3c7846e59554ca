/** What MCP clients may ask: the handshake, the tools they may call, and calls of them. */
import { asVestryError, VestryError } from '@vestry/contract/errors'
import { newRequestId } from '@vestry/contract/ids'
import { VERSION } from '@vestry/contract/version'
import { type Caller, newCaller, type Peer } from '../../identity/caller.ts'
import type { ToolResult } from '../hub.ts'
import type { McpClient } from './client.ts'
import { RPC, RpcFailure, type RpcRequest } from './rpc.ts'
import type { ServedTool } from './served-tool.ts'
import { fingerprint, type ServedTools } from './served-tools.ts'
import type { Session } from './sessions.ts'

/** Newest first. */
export const PROTOCOL_VERSIONS: readonly string[] = [
  '2025-11-25',
  '2025-06-18',
  '2025-03-26',
  '2024-11-05',
]

export interface Asked {
  readonly client: McpClient
  readonly peer: Peer
  readonly traceparent: string | undefined
  readonly session: Session
  readonly signal: AbortSignal
}

export interface MethodsDeps {
  readonly tools: ServedTools
  readonly onInternalError: (requestId: string, error: unknown) => void
}

/** Of one page of a list. */
const PAGE = 500
const MAX_NAME = 128
const MAX_REASON = 256
const REASON_KEY = 'vestry/reason'
const INTENT_KEY = 'vestry/intent'

/** @param asked The version that the client would like. */
export function handshake(asked: unknown): { protocolVersion: string } & Record<string, unknown> {
  const known = PROTOCOL_VERSIONS.find((version) => version === asked)
  return {
    protocolVersion: known ?? (PROTOCOL_VERSIONS[0] as string),
    capabilities: { tools: { listChanged: true } },
    serverInfo: { name: 'vestry', version: VERSION },
    instructions:
      'Lists the tools that your key may call. A call that policy refuses says so in its result.',
  }
}

/** @throws RpcFailure; the reason of the signal. */
export async function answer(
  deps: MethodsDeps,
  { method, params }: RpcRequest,
  asked: Asked,
): Promise<unknown> {
  switch (method) {
    case 'ping':
      return {}
    case 'tools/list':
      return listed(deps, params, asked)
    case 'tools/call':
      return called(deps, params, asked)
    default:
      throw new RpcFailure(RPC.method, `Method not found: ${method}`)
  }
}

/** The one who asks, with a span of their own. */
export function callerOf({ client, peer, traceparent, session }: Omit<Asked, 'signal'>): Caller {
  const { principal, txn } = client
  return newCaller({ principal, peer, txn: txn ?? session.txn }, traceparent)
}

async function listed(
  { tools }: MethodsDeps,
  { cursor }: RpcRequest['params'],
  asked: Asked,
): Promise<unknown> {
  const mine = await tools.of(asked.client, callerOf(asked))
  asked.session.listed = fingerprint(mine)
  const all = [...mine]
  // The name after which it goes on: a list that changed meanwhile neither repeats nor skips what stayed.
  const from = cursor === undefined ? 0 : after(all, cursor)
  const page = all.slice(from, from + PAGE)
  const last = page.at(-1)
  return {
    tools: page.map(([name, { listing }]) => ({ name, ...listing })),
    ...(last !== undefined && from + PAGE < all.length && { nextCursor: cursorOf(last[0]) }),
  }
}

function cursorOf(name: string): string {
  return Buffer.from(name).toString('base64url')
}

function after(all: readonly (readonly [string, ServedTool])[], cursor: unknown): number {
  if (typeof cursor !== 'string') throw new RpcFailure(RPC.params, 'cursor must be text')
  const name = Buffer.from(cursor, 'base64url').toString()
  if (cursorOf(name) !== cursor) throw new RpcFailure(RPC.params, 'This is no cursor of ours')
  const at = all.findIndex(([other]) => other > name)
  return at < 0 ? all.length : at
}

async function called(
  { tools, onInternalError }: MethodsDeps,
  params: RpcRequest['params'],
  asked: Asked,
): Promise<unknown> {
  const { name, arguments: args = {}, _meta: meta } = params
  if (typeof name !== 'string' || name === '')
    throw new RpcFailure(RPC.params, 'name: the tool is missing')
  if (!isObject(args)) throw new RpcFailure(RPC.params, 'arguments must be an object')
  const about = isObject(meta) ? meta : {}
  const tool = tools.find(name)
  if (tool === undefined) throw unknownTool(name)
  const traceparent = textIn(about, 'traceparent') ?? asked.traceparent
  const caller = callerOf({ ...asked, traceparent })
  const requestId = newRequestId()
  try {
    const result = await tool.call({
      caller,
      client: asked.client,
      requestId,
      args,
      reason: textIn(about, REASON_KEY),
      intent: textIn(about, INTENT_KEY),
      signal: asked.signal,
    })
    return resultOf(result)
  } catch (error) {
    asked.signal.throwIfAborted()
    if (!(error instanceof VestryError)) onInternalError(requestId, error)
    const failed = asVestryError(error)
    // What a client may not call is not there for it.
    if (failed.code === 'ACCESS_DENIED' && !(await tools.mayCall(tool, asked.client, caller)))
      throw unknownTool(name)
    return failure(failed, requestId)
  }
}

function resultOf({ content, structuredContent, isError }: ToolResult): unknown {
  return { content, ...(structuredContent !== undefined && { structuredContent }), isError }
}

/** A result that says what went wrong: models read results, and can do better the next time. */
function failure({ code, message, hint, context }: VestryError, requestId: string): unknown {
  const approval = context['approval_id']
  const text = `${code}: ${message}${hint === undefined ? '' : `\n${hint}`}`
  return {
    content: [{ type: 'text', text }],
    isError: true,
    _meta: {
      'vestry/code': code,
      'vestry/request_id': requestId,
      ...(typeof approval === 'string' && { 'vestry/approval_id': approval }),
    },
  }
}

function unknownTool(name: string): RpcFailure {
  return new RpcFailure(RPC.params, `Unknown tool: ${name.slice(0, MAX_NAME).toWellFormed()}`)
}

function textIn(meta: Readonly<Record<string, unknown>>, key: string): string | undefined {
  const value = meta[key]
  return typeof value === 'string' && value !== '' && value.length <= MAX_REASON ? value : undefined
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
