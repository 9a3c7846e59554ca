/**
 * What a token says about itself, as far as it can be read: the age rule and the claims a replacement
 * has to repeat. Nothing here proves a token; only the gateway can.
 */
import { GatewayTokenError } from './errors.ts'

/** Older tokens are refused, to force the habit of rotating them. */
export const MAX_TOKEN_AGE_MS = 24 * 60 * 60 * 1000

/** What a token is asked for. */
export interface TokenRequest {
  readonly tools: readonly string[]
  readonly permissions: readonly string[]
  readonly ttlMinutes: number
}

export interface TokenClaims extends TokenRequest {
  readonly agentId: string
  readonly expiresAtMs: number
}

/** @throws GatewayTokenError when the token says it was issued more than 24 hours ago. */
export function checkTokenAge(token: string, nowMs: number): void {
  const issuedAtMs = issuedAtOf(token)
  if (issuedAtMs === undefined || nowMs - issuedAtMs <= MAX_TOKEN_AGE_MS) return
  throw new GatewayTokenError('The token was issued more than 24 hours ago: get a new one')
}

/** The claims of a token in plain form; undefined for a sealed one and for text that is no token. */
export function claimsOf(token: string): TokenClaims | undefined {
  const claims = segmentOf(token, 0)
  const { agent_id: agentId, tools, permissions } = claims ?? {}
  const expiresAtMs = instantOf(claims?.['expires_at'])
  const issuedAtMs = instantOf(claims?.['issued_at'])
  if (typeof agentId !== 'string' || !areTexts(tools) || !areTexts(permissions)) return undefined
  if (expiresAtMs === undefined || issuedAtMs === undefined) return undefined
  const ttlMinutes = (expiresAtMs - issuedAtMs) / 60_000
  return ttlMinutes > 0 ? { agentId, tools, permissions, expiresAtMs, ttlMinutes } : undefined
}

/** Milliseconds since the epoch; undefined for anything but a date as text. */
export function instantOf(value: unknown): number | undefined {
  const ms = typeof value === 'string' ? Date.parse(value) : Number.NaN
  return Number.isFinite(ms) ? ms : undefined
}

/** `issued_at` of the first segment, or else `iat` (seconds) of the second. */
function issuedAtOf(token: string): number | undefined {
  const issuedAtMs = instantOf(segmentOf(token, 0)?.['issued_at'])
  if (issuedAtMs !== undefined) return issuedAtMs
  const iat = segmentOf(token, 1)?.['iat']
  return typeof iat === 'number' && Number.isFinite(iat) ? iat * 1000 : undefined
}

/** A segment that is base64 (either alphabet) of a JSON object. */
function segmentOf(token: string, index: number): Record<string, unknown> | undefined {
  const segment = token.split('.', index + 1)[index]
  if (segment === undefined) return undefined
  try {
    const value: unknown = JSON.parse(Buffer.from(segment, 'base64').toString('utf8'))
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value)
    return isObject ? (value as Record<string, unknown>) : undefined // just checked
  } catch {
    return undefined
  }
}

function areTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string')
}
