/** From a reply's error member, or a code of ours, to the error class a caller catches. */
import { ERRORS, type ErrorCode } from '@vestry/contract/errors'
import {
  AccessDenied,
  AuthError,
  type CodedErrorOptions,
  CredentialNotFound,
  LeaseExpired,
  RateLimited,
  SessionExpired,
  VaultError,
  VaultLocked,
} from './errors.ts'

type ErrorClass = new (message?: string, options?: CodedErrorOptions) => VaultError

const CLASSES: ReadonlyMap<string, ErrorClass> = new Map<string, ErrorClass>([
  ['AUTH_FAILED', AuthError],
  ['ACCESS_DENIED', AccessDenied],
  ['CREDENTIAL_NOT_FOUND', CredentialNotFound],
  ['VAULT_LOCKED', VaultLocked],
  ['LEASE_EXPIRED', LeaseExpired],
  ['RATE_LIMITED', RateLimited],
  ['SESSION_EXPIRED', SessionExpired],
])

/** The error for a code of ours, in its own class, with the code's stable message. */
export function vaultError(
  code: ErrorCode,
  detail: string,
  options: CodedErrorOptions = {},
): VaultError {
  return build(code, ERRORS[code].message, { ...options, detail })
}

/**
 * The error a reply carries. A missing code reads as `INTERNAL_ERROR`, a missing message as
 * "Unknown error"; plain text (old daemons) becomes code `UNKNOWN`; an unknown code keeps its text.
 */
export function errorFromWire(error: unknown): VaultError {
  if (typeof error === 'string') return new VaultError(error, { code: 'UNKNOWN' })
  const wire = isRecord(error) ? error : {}
  const code = text(wire['code']) ?? 'INTERNAL_ERROR'
  return build(code, text(wire['message']) ?? 'Unknown error', {
    detail: text(wire['detail']),
    suggestion: text(wire['suggestion']),
    docsUrl: text(wire['docs_url']),
    context: isRecord(wire['context']) ? wire['context'] : {},
  })
}

/** Throws the error of a reply; returns when there is none. */
export function raiseOnError(reply: { error?: unknown }): void {
  if (reply.error !== undefined && reply.error !== null) throw errorFromWire(reply.error)
}

function build(code: string, message: string, options: CodedErrorOptions): VaultError {
  const Class = CLASSES.get(code)
  return Class ? new Class(message, options) : new VaultError(message, { ...options, code })
}

function text(value: unknown): string | null {
  return typeof value === 'string' ? value : null
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
