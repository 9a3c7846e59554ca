/** What a chat model or an embeddings client needs to know of the way to a provider. */
import type { GatewayCredentials } from './credentials.ts'
import type { GatewayResponse, GatewayStream } from './http/response.ts'
import type { TransactionToken } from './transaction-token.ts'

export interface GatewayCallOptions {
  /** Sent as `X-Provider`. */
  provider: string
  /** Further headers, e.g. `X-Sage-Category`. */
  headers?: Readonly<Record<string, string>> | undefined
  /** Sent as JSON; bytes are sent as they are. */
  body?: unknown
  signal?: AbortSignal | undefined
  /** Longest silence on the connection. */
  timeoutMs?: number | undefined
  /** Longest time for the whole call, attempts and pauses included. */
  deadlineMs?: number | undefined
}

export interface GatewayClient {
  /** False when providers are called directly with their keys. */
  readonly isGatewayMode: boolean

  /**
   * The tokens for one attempt, fresh enough to be used now; empty ones in direct mode.
   *
   * @throws SpiffeAuthError, TraTAcquisitionError, TraTExpiredError
   */
  getCredentials(options?: { signal?: AbortSignal | undefined }): Promise<GatewayCredentials>

  /** `unix://<absolute path>` or `http://host:port/…`; in direct mode the provider's base URL. */
  getEndpoint(provider: string): string

  /** The current transaction token; undefined in direct mode. */
  getTrat(options?: { signal?: AbortSignal | undefined }): Promise<TransactionToken | undefined>

  /**
   * Direct mode only.
   *
   * @throws ConfigurationError when the key is not set.
   */
  getApiKey?(provider: string): string

  /**
   * Gateway mode only: sends with fresh credentials at every attempt and repeats what may succeed.
   *
   * @returns The answer with status 200.
   * @throws SageSanctumError of the class that fits the server's code; the signal's own reason.
   */
  request?(method: string, path: string, options: GatewayCallOptions): Promise<GatewayResponse>

  /** The same for a streamed answer; repeats only while no byte of the body was delivered. */
  requestStream?(method: string, path: string, options: GatewayCallOptions): Promise<GatewayStream>

  /** Gateway mode only: one attempt at the gateway's health; every failure is false. */
  checkHealth?(options?: {
    timeoutMs?: number | undefined
    signal?: AbortSignal | undefined
  }): Promise<boolean>

  /** Forgets cached tokens. */
  invalidate(): void
}
