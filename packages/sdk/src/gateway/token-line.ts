/**
 * A token and its successors: who asks for the line gets the one that is current. Fetches at most one
 * replacement at a time, however many calls ask for it.
 */
import type { TokenRequest } from './token.ts'

export interface Minted {
  readonly token: string
  /** By this machine's clock. */
  readonly expiresAtMs: number
}

export interface LineDeps {
  mint: (request: TokenRequest) => Promise<Minted>
  now: () => number
  /** Told of every replacement, not of a line's first token. */
  onRotated: (rotated: { line: TokenLine; previous: string; minted: Minted }) => void
  /** A replacement in the background failed; the current token stays in use. */
  onRotationFailed: (error: unknown) => void
}

/** A token of five minutes or less is always "about to expire": replace it no faster than this. */
const LEAST_ROTATION_MS = 30_000

export class TokenLine {
  readonly #request: TokenRequest
  readonly #deps: LineDeps
  #current: Minted | undefined
  /** The current token will not be accepted again. */
  #spent = false
  #renewing: Promise<Minted> | undefined
  #rotatedAtMs = Number.NEGATIVE_INFINITY

  constructor(request: TokenRequest, deps: LineDeps, current?: Minted) {
    this.#request = request
    this.#deps = deps
    this.#current = current
  }

  /** The current token, if it has at least `marginMs` left. */
  usable(marginMs: number): string | undefined {
    if (this.#current === undefined || this.#spent) return undefined
    const leftMs = this.#current.expiresAtMs - this.#deps.now()
    return leftMs > marginMs ? this.#current.token : undefined
  }

  /** A new current token. Callers at the same time share one request. */
  renew(): Promise<Minted> {
    this.#renewing ??= this.#replace().finally(() => {
      this.#renewing = undefined
    })
    return this.#renewing
  }

  /** The token to use instead of one that was refused: somebody may have renewed it already. */
  async insteadOf(refused: string): Promise<string> {
    if (this.#current !== undefined && this.#current.token !== refused && !this.#spent) {
      return this.#current.token
    }
    return (await this.renew()).token
  }

  /** Never hand this token out again. */
  discard(token: string): void {
    if (this.#current?.token === token) this.#spent = true
  }

  /** Fetches a replacement for a token that still works, without anybody waiting for it. */
  rotate(used: string): void {
    if (this.#current?.token !== used || this.#renewing !== undefined) return
    if (this.#deps.now() - this.#rotatedAtMs < LEAST_ROTATION_MS) return
    this.renew().catch(this.#deps.onRotationFailed)
  }

  async #replace(): Promise<Minted> {
    const previous = this.#current?.token
    const minted = await this.#deps.mint(this.#request)
    this.#current = minted
    this.#spent = false
    if (previous !== undefined) {
      this.#rotatedAtMs = this.#deps.now()
      this.#deps.onRotated({ line: this, previous, minted })
    }
    return minted
  }
}
