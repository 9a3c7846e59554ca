/** The way through the gateway: every attempt carries the SVID and the transaction token of that moment. */
import { traceHeader } from '../trace.ts'
import { GatewayCredentials } from './credentials.ts'
import {
  type Environment,
  isOn,
  needed,
  socketPath as socketPathOf,
  tcpFallback,
  variable,
} from './environment.ts'
import { ConfigurationError } from './errors.ts'
import type { GatewayCallOptions, GatewayClient } from './gateway-client.ts'
import { GatewayHttpClient, type HttpCallOptions, type HttpClientOptions } from './http/client.ts'
import type { GatewayResponse, GatewayStream } from './http/response.ts'
import { inspectHook } from './mask.ts'
import { JWTSource } from './spiffe.ts'
import type { TransactionToken } from './transaction-token.ts'
import { TransactionTokenClient } from './trat.ts'

/** What the gateway client needs of a source of SVIDs. */
export interface SvidSource {
  getToken(): Promise<string>
  invalidate(): void
}

/** What the gateway client needs of a source of transaction tokens. */
export interface TratSource {
  readonly current?: TransactionToken | undefined
  getToken(options?: { signal?: AbortSignal | undefined }): Promise<TransactionToken>
  /** @param refused The token a server did not take; without it, whatever is held. */
  invalidate(refused?: string): void
}

export interface SpiffeGatewayClientOptions {
  jwtSource: SvidSource
  tratClient: TratSource
  /** The gateway's or the forwarder's Unix socket. */
  socketPath?: string | undefined
  /** Without a socket: where each provider's base URL variable is read from. */
  env?: Environment | undefined
  http?: HttpClientOptions | undefined
}

/** The server says a token ended that looked valid here: a newer one may do, once. */
const STALE: ReadonlySet<string> = new Set(['identity_expired', 'txn_expired'])

export class SpiffeGatewayClient implements GatewayClient {
  readonly isGatewayMode = true
  readonly #jwtSource: SvidSource
  readonly #tratClient: TratSource
  readonly #socketPath: string | undefined
  readonly #env: Environment
  readonly #http: HttpClientOptions
  readonly #clients = new Map<string, GatewayHttpClient>()

  /** @throws ConfigurationError for a socket path that cannot be one, or a base URL that is no http URL. */
  constructor(options: SpiffeGatewayClientOptions) {
    this.#jwtSource = options.jwtSource
    this.#tratClient = options.tratClient
    this.#socketPath =
      options.socketPath === undefined ? undefined : socketPathOf(options.socketPath)
    this.#env = options.env ?? {}
    this.#http = options.http ?? {}
    if (this.#socketPath === undefined) tcpFallback(this.#env, 'openai')
  }

  /**
   * Reads `SPIFFE_JWT_PATH`, `TRAT_FILE`, `AUTH_SIDECAR_SOCKET` and `LLM_GATEWAY_SOCKET`. Opens
   * nothing.
   *
   * @throws ConfigurationError when the SVID's path is missing, and when the socket is missing unless
   *         `SAGE_SANCTUM_ALLOW_TCP` permits plain TCP.
   */
  static fromEnvironment(
    env: Environment = process.env,
    http: HttpClientOptions = {},
  ): SpiffeGatewayClient {
    const jwtPath = needed(env, 'SPIFFE_JWT_PATH')
    const socketPath = variable(env, 'LLM_GATEWAY_SOCKET')
    if (socketPath === undefined && !isOn(env, 'SAGE_SANCTUM_ALLOW_TCP')) {
      throw new ConfigurationError(
        'LLM_GATEWAY_SOCKET is not set: set it, or SAGE_SANCTUM_ALLOW_TCP=1 to use plain TCP',
      )
    }
    const { clock, logger } = http
    return new SpiffeGatewayClient({
      jwtSource: new JWTSource(jwtPath, { clock, logger }),
      tratClient: new TransactionTokenClient({
        file: variable(env, 'TRAT_FILE'),
        sidecarSocket: variable(env, 'AUTH_SIDECAR_SOCKET'),
        clock,
        logger,
        http,
      }),
      socketPath,
      env,
      http,
    })
  }

  async getCredentials(
    options: { signal?: AbortSignal | undefined } = {},
  ): Promise<GatewayCredentials> {
    const spiffeJwt = await this.#jwtSource.getToken()
    const { raw } = await this.#tratClient.getToken(options)
    return new GatewayCredentials({ spiffeJwt, trat: raw })
  }

  getEndpoint(provider: string): string {
    if (this.#socketPath !== undefined) return `unix://${this.#socketPath}`
    return tcpFallback(this.#env, provider).url
  }

  getTrat(options: { signal?: AbortSignal | undefined } = {}): Promise<TransactionToken> {
    return this.#tratClient.getToken(options)
  }

  /** The newest token there was, without asking for one. */
  get currentTrat(): TransactionToken | undefined {
    return this.#tratClient.current
  }

  request(method: string, path: string, options: GatewayCallOptions): Promise<GatewayResponse> {
    const client = this.#client(options.provider)
    return client.request(method, path, { ...this.#call(options), mustSucceed: true })
  }

  requestStream(method: string, path: string, options: GatewayCallOptions): Promise<GatewayStream> {
    return this.#client(options.provider).requestStream(method, path, this.#call(options))
  }

  /** One attempt at the gateway's `GET /health`; every failure is false. */
  checkHealth(
    options: { timeoutMs?: number | undefined; signal?: AbortSignal | undefined } = {},
  ): Promise<boolean> {
    return this.#client('openai').healthCheck(options)
  }

  invalidate(): void {
    this.#jwtSource.invalidate()
    this.#tratClient.invalidate()
  }

  [inspectHook](): string {
    return `SpiffeGatewayClient(${this.getEndpoint('openai')})`
  }

  #call({ provider, headers, ...rest }: GatewayCallOptions): HttpCallOptions {
    let sent: string | undefined
    return {
      ...rest,
      renew: (code) => {
        const isStale = STALE.has(code ?? '')
        if (isStale) this.#jwtSource.invalidate()
        if (isStale) this.#tratClient.invalidate(sent)
        return isStale
      },
      headers: async (signal) => {
        const { spiffeJwt, trat } = await this.getCredentials({ signal })
        sent = trat
        return {
          Authorization: `Bearer ${spiffeJwt}`,
          'Txn-Token': trat,
          'X-Provider': provider,
          ...traceHeader(headers),
          ...headers,
        }
      },
    }
  }

  #client(provider: string): GatewayHttpClient {
    const target =
      this.#socketPath === undefined
        ? tcpFallback(this.#env, provider)
        : { socketPath: this.#socketPath }
    const key = 'socketPath' in target ? 'unix' : `${target.host} ${target.port}`
    const known = this.#clients.get(key)
    if (known !== undefined) return known
    const client =
      'socketPath' in target
        ? new GatewayHttpClient(target, this.#http)
        : new GatewayHttpClient({ host: target.host, port: target.port }, this.#http)
    this.#clients.set(key, client)
    return client
  }
}
