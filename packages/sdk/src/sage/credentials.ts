/** The two tokens of one gateway request: who calls, and what its run may do. Prints masked, always. */
import { inspectHook, mask } from './mask.ts'

export class GatewayCredentials {
  readonly #spiffeJwt: string
  readonly #trat: string

  /** Both are empty in direct mode. */
  constructor(tokens: { spiffeJwt: string; trat: string }) {
    this.#spiffeJwt = tokens.spiffeJwt
    this.#trat = tokens.trat
  }

  /** The JWT-SVID as it goes into `Authorization: Bearer`. Do not log it. */
  get spiffeJwt(): string {
    return this.#spiffeJwt
  }

  /** The transaction token as it goes into `Txn-Token`. Do not log it. */
  get trat(): string {
    return this.#trat
  }

  toString(): string {
    return `GatewayCredentials(spiffeJwt=${mask(this.#spiffeJwt)}, trat=${mask(this.#trat)})`
  }

  toJSON(): string {
    return this.toString()
  }

  [inspectHook](): string {
    return this.toString()
  }
}
