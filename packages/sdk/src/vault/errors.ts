/**
 * What the vault client throws: one base class and the seven cases a caller branches on. An error
 * never carries a secret; what the daemon said is kept member by member.
 */
import { ERRORS, type ErrorCode } from '@vestry/contract/errors'

/** The codes we name, `UNKNOWN` for a daemon that sends plain text, and whatever a newer daemon sends. */
export type VaultErrorCode = ErrorCode | 'UNKNOWN' | (string & Record<never, never>)

export interface VaultErrorOptions {
  code?: VaultErrorCode
  /** What exactly happened: may name a path, an operation, a host. */
  detail?: string | null
  /** What to do next. */
  suggestion?: string | null
  docsUrl?: string | null
  /** Machine-readable extras, e.g. `request_id`, `retry_after_ms`, `maybe_executed`. */
  context?: Record<string, unknown>
  cause?: unknown
}

/** Branch on `code` or on the class, never on text. `message` is short and stable per code. */
export class VaultError extends Error {
  readonly code: VaultErrorCode
  readonly detail: string | null
  readonly suggestion: string | null
  readonly docsUrl: string | null
  readonly context: Record<string, unknown>

  constructor(message: string, options: VaultErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = new.target.name
    this.code = options.code ?? 'UNKNOWN'
    this.detail = options.detail ?? null
    this.suggestion = options.suggestion ?? null
    this.docsUrl = options.docsUrl ?? null
    this.context = options.context ?? {}
  }

  /** The same link under its wire name. */
  get docs_url(): string | null {
    return this.docsUrl
  }

  toJSON(): Record<string, unknown> {
    const { name, code, message, detail, suggestion, docs_url, context } = this
    return { name, code, message, detail, suggestion, docs_url, context }
  }
}

/** The options of a class that has its code. */
export type CodedErrorOptions = Omit<VaultErrorOptions, 'code'>

/** `AUTH_FAILED`: the daemon did not accept the proof, or the key could not be used. */
export class AuthError extends VaultError {
  constructor(message: string = ERRORS.AUTH_FAILED.message, options: CodedErrorOptions = {}) {
    super(message, { ...options, code: 'AUTH_FAILED' })
  }
}

/** `ACCESS_DENIED`: no policy lets this agent do that. */
export class AccessDenied extends VaultError {
  constructor(message: string = ERRORS.ACCESS_DENIED.message, options: CodedErrorOptions = {}) {
    super(message, { ...options, code: 'ACCESS_DENIED' })
  }
}

/** `CREDENTIAL_NOT_FOUND`: allowed, but nothing is stored under that path. */
export class CredentialNotFound extends VaultError {
  constructor(
    message: string = ERRORS.CREDENTIAL_NOT_FOUND.message,
    options: CodedErrorOptions = {},
  ) {
    super(message, { ...options, code: 'CREDENTIAL_NOT_FOUND' })
  }
}

/** `VAULT_LOCKED`: an operator has to unseal the vault. Never retried by the client. */
export class VaultLocked extends VaultError {
  constructor(message: string = ERRORS.VAULT_LOCKED.message, options: CodedErrorOptions = {}) {
    super(message, { ...options, code: 'VAULT_LOCKED' })
  }
}

/** `LEASE_EXPIRED`: the lease ran out before it was released or renewed. */
export class LeaseExpired extends VaultError {
  constructor(message: string = ERRORS.LEASE_EXPIRED.message, options: CodedErrorOptions = {}) {
    super(message, { ...options, code: 'LEASE_EXPIRED' })
  }
}

/** `RATE_LIMITED`: too many requests. */
export class RateLimited extends VaultError {
  constructor(message: string = ERRORS.RATE_LIMITED.message, options: CodedErrorOptions = {}) {
    super(message, { ...options, code: 'RATE_LIMITED' })
  }

  /** Milliseconds to wait as the daemon says, or undefined when it does not. */
  get retryAfterMs(): number | undefined {
    const ms = this.context['retry_after_ms']
    return typeof ms === 'number' && Number.isFinite(ms) && ms >= 0 ? ms : undefined
  }
}

/** `SESSION_EXPIRED`: authenticate again; the client does so by itself unless told not to. */
export class SessionExpired extends VaultError {
  constructor(message: string = ERRORS.SESSION_EXPIRED.message, options: CodedErrorOptions = {}) {
    super(message, { ...options, code: 'SESSION_EXPIRED' })
  }
}
