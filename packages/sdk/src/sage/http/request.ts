/** One request as bytes. Everything that could end a header early is refused before a byte is written. */
import { VERSION } from '@vestry/contract/version'
import { ConfigurationError } from '../errors.ts'

export type Headers = Readonly<Record<string, string>>

const TOKEN = /^[!#$%&'*+\-.^_`|~\w]+$/

/** Visible characters, blanks and tabs of Latin-1: all that a header may hold. */
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/

/** These say where the message ends, so they are the client's alone. */
const FRAMING: ReadonlySet<string> = new Set([
  'host',
  'connection',
  'content-length',
  'transfer-encoding',
  'expect',
  'upgrade',
  'te',
  'trailer',
])

/** What stays the same over all attempts of a call. */
export interface RequestShape {
  readonly method: string
  /** From the root, with a query if need be. */
  readonly path: string
  readonly body: Uint8Array | undefined
  readonly isJson: boolean
  /** The value of `X-Request-Id`. */
  readonly requestId: string
}

/** @throws ConfigurationError for a method, path or body that cannot be sent. */
export function requestShape(method: string, path: string, body: unknown): RequestShape {
  if (!TOKEN.test(method)) throw new ConfigurationError('The request method is not valid')
  if (!/^\/[\x21-\x7e]*$/.test(path)) throw new ConfigurationError('The request path is not valid')
  const isJson = body !== undefined && !(body instanceof Uint8Array)
  return {
    method,
    path,
    isJson,
    body: isJson ? jsonBytes(body) : (body as Uint8Array | undefined), // the other two cases
    requestId: globalThis.crypto.randomUUID(),
  }
}

/**
 * @throws ConfigurationError, with the name of the header but never its value, for CR, LF, NUL and
 *         other characters that no header may hold, and for a header that the client sets itself.
 */
export function requestBytes(shape: RequestShape, headers: Headers): Buffer {
  const { method, path, body, isJson, requestId } = shape
  const given = new Set<string>()
  const lines = [`${method} ${path} HTTP/1.1`, 'Host: gateway.local']
  for (const [name, value] of Object.entries(headers)) {
    lines.push(headerLine(name, value))
    const key = name.toLowerCase()
    if (FRAMING.has(key)) {
      throw new ConfigurationError(`The header ${name} is set by the client itself`)
    }
    if (given.has(key)) throw new ConfigurationError(`The header ${name} is given twice`)
    given.add(key)
  }
  const add = (name: string, value: string): void => {
    if (!given.has(name.toLowerCase())) lines.push(`${name}: ${value}`)
  }
  add('X-Request-Id', requestId)
  // The server may see one request up to four times; the key lets it answer only one of them anew.
  if (method === 'POST') add('Idempotency-Key', requestId)
  add('User-Agent', `sage-sanctum-ts/${VERSION}`)
  lines.push('Connection: close')
  if (isJson) add('Content-Type', 'application/json')
  if (body !== undefined) lines.push(`Content-Length: ${body.byteLength}`)
  const head = Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1')
  return body === undefined ? head : Buffer.concat([head, body])
}

function headerLine(name: string, value: unknown): string {
  if (!TOKEN.test(name)) throw new ConfigurationError('A header name is not valid')
  if (typeof value !== 'string' || !VALUE.test(value)) {
    throw new ConfigurationError(
      `The value of header ${name} has characters that no header may hold`,
    )
  }
  return `${name}: ${value}`
}

function jsonBytes(body: unknown): Uint8Array {
  try {
    const text = JSON.stringify(body)
    if (text !== undefined) return Buffer.from(text)
  } catch (cause) {
    throw new ConfigurationError('The request body cannot be written as JSON', { cause })
  }
  throw new ConfigurationError('The request body cannot be written as JSON')
}
