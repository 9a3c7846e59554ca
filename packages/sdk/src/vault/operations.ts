/** Parameters of the operations of `use`, from what is natural in TypeScript to what the wire says. */
import type { Message } from './frame.ts'

/** How the secret becomes a header. Default `bearer`. */
export interface HeaderOptions {
  headerType?: 'bearer' | 'api_key' | 'basic' | 'custom'
  /** Required for `custom`. */
  headerName?: string
  /** For `custom`: what stands before the secret. */
  headerPrefix?: string
  /** For `basic`. */
  username?: string
}

export interface HttpRequest extends HeaderOptions {
  /** Absolute. */
  url: string
  /** Default `GET`. */
  method?: string
  headers?: Record<string, string> | readonly (readonly [name: string, value: string])[]
  /** Text as is, bytes as base64, anything else as JSON. */
  body?: string | Uint8Array | Record<string, unknown> | readonly unknown[]
  query?: Record<string, unknown>
  /** 100 to 120 000; the daemon's default is 30 000. The client waits 5 s longer. */
  timeoutMs?: number
  /** Default false; policy must allow it too. */
  followRedirects?: boolean
  /** Up to 3 000 000; default 1 048 576. */
  maxResponseBytes?: number
  responseEncoding?: 'auto' | 'text' | 'base64'
}

export interface SignOptions {
  /** Default by credential type, else `hmac-sha256`. */
  algorithm?: string
}

export interface CipherOptions {
  /** Up to 1 KiB; what was given on encrypt must be given again on decrypt. */
  context?: string
}

export interface DecryptOptions extends CipherOptions {
  outputEncoding?: 'auto' | 'utf8' | 'base64'
}

const DEFAULT_HTTP_TIMEOUT_MS = 30_000
const HTTP_MARGIN_MS = 5_000

export function httpRequestParams(request: HttpRequest): Message {
  const { url, method, headers, body, query } = request
  return given({
    url,
    method,
    headers,
    ...(body instanceof Uint8Array ? { body_base64: base64(body) } : { body }),
    query,
    ...headerParams(request),
    timeout_ms: request.timeoutMs,
    follow_redirects: request.followRedirects,
    max_response_bytes: request.maxResponseBytes,
    response_encoding: request.responseEncoding,
  })
}

export function headerParams(options: HeaderOptions): Message {
  return given({
    header_type: options.headerType,
    header_name: options.headerName,
    header_prefix: options.headerPrefix,
    username: options.username,
  })
}

/** Bytes travel as base64, text as it is. */
export function dataParams(data: string | Uint8Array): Message {
  if (typeof data === 'string') return { data }
  return { data: base64(data), data_encoding: 'base64' }
}

export function signParams(data: string | Uint8Array, { algorithm }: SignOptions): Message {
  return given({ ...dataParams(data), algorithm })
}

export function encryptParams(data: string | Uint8Array, { context }: CipherOptions): Message {
  return given({ ...dataParams(data), context })
}

export function decryptParams(ciphertext: string, options: DecryptOptions): Message {
  return given({
    data: ciphertext,
    context: options.context,
    output_encoding: options.outputEncoding,
  })
}

/** The least time the client waits for a `use`, milliseconds: the daemon must be able to say no first. */
export function leastUseTimeoutMs(operation: string, params: Message): number {
  if (operation !== 'http_request') return 0
  const asked = params['timeout_ms']
  const upstream = typeof asked === 'number' && asked > 0 ? asked : DEFAULT_HTTP_TIMEOUT_MS
  return upstream + HTTP_MARGIN_MS
}

/** The members that have a value. */
export function given(members: Message): Message {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined))
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64')
}
