/**
 * What the agent SDK throws. Every class has an exit code, which the runner makes the process's own;
 * every message is redacted when it is made, so that logging an error is always safe.
 */
import { foreignText, redact } from './redact.ts'

/** What an error knows beyond its text. */
export interface SageErrorOptions {
  /** 0 to 255; the class decides otherwise. */
  exitCode?: number | undefined
  /** Whether the same call may succeed later. */
  retryable?: boolean | undefined
  cause?: unknown
  /** HTTP status of the answer behind the error. */
  status?: number | undefined
  /** The server's own code, e.g. `model_not_allowed`. */
  code?: string | undefined
  requestId?: string | undefined
}

/** The base of all errors of the agent SDK. Exit 1 unless a subclass or the thrower says otherwise. */
export class SageSanctumError extends Error {
  /** Of the class; an instance may have its own. */
  static readonly exitCode: number = 1
  readonly exitCode: number
  readonly retryable: boolean
  readonly status: number | undefined
  readonly code: string | undefined
  readonly requestId: string | undefined

  constructor(message: string, options: SageErrorOptions = {}) {
    super(redact(message), options.cause === undefined ? undefined : { cause: options.cause })
    this.name = new.target.name
    this.exitCode = options.exitCode ?? new.target.exitCode
    this.retryable = options.retryable ?? false
    this.status = options.status
    // A server chose these two.
    this.code = options.code && foreignText(options.code)
    this.requestId = options.requestId && foreignText(options.requestId)
  }

  toJSON(): Record<string, unknown> {
    const { name, message, exitCode, retryable, status, code, requestId } = this
    return { name, message, exitCode, retryable, status, code, requestId }
  }
}

/** Identity or token trouble. Exit 10. */
export class AuthError extends SageSanctumError {
  static override readonly exitCode: number = 10
}

/** The SVID file or what is in it. Exit 11. */
export class SpiffeAuthError extends AuthError {
  static override readonly exitCode: number = 11
}

/** No transaction token could be had, or it is malformed. Exit 12. */
export class TraTAcquisitionError extends AuthError {
  static override readonly exitCode: number = 12
}

/** The transaction token is past its end; a newer one may do. Exit 13. */
export class TraTExpiredError extends AuthError {
  static override readonly exitCode: number = 13

  constructor(message: string, options: SageErrorOptions = {}) {
    super(message, { ...options, retryable: options.retryable ?? true })
  }
}

/** Not permitted. Exit 20. */
export class ForbiddenError extends SageSanctumError {
  static override readonly exitCode: number = 20
}

/** The run may not use this model in this category. Exit 21. */
export class ModelNotAuthorizedError extends ForbiddenError {
  static override readonly exitCode: number = 21
}

/** The run lacks a scope. Exit 22. */
export class ScopeNotAuthorizedError extends ForbiddenError {
  static override readonly exitCode: number = 22
}

/** What an error of the gateway call knows beyond the common. */
export interface GatewayErrorOptions extends SageErrorOptions {
  retryAfterSeconds?: number | undefined
  /** A stream that ended before it was complete. */
  truncated?: boolean | undefined
}

/** The statuses that the transport repeats by itself. */
const RETRYABLE_STATUSES: ReadonlySet<number> = new Set([429, 502, 503, 504])

export const isRetryableStatus = (status: number): boolean => RETRYABLE_STATUSES.has(status)

/** The gateway answered badly, too late, or not to the end. Exit 30. */
export class GatewayError extends SageSanctumError {
  static override readonly exitCode: number = 30
  readonly retryAfterSeconds: number | undefined
  readonly truncated: boolean

  constructor(message: string, options: GatewayErrorOptions = {}) {
    const { status } = options
    super(message, {
      ...options,
      retryable: options.retryable ?? (status !== undefined && isRetryableStatus(status)),
    })
    this.retryAfterSeconds = options.retryAfterSeconds
    this.truncated = options.truncated ?? false
  }

  override toJSON(): Record<string, unknown> {
    const { retryAfterSeconds, truncated } = this
    return { ...super.toJSON(), retryAfterSeconds, truncated }
  }
}

/** 429 after all attempts; `retryAfterSeconds` when the server said how long. Exit 31. */
export class RateLimitError extends GatewayError {
  static override readonly exitCode: number = 31

  constructor(message: string, options: GatewayErrorOptions = {}) {
    super(message, {
      ...options,
      status: options.status ?? 429,
      retryable: options.retryable ?? true,
    })
  }
}

/** Nobody listens where the gateway should. Exit 32. */
export class GatewayUnavailableError extends GatewayError {
  static override readonly exitCode: number = 32

  constructor(message: string, options: GatewayErrorOptions = {}) {
    super(message, { ...options, retryable: options.retryable ?? true })
  }
}

/** Something given is not valid. Exit 40. */
export class ValidationError extends SageSanctumError {
  static override readonly exitCode: number = 40
}

/** The repository is missing or is no directory. Exit 41. */
export class InputValidationError extends ValidationError {
  static override readonly exitCode: number = 41
}

/** A path leads out of its root. Exit 42. */
export class PathTraversalError extends ValidationError {
  static override readonly exitCode: number = 42
}

/** Environment, options, or a missing API key. Exit 43. */
export class ConfigurationError extends ValidationError {
  static override readonly exitCode: number = 43
}

/** The report could not be made. Exit 50. */
export class OutputError extends SageSanctumError {
  static override readonly exitCode: number = 50
}

/** Serialising or writing the report failed. Exit 51. */
export class OutputWriteError extends OutputError {
  static override readonly exitCode: number = 51
}

/** The report is not valid SARIF. Exit 52. */
export class SarifValidationError extends OutputError {
  static override readonly exitCode: number = 52
}

/** A model cannot be chosen. Exit 60. */
export class ModelError extends SageSanctumError {
  static override readonly exitCode: number = 60
}

/** The category lists no model, or the gateway knows none by that name. Exit 61. */
export class ModelNotAvailableError extends ModelError {
  static override readonly exitCode: number = 61
}

/** A model reference that cannot be read. Exit 62. */
export class ModelRefParseError extends ModelError {
  static override readonly exitCode: number = 62
}

/** A tool that the agent drives failed. Exit 70. */
export class ExternalToolError extends SageSanctumError {
  static override readonly exitCode: number = 70
}

export interface SubprocessErrorOptions extends SageErrorOptions {
  /** Of the child; 1 when unknown. */
  returncode?: number | undefined
  stderr?: string | undefined
}

/** A child process ended with a code other than 0. Exit 71. */
export class SubprocessError extends ExternalToolError {
  static override readonly exitCode: number = 71
  readonly returncode: number
  readonly stderr: string

  constructor(message: string, options: SubprocessErrorOptions = {}) {
    super(message, options)
    this.returncode = options.returncode ?? 1
    this.stderr = redact(options.stderr ?? '')
  }
}

/** A child process took too long. Exit 72. */
export class SubprocessTimeoutError extends ExternalToolError {
  static override readonly exitCode: number = 72

  constructor(message: string, options: SageErrorOptions = {}) {
    super(message, { ...options, retryable: options.retryable ?? true })
  }
}

/** A tool's output cannot be used. Exit 73. */
export class OutputParseError extends ExternalToolError {
  static override readonly exitCode: number = 73
}
