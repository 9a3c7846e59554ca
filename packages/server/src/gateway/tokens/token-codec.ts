/**
 * The text of a token (wire contract §6.3, §6.5). Ours and plain: `B.S`, B = base64 of the payload, S = hex
 * HMAC-SHA-256 over the text B. Sealed: B holds the payload encrypted to the gateway. With issue time:
 * `B.I.S`, where I is base64 of `{"iat":…}` and S covers `B.I`, so that clients can tell a token's age.
 * Opens what it wrote and nothing else; whether the token still counts is for verify.ts.
 */
import { createHash, createHmac, type KeyObject, timingSafeEqual } from 'node:crypto'
import { TokenClaims } from './claims.ts'
import { parseInstant } from './date-time.ts'
import { openPayload, sealPayload } from './sealed-payload.ts'
import { TokenRefused } from './token-refused.ts'

export const MAX_TOKEN_BYTES = 16 * 1024

/** Bytes are the UTF-8 of a secret text, not decoded from hex or base64. */
export type TokenSecret = KeyObject | Uint8Array

export interface TokenKeys {
  /** The first signs, all are accepted. */
  readonly secrets: readonly TokenSecret[]
  /** RSA, private: makes and opens sealed tokens. */
  readonly gatewayKey?: KeyObject
}

export interface TokenForm {
  /** What is written. Both are read, the sealed one given the key for it. */
  readonly format: 'signed' | 'sealed'
  /** Writes `B.I.S`, and reads it beside `B.S`. */
  readonly withIssueTime: boolean
}

export interface OpenedToken {
  readonly claims: TokenClaims
  /** The payload text as it was hashed. */
  readonly payload: string
  /** Hex SHA-256 of the payload: the token's key in the registry. */
  readonly payloadHash: string
  /** Epoch ms. */
  readonly issuedAtMs: number
  readonly expiresAtMs: number
}

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/

export function writeToken(
  payload: string,
  issuedAtMs: number,
  { secrets, gatewayKey }: TokenKeys,
  { format, withIssueTime }: TokenForm,
): string {
  const [secret] = secrets
  if (secret === undefined) throw new TypeError('A token needs a secret to be signed with')
  let body = Buffer.from(payload)
  if (format === 'sealed') {
    if (gatewayKey === undefined) throw new TypeError('A sealed token needs the gateway key')
    body = Buffer.from(sealPayload(body, gatewayKey))
  }
  let signed = body.toString('base64')
  if (withIssueTime) {
    const issue = JSON.stringify({ iat: Math.floor(issuedAtMs / 1000) })
    signed += `.${Buffer.from(issue).toString('base64')}`
  }
  return `${signed}.${signature(signed, secret)}`
}

/** Hex SHA-256 of the payload's UTF-8. */
export function payloadHash(payload: string | Uint8Array): string {
  return createHash('sha256').update(payload).digest('hex')
}

/**
 * In this order: size and segments, signature, encoding, claims.
 *
 * @throws TokenRefused `TOKEN_MALFORMED` or `TOKEN_SIGNATURE`, alike for every cause of either.
 */
export function openToken(
  text: unknown,
  keys: TokenKeys,
  { withIssueTime }: Pick<TokenForm, 'withIssueTime'>,
): OpenedToken {
  if (typeof text !== 'string' || text.length > MAX_TOKEN_BYTES) throw malformed()
  if (Buffer.byteLength(text) > MAX_TOKEN_BYTES) throw malformed()
  const segments = text.split('.')
  if (segments.length !== 2 && !(withIssueTime && segments.length === 3)) throw malformed()
  if (segments.includes('')) throw malformed()
  const end = text.lastIndexOf('.')
  assertSigned(text.slice(0, end), text.slice(end + 1), keys.secrets)
  const [body = '', issue] = segments
  if (segments.length === 3 && !isIssueTime(issue)) throw malformed()
  return openBody(body, keys.gatewayKey)
}

function openBody(body: string, gatewayKey: KeyObject | undefined): OpenedToken {
  const bytes = fromBase64(body)
  if (bytes === undefined) throw malformed()
  // Sealed bytes are as good as random: they are no JSON, and never will be by chance.
  const plain = parseClaims(bytes)
  if (plain !== undefined) return plain
  const opened = gatewayKey && openPayload(bytes, gatewayKey)
  const claims = opened && parseClaims(opened)
  if (claims === undefined) throw malformed()
  return claims
}

function parseClaims(bytes: Uint8Array): OpenedToken | undefined {
  const payload = utf8(bytes)
  const parsed = TokenClaims.safeParse(payload === undefined ? undefined : json(payload))
  if (payload === undefined || !parsed.success) return undefined
  const issuedAtMs = parseInstant(parsed.data.issued_at)
  const expiresAtMs = parseInstant(parsed.data.expires_at)
  if (issuedAtMs === undefined || expiresAtMs === undefined) return undefined
  const hash = payloadHash(bytes)
  return { claims: parsed.data, payload, payloadHash: hash, issuedAtMs, expiresAtMs }
}

/** Every secret is tried, whichever matches, so that time does not tell which one it was. */
function assertSigned(signed: string, given: string, secrets: readonly TokenSecret[]): void {
  const presented = Buffer.from(given)
  let matches = false
  for (const secret of secrets) {
    const expected = Buffer.from(signature(signed, secret), 'latin1')
    if (presented.length === expected.length && timingSafeEqual(presented, expected)) matches = true
  }
  if (!matches) throw new TokenRefused('TOKEN_SIGNATURE')
}

function signature(signed: string, secret: TokenSecret): string {
  return createHmac('sha256', secret).update(signed).digest('hex')
}

function isIssueTime(segment = ''): boolean {
  const bytes = fromBase64(segment)
  const text = bytes && utf8(bytes)
  const value = text === undefined ? undefined : json(text)
  if (typeof value !== 'object' || value === null) return false
  return 'iat' in value && Number.isSafeInteger(value.iat)
}

/** Buffer.from skips what is no base64, and so would read many texts as the same bytes. */
function fromBase64(text: string): Uint8Array | undefined {
  if (!BASE64.test(text)) return undefined
  const bytes = Buffer.from(text, 'base64')
  return bytes.toString('base64') === text ? bytes : undefined
}

function utf8(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return undefined
  }
}

function json(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function malformed(): TokenRefused {
  return new TokenRefused('TOKEN_MALFORMED')
}
