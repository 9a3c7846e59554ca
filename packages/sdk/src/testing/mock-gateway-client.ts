/** A gateway client for code that asks who it is and where things are, and sends nothing. */
import { GatewayCredentials } from '../sage/credentials.ts'
import type { GatewayClient } from '../sage/gateway-client.ts'
import type { TransactionToken } from '../sage/transaction-token.ts'

export interface MockGatewayClientOptions {
  /** Default false. */
  readonly isGatewayMode?: boolean
  readonly trat?: TransactionToken
}

const ENDPOINTS: Readonly<Record<string, string>> = {
  openai: 'http://localhost:8080/v1',
  anthropic: 'http://localhost:8080/anthropic',
  google: 'http://localhost:8080/google',
}

export class MockGatewayClient implements GatewayClient {
  readonly isGatewayMode: boolean
  readonly #trat: TransactionToken | undefined

  constructor({ isGatewayMode = false, trat }: MockGatewayClientOptions = {}) {
    this.isGatewayMode = isGatewayMode
    this.#trat = trat
  }

  getCredentials(): Promise<GatewayCredentials> {
    const tokens = { spiffeJwt: 'mock-spiffe-jwt', trat: 'mock-trat-jwt' }
    return Promise.resolve(new GatewayCredentials(tokens))
  }

  /** A provider that nobody knows is at the first one's address. */
  getEndpoint(provider: string): string {
    return ENDPOINTS[provider] ?? 'http://localhost:8080/v1'
  }

  getTrat(): Promise<TransactionToken | undefined> {
    return Promise.resolve(this.#trat)
  }

  invalidate(): void {}
}
