/** Messages of the protocol as clients send them: JSON-RPC 2.0. Pure. */
import { VestryError } from '@vestry/contract/errors'

export type RpcId = string | number

export interface RpcRequest {
  readonly id: RpcId
  readonly method: string
  readonly params: Readonly<Record<string, unknown>>
}

export type RpcMessage =
  | ({ readonly kind: 'request' } & RpcRequest)
  | ({ readonly kind: 'notification' } & Omit<RpcRequest, 'id'>)
  /** To a request of ours; we send none. */
  | { readonly kind: 'answer' }

export type RpcReply =
  | { readonly jsonrpc: '2.0'; readonly id: RpcId; readonly result: unknown }
  | {
      readonly jsonrpc: '2.0'
      readonly id: RpcId | null
      readonly error: { readonly code: number; readonly message: string; readonly data?: unknown }
    }

export const RPC = {
  parse: -32_700,
  request: -32_600,
  method: -32_601,
  params: -32_602,
  internal: -32_603,
  /** Ours: the message says which. */
  refused: -32_000,
  session: -32_001,
} as const

/** A failure of the protocol itself; what tools and policies say is a result. */
export class RpcFailure extends Error {
  readonly code: number

  constructor(code: number, message: string) {
    super(message)
    this.name = 'RpcFailure'
    this.code = code
  }
}

const MAX_ID = 256
const MAX_METHOD = 128
const MAX_BATCH = 50

/** @throws RpcFailure */
export function readRpc(value: unknown): { messages: RpcMessage[]; isBatch: boolean } {
  if (!Array.isArray(value)) return { messages: [readMessage(value)], isBatch: false }
  if (value.length === 0) throw new RpcFailure(RPC.request, 'The batch is empty')
  if (value.length > MAX_BATCH)
    throw new RpcFailure(RPC.request, `A batch holds at most ${MAX_BATCH} messages`)
  return { messages: value.map(readMessage), isBatch: true }
}

export function resultReply(id: RpcId, result: unknown): RpcReply {
  return { jsonrpc: '2.0', id, result }
}

export function errorReply(id: RpcId | null, thrown: unknown): RpcReply {
  const { code, message, data } = failureOf(thrown)
  return {
    jsonrpc: '2.0',
    id,
    error: { code, message, ...(data !== undefined && { data }) },
  }
}

function failureOf(thrown: unknown): { code: number; message: string; data?: unknown } {
  if (thrown instanceof RpcFailure) return { code: thrown.code, message: thrown.message }
  if (thrown instanceof VestryError) {
    const { code, message, hint } = thrown
    return { code: RPC.refused, message, data: { code, ...(hint !== undefined && { hint }) } }
  }
  return { code: RPC.internal, message: 'Unexpected failure' }
}

function readMessage(value: unknown): RpcMessage {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw notRpc()
  const { jsonrpc, id, method, params } = value as Record<string, unknown>
  if (jsonrpc !== '2.0') throw notRpc()
  if (method === undefined) {
    if (isId(id) && ('result' in value || 'error' in value)) return { kind: 'answer' }
    throw notRpc()
  }
  if (typeof method !== 'string' || method === '' || method.length > MAX_METHOD) throw notRpc()
  const given = paramsOf(params)
  if (id === undefined) return { kind: 'notification', method, params: given }
  if (!isId(id)) throw notRpc()
  return { kind: 'request', id, method, params: given }
}

function paramsOf(params: unknown): Readonly<Record<string, unknown>> {
  if (params === undefined || params === null) return {}
  if (typeof params === 'object' && !Array.isArray(params)) return params as Record<string, unknown>
  throw new RpcFailure(RPC.params, 'params must be an object')
}

function isId(id: unknown): id is RpcId {
  if (typeof id === 'string') return id.length <= MAX_ID
  return typeof id === 'number' && Number.isSafeInteger(id)
}

function notRpc(): RpcFailure {
  return new RpcFailure(RPC.request, 'This is no JSON-RPC 2.0 message')
}
