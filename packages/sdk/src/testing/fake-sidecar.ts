/** The auth sidecar in this process: hands out signed transaction tokens on a Unix socket. */
import type { TransactionToken } from '../sage/transaction-token.ts'
import { asyncDispose } from '../vault/async-dispose.ts'
import { listen, respond, respondError, type SocketServer } from './socket-server.ts'
import type { SignedTratOptions, TestIssuer } from './tokens.ts'

export interface FakeSidecarOptions {
  readonly socketPath: string
  readonly issuer: TestIssuer
  /** What the tokens say. */
  readonly trat?: SignedTratOptions
}

export class FakeSidecar {
  readonly socketPath: string
  /** How many tokens were asked for. */
  requests = 0
  /** What the next tokens say; may be changed at any time. */
  trat: SignedTratOptions
  /** Set: every request is answered so. */
  failure: { status: number; code: string; message: string } | undefined
  readonly #issuer: TestIssuer
  #server: SocketServer | undefined

  constructor({ socketPath, issuer, trat = {} }: FakeSidecarOptions) {
    this.socketPath = socketPath
    this.#issuer = issuer
    this.trat = trat
  }

  /** A token as the sidecar would hand it out now. */
  issue(): TransactionToken {
    return this.#issuer.trat(this.trat)
  }

  async start(): Promise<this> {
    this.#server = await listen(this.socketPath, (request, response) => {
      if (request.url === '/health') return respond(response, 200, '{"status":"ok"}')
      if (request.url !== '/trat') {
        return respondError(response, 404, 'route_not_found', 'There is no such route.')
      }
      this.requests += 1
      const { failure } = this
      if (failure) return respondError(response, failure.status, failure.code, failure.message)
      const headers = { 'content-type': 'application/jwt', 'cache-control': 'no-store' }
      respond(response, 200, this.issue().raw, headers)
    })
    return this
  }

  async close(): Promise<void> {
    await this.#server?.close()
  }

  async [asyncDispose](): Promise<void> {
    await this.close()
  }
}
