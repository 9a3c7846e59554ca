/**
 * The gateway door of the SDK. Loading it loads `node:` modules and the version, nothing else.
 *
 * @module
 */
export type { TxnToken } from '../vault/txn-token.ts'
export { sleep } from '../vault/wait.ts'
export type { JobHandle, JobResponse, JobStatus, ProxyResponse } from './answers.ts'
export { type CallOptions, GatewayClient, type TokenOptions, type WaitOptions } from './client.ts'
export { extractCorrelationId, generateCorrelationId, type HeaderSource } from './correlation.ts'
export type { Environment } from './environment.ts'
export {
  GatewayAuthError,
  GatewayError,
  type GatewayErrorFields,
  type GatewayErrorOptions,
  GatewayNetworkError,
  GatewayPolicyError,
  GatewayRateLimitError,
  GatewayTokenError,
  GatewayUpstreamError,
} from './errors.ts'
export {
  generateIdempotencyKey,
  generateIdempotencyKeyFromData,
  type IdempotencyKeyForm,
} from './idempotency.ts'
export type { GatewayLogEntry, GatewayLogger, GatewayOperation } from './log.ts'
export type { GatewayClientOptions, TokenRotation } from './options.ts'
export { createErrorFromResponse } from './response-error.ts'
export {
  calculateDelay,
  isRetryableError,
  type Retry,
  type RetryOptions,
  withRetry,
} from './retry.ts'
export type { ToolParams } from './tool-params.ts'
export type { Fetch } from './transport.ts'
