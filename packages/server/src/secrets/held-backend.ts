/** A back end and who is using it: one that was replaced is closed when the last of them has finished. */
import type { SecretBackend } from './backend.ts'

export class HeldBackend {
  readonly backend: SecretBackend
  #users = 0
  #retired = false
  #closed: Promise<void> | undefined

  constructor(backend: SecretBackend) {
    this.backend = backend
  }

  get isRetired(): boolean {
    return this.#retired
  }

  /** Dispose it when done. */
  hold(): Disposable {
    this.#users += 1
    return {
      [Symbol.dispose]: () => {
        this.#users -= 1
        if (this.#users === 0 && this.#retired) this.#close()
      },
    }
  }

  /** No new users will come. */
  retire(): void {
    this.#retired = true
    if (this.#users === 0) this.#close()
  }

  /** Now, whoever is using it: sealed, or stopping. */
  async end(): Promise<void> {
    this.#retired = true
    this.#close()
    await this.#closed
  }

  #close(): void {
    this.#closed ??= this.backend.close().catch(() => undefined)
  }
}
