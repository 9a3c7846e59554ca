/**
 * Tokens whose signature was checked, under the SHA-256 of their text until they expire. Only what can never
 * change about a token is kept: time, audience, run and agent are looked at with each use.
 */
import { hash } from 'node:crypto'
import { RecentMap } from '../../store/recent-map.ts'

const REMEMBERED = 4_096
/** Longer ones are read anew each time, so that full memory has a bound in bytes too. */
const MAX_CHARS = 8_192

export class VerifiedTokens<T> {
  readonly #known = new RecentMap<string, { value: T; expiresAtMs: number }>(REMEMBERED)
  #version = ''

  /** @param version Of the keys: what was verified with others counts no more. */
  get(tokenHash: string, version: string, nowMs: number): T | undefined {
    if (version !== this.#version) {
      this.#known.clear()
      this.#version = version
    }
    const found = this.#known.get(tokenHash)
    return found !== undefined && nowMs < found.expiresAtMs ? found.value : undefined
  }

  keep(text: string, tokenHash: string, version: string, value: T, expiresAtMs: number): void {
    if (text.length > MAX_CHARS || version !== this.#version) return
    this.#known.set(tokenHash, { value, expiresAtMs })
  }

  drop(): void {
    this.#known.clear()
  }
}

/** Hex. */
export function sha256(text: string): string {
  return hash('sha256', text)
}
