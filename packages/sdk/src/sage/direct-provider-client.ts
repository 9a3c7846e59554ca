/** The way to providers without a gateway, for a developer's own machine: keys from the environment. */
import { DEFAULT_PROVIDER, rowOf } from '../llm/providers/table.ts'
import { GatewayCredentials } from './credentials.ts'
import { directBaseUrl, type Environment, isDirectAllowed, variable } from './environment.ts'
import { ConfigurationError } from './errors.ts'
import type { GatewayClient } from './gateway-client.ts'
import { getLogger, type Logger } from './log.ts'
import { inspectHook } from './mask.ts'

export interface DirectProviderClientOptions {
  /** Where keys and base URLs are read from, at each use. Default `process.env`. */
  env?: Environment | undefined
  /** Permission given in code instead of by `SAGE_SANCTUM_ALLOW_DIRECT`. */
  allowDirect?: boolean | undefined
  logger?: Logger | undefined
}

export class DirectProviderClient implements GatewayClient {
  readonly isGatewayMode = false
  readonly #env: Environment
  readonly #logger: Logger
  readonly #warned = new Set<string>()

  /** @throws ConfigurationError unless direct mode is permitted. */
  constructor(options: DirectProviderClientOptions = {}) {
    this.#env = options.env ?? process.env
    this.#logger = options.logger ?? getLogger('sage_sanctum.direct')
    if (options.allowDirect !== true && !isDirectAllowed(this.#env)) {
      throw new ConfigurationError(
        'Direct provider access is not permitted: set SAGE_SANCTUM_ALLOW_DIRECT=1 on a developer machine',
      )
    }
  }

  getCredentials(): Promise<GatewayCredentials> {
    return Promise.resolve(new GatewayCredentials({ spiffeJwt: '', trat: '' }))
  }

  getEndpoint(provider: string): string {
    return directBaseUrl(this.#env, provider)
  }

  getTrat(): Promise<undefined> {
    return Promise.resolve(undefined)
  }

  /**
   * The provider's key. Do not log it. A provider that is in no table uses OpenAI's, with a warning.
   *
   * @throws ConfigurationError that names the variable when it is not set.
   */
  getApiKey(provider: string): string {
    const row = rowOf(provider)
    if (row === undefined && !this.#warned.has(provider)) {
      this.#warned.add(provider)
      this.#logger.warning('unknown_provider', { provider, treated_as: DEFAULT_PROVIDER.provider })
    }
    const name = (row ?? DEFAULT_PROVIDER).apiKeyVariable
    const key = variable(this.#env, name)?.trim()
    if (key !== undefined && key !== '') return key
    throw new ConfigurationError(`${name} is not set: direct mode needs the key of ${provider}`)
  }

  /** There is nothing cached. */
  invalidate(): void {}

  [inspectHook](): string {
    return 'DirectProviderClient()'
  }
}
