/**
 * One frame's bytes → one request, or a refusal that carries the best id we can find (wire contract
 * §2.4–3.1).
 */
import { isUtf8 } from 'node:buffer'
import { VestryError } from '@vestry/contract/errors'
import { Secret } from '../../seal/secret.ts'
import { scanJson } from './json-scan.ts'

export type RequestId = number | string

export interface Request {
  readonly id: RequestId
  readonly method: string
  readonly params: Readonly<Record<string, unknown>>
  /** Echoed when the peer sent it. */
  readonly jsonrpc: boolean
  /** Secret members of `params`, which never were strings; disposed by the connection. */
  readonly secrets: ReadonlyMap<string, Secret>
}

export type Parsed =
  | { ok: true; request: Request }
  | { ok: false; id: RequestId | null; jsonrpc: boolean; error: VestryError }

const ID_RULE = 'id must be an integer or a string of 1–64 characters'
const NO_SECRETS: ReadonlyMap<string, Secret> = new Map()

export function parseRequest(body: Buffer, secretMembers?: ReadonlySet<string>): Parsed {
  if (!isUtf8(body)) return malformed(body, 'the frame is not valid UTF-8')
  if (body[0] === 0xef && body[1] === 0xbb && body[2] === 0xbf) {
    return malformed(body, 'the frame starts with a byte-order mark')
  }
  const scan = scanJson(body, secretMembers)
  if (scan.fault !== undefined) {
    wipeAll(scan.lifted)
    return malformed(body, `the message is not acceptable: ${scan.fault}`)
  }
  let message: unknown
  try {
    message = JSON.parse(body.toString('utf8'))
  } catch {
    wipeAll(scan.lifted)
    return malformed(body, 'the frame is not JSON')
  }
  const parsed = readEnvelope(message, body)
  if (!parsed.ok) {
    wipeAll(scan.lifted)
    return parsed
  }
  if (scan.lifted.size === 0) return parsed
  const secrets = new Map<string, Secret>()
  for (const [name, bytes] of scan.lifted) secrets.set(name, Secret.own(bytes))
  return { ok: true, request: { ...parsed.request, secrets } }
}

function readEnvelope(message: unknown, body: Buffer): Parsed {
  if (typeof message !== 'object' || message === null || Array.isArray(message)) {
    return malformed(body, 'the message is not a JSON object')
  }
  const { id, method, params, jsonrpc: version } = message as Record<string, unknown>
  const jsonrpc = version === '2.0'
  if (!isRequestId(id)) {
    return refuse(null, 'INVALID_REQUEST', ID_RULE, jsonrpc)
  }
  if (typeof method !== 'string') {
    return refuse(id, 'INVALID_REQUEST', 'method must be a string', jsonrpc)
  }
  if (
    params !== undefined &&
    (typeof params !== 'object' || params === null || Array.isArray(params))
  ) {
    return refuse(id, 'INVALID_PARAMS', 'params must be an object', jsonrpc)
  }
  return {
    ok: true,
    request: {
      id,
      method,
      params: (params ?? {}) as Record<string, unknown>,
      jsonrpc,
      secrets: NO_SECRETS,
    },
  }
}

function isRequestId(id: unknown): id is RequestId {
  if (typeof id === 'number') return Number.isSafeInteger(id)
  return typeof id === 'string' && id.length >= 1 && id.length <= 64
}

function malformed(body: Buffer, detail: string): Parsed {
  return refuse(salvageId(body), 'INVALID_REQUEST', detail)
}

function refuse(
  id: RequestId | null,
  code: 'INVALID_REQUEST' | 'INVALID_PARAMS',
  detail: string,
  jsonrpc = false,
): Parsed {
  const hint = 'Send one JSON object per frame: {"id": 1, "method": "…", "params": {…}}'
  return { ok: false, id, jsonrpc, error: new VestryError(code, detail, { hint }) }
}

/** How much of a frame is looked at for its id. */
export const SALVAGE_BYTES = 256
const LEADING_ID = /^[\t\n\r ]*\{[\t\n\r ]*"id"[\t\n\r ]*:[\t\n\r ]*(-?\d{1,15})(?![\d.eE])/

/** The integer id an unparsable frame starts with, as both published clients write it; else null. */
export function salvageId(body: Buffer): number | null {
  const match = LEADING_ID.exec(body.toString('latin1', 0, SALVAGE_BYTES))
  // A number that touches the end of the window may go on behind it.
  return match === null || match[0].length === SALVAGE_BYTES ? null : Number(match[1])
}

function wipeAll(lifted: Map<string, Uint8Array>): void {
  for (const bytes of lifted.values()) bytes.fill(0)
}
