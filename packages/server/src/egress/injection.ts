/** Builds what carries a secret upstream (wire contract §7.2), and says what must not come back. */
import { VestryError } from '@vestry/contract/errors'
import { encodeBase64Bytes } from '../seal/bytes-text.ts'
import { Secret, unpooled } from '../seal/secret.ts'
import { Needles } from './needles.ts'
import { checkQueryName, type QueryInjectionSpec, queryValue } from './query-injection.ts'
import { isHeaderName } from './request-headers.ts'

export const HEADER_TYPES = ['bearer', 'api_key', 'basic', 'custom'] as const
export type HeaderType = (typeof HEADER_TYPES)[number]

export interface InjectionSpec {
  /** Default `bearer`. */
  headerType?: HeaderType
  /** Required for `custom`, refused otherwise. */
  headerName?: string
  /** Goes before the secret; `custom` only. */
  headerPrefix?: string
  /** `basic` only. Without it a secret that contains `:` is `user:password`, any other is the user name. */
  username?: string
}

/** A ready header or query parameter. Owns copies of the secret: dispose it when the exchange is over. */
export interface Injection extends Disposable {
  place: 'header' | 'query'
  /** Of the header or the parameter, in the case it is sent in. */
  name: string
  /** As it is written out: in a query percent-encoded. */
  value: Secret
  needles: Needles
}

/** Names that would steer the connection, or end up in logs and proxies. */
const FORBIDDEN = new Set([
  'host',
  'content-length',
  'transfer-encoding',
  'connection',
  'upgrade',
  'te',
  'trailer',
  'expect',
  'cookie',
  'forwarded',
])

const SPACE = 0x20
const COLON = 0x3a

/** A ready header on its own, for a caller that may see it. Dispose `value`. */
export interface InjectedHeader {
  header: string
  value: Secret
}

/**
 * @param secret Borrowed.
 * @throws VestryError `INVALID_PARAMS` for a header or parameter that may not be set, `UNUSABLE_CREDENTIAL` for a
 *   secret that it cannot carry, or that is too short to be kept out of replies.
 */
export function buildInjection(
  spec: InjectionSpec | QueryInjectionSpec,
  secret: Secret,
): Injection {
  const { place, name, value, known } = placed(spec, secret)
  try {
    const needles = Needles.of([...known, value])
    return {
      place,
      name,
      value,
      needles,
      [Symbol.dispose]() {
        value[Symbol.dispose]()
        needles[Symbol.dispose]()
      },
    }
  } catch (error) {
    value[Symbol.dispose]()
    throw error
  } finally {
    for (const part of known) part[Symbol.dispose]()
  }
}

/** As {@link buildInjection} for a header, without what guards the replies: no secret is too short to be shown. */
export function buildHeader(spec: InjectionSpec, secret: Secret): InjectedHeader {
  const { header, value, known } = buildParts(spec, secret)
  for (const part of known) part[Symbol.dispose]()
  return { header, value }
}

/**
 * What can be judged before the secret is known.
 * @returns The name of the header or parameter.
 * @throws VestryError `INVALID_PARAMS`
 */
export function checkInjection(spec: InjectionSpec | QueryInjectionSpec): string {
  if ('query' in spec) {
    checkQueryName(spec.query)
    return spec.query
  }
  const { header } = headerOf(spec)
  if (spec.username !== undefined && /[\p{Cc}:]/u.test(spec.username)) {
    throw invalid('username must not contain control characters or a colon')
  }
  return header
}

function placed(spec: InjectionSpec | QueryInjectionSpec, secret: Secret) {
  if ('query' in spec) {
    const name = checkInjection(spec)
    const value = queryValue(secret)
    return { place: 'query' as const, name, value, known: [Secret.copy(secret.bytes)] }
  }
  const { header, value, known } = buildParts(spec, secret)
  return { place: 'header' as const, name: header, value, known }
}

interface Parts extends InjectedHeader {
  /** Every part of the value that is a secret by itself. */
  known: Secret[]
}

function buildParts(spec: InjectionSpec, secret: Secret): Parts {
  checkInjection(spec)
  const { header, prefix } = headerOf(spec)
  if (spec.headerType === 'basic') return basic(header, spec.username, secret)
  if (!isVisible(secret.bytes)) throw unusable()
  return {
    header,
    value: Secret.own(joined(latin1(prefix), secret.bytes)),
    known: [Secret.copy(secret.bytes)],
  }
}

/** True for names that no secret may be put under. */
export function isForbiddenInjection(name: string): boolean {
  const lower = name.toLowerCase()
  return FORBIDDEN.has(lower) || lower.startsWith('proxy-') || lower.startsWith('x-forwarded-')
}

function headerOf(spec: InjectionSpec): { header: string; prefix: string } {
  const { headerType = 'bearer', headerName, headerPrefix = '', username } = spec
  if (username !== undefined && headerType !== 'basic') {
    throw invalid('username goes with header_type "basic" only')
  }
  if (headerType !== 'custom') {
    if (headerName !== undefined || headerPrefix !== '') {
      throw invalid('header_name and header_prefix go with header_type "custom" only')
    }
    if (headerType === 'api_key') return { header: 'X-API-Key', prefix: '' }
    return { header: 'Authorization', prefix: headerType === 'basic' ? 'Basic ' : 'Bearer ' }
  }
  if (headerName === undefined) throw invalid('header_type "custom" needs header_name')
  if (!isHeaderName(headerName)) throw invalid('header_name is not a header name')
  if (isForbiddenInjection(headerName))
    throw invalid(`Header "${headerName}" cannot carry a secret`)
  if (!/^[\x20-\x7e\xa0-\xff]*$/.test(headerPrefix) || headerPrefix.startsWith(' ')) {
    throw invalid('header_prefix is not visible Latin-1 text')
  }
  return { header: headerName, prefix: headerPrefix }
}

function basic(header: string, username: string | undefined, secret: Secret): Parts {
  // RFC 7617 §2: no control characters, and a colon would end the user name early.
  if (secret.bytes.some((byte) => byte < SPACE || byte === 0x7f)) throw unusable()
  const colon = secret.bytes.indexOf(COLON)
  const login =
    username !== undefined
      ? joined(Buffer.from(`${username}:`, 'utf8'), secret.bytes)
      : colon < 0
        ? joined(secret.bytes, latin1(':'))
        : Secret.copy(secret.bytes).bytes
  const encoded = encodeBase64Bytes(login)
  const known = [Secret.copy(secret.bytes), Secret.own(login), Secret.own(encoded)]
  if (username === undefined && colon >= 0) {
    // An empty password means that the user name is the key.
    const password = secret.bytes.subarray(colon + 1)
    known.push(Secret.copy(password.length > 0 ? password : secret.bytes.subarray(0, colon)))
  }
  return { header, value: Secret.own(joined(latin1('Basic '), encoded)), known }
}

/** Visible Latin-1, and spaces between: at either end a parser would trim them, and another secret would arrive. */
function isVisible(bytes: Uint8Array): boolean {
  if (bytes[0] === SPACE || bytes.at(-1) === SPACE) return false
  return bytes.every((byte) => (byte >= SPACE && byte <= 0x7e) || byte > 0xa0)
}

function joined(first: Uint8Array, second: Uint8Array): Uint8Array {
  const bytes = unpooled(first.length + second.length)
  bytes.set(first)
  bytes.set(second, first.length)
  return bytes
}

function latin1(text: string): Uint8Array {
  return Buffer.from(text, 'latin1')
}

function unusable(): VestryError {
  return new VestryError('UNUSABLE_CREDENTIAL', 'The secret cannot be placed in a header', {
    hint: 'Headers carry visible Latin-1 only; a trailing newline is a common cause.',
  })
}

function invalid(message: string): VestryError {
  return new VestryError('INVALID_PARAMS', message)
}
