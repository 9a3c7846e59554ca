/** API keys: `keyid.secret`, the secret known to us only as a keyed hash. Pure parts. */
import { randomFillSync } from 'node:crypto'
import { VestryError } from '@vestry/contract/errors'
import { randomHex } from '@vestry/contract/ids'
import { encodeBase64UrlBytes } from '../seal/bytes-text.ts'
import { Secret, unpooled } from '../seal/secret.ts'
import type { OperatorRole } from './operator.ts'

export interface ApiKey {
  /** The `keyid` half; not a secret. */
  readonly id: string
  readonly name: string
  /** `agent` exactly when the key acts as one agent. */
  readonly role: OperatorRole | 'agent'
  readonly agentId?: string
  readonly status: 'enabled' | 'revoked'
  /** Epoch ms. */
  readonly createdAt: number
  readonly expiresAt?: number
}

/** Of the key that is made on first start. */
export const FIRST_KEY_NAME = 'first admin key'
/** 256 random bits as base64url. */
const SECRET_CHARS = 43
const TOKEN = /^(key_[0-9a-f]{16})\.([A-Za-z0-9_-]{43})$/
const SCHEME = /^Bearer +(\S+)$/i
const MAX_TOKEN = 256
const NAME = /^[^\p{C}]{1,128}$/u

export interface MintedKey {
  id: string
  /** `keyid.secret` as ASCII; shown once, then disposed of by its owner. */
  token: Secret
  /** The secret half as ASCII, borrowed from `token`. */
  secret: Uint8Array
}

export function mintKey(): MintedKey {
  const id = `key_${randomHex(8)}`
  const raw = randomFillSync(unpooled(32))
  const secret = encodeBase64UrlBytes(raw)
  raw.fill(0)
  const text = unpooled(id.length + 1 + SECRET_CHARS)
  text.set(Buffer.from(`${id}.`))
  text.set(secret, id.length + 1)
  secret.fill(0)
  return { id, token: Secret.own(text), secret: text.subarray(id.length + 1) }
}

/** The two halves of a token, or undefined for anything else. */
export function splitToken(token: string): { id: string; secret: string } | undefined {
  const [, id, secret] = TOKEN.exec(token) ?? []
  return id === undefined || secret === undefined ? undefined : { id, secret }
}

/** The token of an `Authorization` header, or undefined for another scheme or a longer one. */
export function bearerToken(header: string | undefined, maxChars = MAX_TOKEN): string | undefined {
  const token = header === undefined ? undefined : SCHEME.exec(header)?.[1]
  return token !== undefined && token.length <= maxChars ? token : undefined
}

/** @throws VestryError `INVALID_PARAMS` */
export function assertKeyName(name: string): void {
  if (!NAME.test(name))
    throw new VestryError('INVALID_PARAMS', 'name: expected 1 to 128 printable characters')
}
