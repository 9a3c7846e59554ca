/**
 * The trust bundle of another issuer of SVIDs in our trust domain, from a file or an address (sage contract §6.2).
 * Read again when its refresh hint has passed and when a key is unknown; an old one counts for an hour more, and
 * then nothing does.
 */
import { createPublicKey, type KeyObject } from 'node:crypto'
import { VestryError } from '@vestry/contract/errors'
import { fits, isJsonObject, isJwsAlgorithm, type JwsAlgorithm, SVID_ALGORITHMS } from './jws.ts'

export interface ForeignKey {
  /** undefined: its issuer names no keys. */
  readonly kid: string | undefined
  readonly key: KeyObject
  readonly algs: readonly JwsAlgorithm[]
}

export interface ExternalBundleDeps {
  /** The bundle's text; bounded in time and size by who supplies it. */
  readonly load: () => Promise<string>
  /** Epoch ms. */
  readonly now: () => number
}

/** A kid that nobody has must not make us read all day. */
const UNKNOWN_KEY_EVERY_MS = 10_000
const STALE_MS = 3_600_000
const DEFAULT_HINT_SECONDS = 300
const MIN_HINT_SECONDS = 10
const MAX_HINT_SECONDS = 86_400
const MAX_KEYS = 256

interface Loaded {
  readonly keys: readonly ForeignKey[]
  readonly readAtMs: number
  readonly hintMs: number
}

export class ExternalBundle {
  readonly #deps: ExternalBundleDeps
  #loaded: Loaded | undefined
  #loading: Promise<void> | undefined
  #triedAtMs = Number.NEGATIVE_INFINITY
  #version = 0

  constructor(deps: ExternalBundleDeps) {
    this.#deps = deps
  }

  /**
   * Of the content that counts now: changes with every content that was read, and when the last one is too old. What
   * is due is read again behind the scenes, so that who remembers what this content verified learns of its end.
   */
  current(): number | undefined {
    const { due, over } = this.#age()
    if (over) return undefined
    if (due) void this.#refresh()
    return this.#version
  }

  /** @throws VestryError `IDENTITY_INVALID` when there is no bundle, or only one that is too old. */
  async keys(): Promise<readonly ForeignKey[]> {
    const age = this.#age()
    if (age.over) await this.#refresh()
    else if (age.due) void this.#refresh()
    if (this.#loaded === undefined || this.#age().over) {
      throw new VestryError('IDENTITY_INVALID', 'The trust bundle cannot be read', {
        hint: 'Ask an operator to check identity.bundle_file or identity.bundle_url',
      })
    }
    return this.#loaded.keys
  }

  /** Looks once more for a key that is not there, at most every ten seconds. */
  async lookAgain(): Promise<void> {
    if (this.#deps.now() - this.#triedAtMs >= UNKNOWN_KEY_EVERY_MS) await this.#refresh()
    else await this.#loading
  }

  #age(): { due: boolean; over: boolean } {
    if (this.#loaded === undefined) return { due: true, over: true }
    const { readAtMs, hintMs } = this.#loaded
    const age = Math.abs(this.#deps.now() - readAtMs)
    return { due: age >= hintMs, over: age >= hintMs + STALE_MS }
  }

  /** One at a time. A failure leaves what is there. */
  async #refresh(): Promise<void> {
    if (this.#loading !== undefined) return this.#loading
    const nowMs = this.#deps.now()
    const failed = this.#triedAtMs > (this.#loaded?.readAtMs ?? Number.NEGATIVE_INFINITY)
    if (failed && nowMs - this.#triedAtMs < UNKNOWN_KEY_EVERY_MS) return
    this.#triedAtMs = nowMs
    this.#loading = this.#deps
      .load()
      .then((text) => {
        this.#loaded = { ...readBundle(text), readAtMs: nowMs }
        this.#version += 1
      })
      .catch(() => undefined)
      .finally(() => {
        this.#loading = undefined
      })
    return this.#loading
  }
}

/** @throws Error for what is no JWK Set; single keys that cannot be used are skipped, as the standard says. */
export function readBundle(text: string): Omit<Loaded, 'readAtMs'> {
  const set: unknown = JSON.parse(text)
  if (!isJsonObject(set) || !Array.isArray(set['keys'])) throw new TypeError('not a JWK Set')
  const given = set['spiffe_refresh_hint']
  const hint = typeof given === 'number' && given > 0 ? given : DEFAULT_HINT_SECONDS
  const keys = set['keys'].slice(0, MAX_KEYS).flatMap((jwk: unknown) => readKey(jwk) ?? [])
  return { keys, hintMs: Math.min(Math.max(hint, MIN_HINT_SECONDS), MAX_HINT_SECONDS) * 1_000 }
}

function readKey(jwk: unknown): ForeignKey | undefined {
  if (!isJsonObject(jwk) || jwk['use'] !== 'jwt-svid') return undefined
  const { kid, alg } = jwk
  if (kid !== undefined && typeof kid !== 'string') return undefined
  if (alg !== undefined && !SVID_ALGORITHMS.has(String(alg))) return undefined
  try {
    // The private members of a bundle that holds some by mistake are left out.
    const { kty, crv, x, y, n, e } = jwk
    const key = createPublicKey({ key: { kty, crv, x, y, n, e } as never, format: 'jwk' })
    const wanted = alg === undefined ? [...SVID_ALGORITHMS] : [String(alg)]
    const algs = wanted.filter((name) => isJwsAlgorithm(name)).filter((name) => fits(name, key))
    return algs.length === 0 ? undefined : { kid, key, algs }
  } catch {
    return undefined
  }
}
