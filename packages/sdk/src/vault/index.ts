/**
 * The vault door of the SDK. Loading it loads `node:` modules and the error table, nothing else.
 *
 * @module
 */
export type { Authentication, SessionInfo } from './authenticate.ts'
export {
  type ListOptions,
  type RequestOptions,
  type RetrieveOptions,
  SanctumClient,
  type UseOptions,
} from './client.ts'
export { type CallOptions, type OpenOptions, RpcConnection } from './connection.ts'
export {
  AccessDenied,
  AuthError,
  type CodedErrorOptions,
  CredentialNotFound,
  LeaseExpired,
  RateLimited,
  SessionExpired,
  VaultError,
  type VaultErrorCode,
  type VaultErrorOptions,
  VaultLocked,
} from './errors.ts'
export { decodeFrame, encodeFrame, FrameReader, MAX_FRAME_BYTES, type Message } from './frame.ts'
export { encryptKey, type KeyOptions, loadKey, type Passphrase } from './key-file.ts'
export type {
  CipherOptions,
  DecryptOptions,
  HeaderOptions,
  HttpRequest,
  SignOptions,
} from './operations.ts'
export type { ClientOptions } from './options.ts'
export type {
  AccessCheck,
  CredentialEntry,
  DecryptResult,
  EncryptResult,
  HttpHeaderResult,
  HttpResult,
  LeaseInfo,
  LeaseStatus,
  RetrieveResult,
  SignResult,
  Status,
  UseResult,
  WhoAmI,
} from './results.ts'
export type { ReconnectPolicy } from './retry.ts'
export type { Signer } from './signer.ts'
export type { Target } from './target.ts'
export type { TxnToken } from './txn-token.ts'
export { raiseOnError } from './wire-error.ts'
