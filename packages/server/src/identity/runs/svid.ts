/** JWT-SVIDs: made for our agents, and verified step by step as sage contract §18.2 orders it. */
import { VestryError } from '@vestry/contract/errors'
import type { ExternalBundle, ForeignKey } from './external-bundle.ts'
import {
  isJwsAlgorithm,
  type JsonObject,
  type JwsAlgorithm,
  type ParsedJws,
  parseJws,
  SVID_ALGORITHMS,
  signJws,
  verifyJws,
} from './jws.ts'
import type { RunKeys } from './run-keys.ts'
import { parseSpiffeId } from './spiffe-id.ts'
import { sha256, VerifiedTokens } from './verified-tokens.ts'

export interface SvidDeps {
  readonly keys: RunKeys
  /** Another issuer of our trust domain. */
  readonly external?: ExternalBundle | undefined
  readonly trustDomain: string
  readonly leewaySeconds: number
  /** Epoch ms. */
  readonly now: () => number
}

export interface IssuedToken {
  readonly token: string
  /** Epoch ms. */
  readonly issuedAtMs: number
  readonly expiresAtMs: number
}

export interface VerifiedSvid {
  readonly spiffeId: string
  /** Epoch ms, without the leeway. */
  readonly expiresAtMs: number
}

interface Claims extends VerifiedSvid {
  readonly audiences: readonly string[]
  /** Epoch ms before which it does not count. */
  readonly notBeforeMs: number
}

/** Seconds. */
export const MAX_SVID_TTL = 3_600
const MAX_CHARS = 16_384
const HEADER_MEMBERS: ReadonlySet<string> = new Set(['alg', 'kid', 'typ'])
const BEARER = /^bearer(?: +(.*))?$/i

export class Svids {
  readonly #deps: SvidDeps
  readonly #verified = new VerifiedTokens<Claims>()

  constructor(deps: SvidDeps) {
    this.#deps = deps
  }

  /** @param ttlSeconds At most {@link MAX_SVID_TTL}. @throws VestryError `VAULT_LOCKED` */
  issue(spiffeId: string, audience: string, ttlSeconds: number): IssuedToken {
    const { keys, now } = this.#deps
    const { kid, alg, privateKey } = keys.signing('svid')
    const iat = Math.floor(now() / 1_000)
    const exp = iat + Math.min(ttlSeconds, MAX_SVID_TTL)
    const claims = { sub: spiffeId, aud: [audience], iat, exp }
    const token = signJws(alg, privateKey, { kid, typ: 'JWT' }, claims)
    return { token, issuedAtMs: iat * 1_000, expiresAtMs: exp * 1_000 }
  }

  /**
   * @param authorization Every header of that name.
   * @throws VestryError `IDENTITY_MISSING`, `IDENTITY_INVALID`, `IDENTITY_EXPIRED`; `VAULT_LOCKED`
   */
  async verifyHeader(authorization: readonly string[], audience: string): Promise<VerifiedSvid> {
    const [header, ...more] = authorization
    if (header === undefined) throw new VestryError('IDENTITY_MISSING')
    if (more.length > 0) throw invalid('There is more than one Authorization header')
    const found = BEARER.exec(header.trim())
    const token = found?.[1]?.trim()
    if (token === undefined || token === '')
      throw new VestryError('IDENTITY_MISSING', 'Authorization holds no bearer token')
    return this.verify(token, audience)
  }

  /** The token alone. */
  async verify(token: string, audience: string): Promise<VerifiedSvid> {
    const { keys, external, now } = this.#deps
    if (token.length > MAX_CHARS) throw invalid('Identity token is too long')
    const tokenHash = sha256(token)
    const version = `${keys.version} ${external?.current() ?? ''}`
    const known = this.#verified.get(tokenHash, version, now())
    const claims = known ?? (await this.#read(token))
    this.#assertTimely(claims)
    if (!claims.audiences.includes(audience))
      throw invalid('Identity token is for another audience')
    if (known === undefined)
      this.#verified.keep(token, tokenHash, version, claims, claims.expiresAtMs + this.#leewayMs)
    return claims
  }

  drop(): void {
    this.#verified.drop()
  }

  get #leewayMs(): number {
    return this.#deps.leewaySeconds * 1_000
  }

  /** Everything about a token that never changes. */
  async #read(token: string): Promise<Claims> {
    const jws = parseJws(token)
    if (jws === undefined) throw invalid('Identity token is malformed')
    const { header, payload } = jws
    const alg = checkHeader(header)
    const id = parseSpiffeId(payload['sub'])
    if (id === undefined) throw invalid('sub of the identity token is no SPIFFE ID')
    if (id.trustDomain !== this.#deps.trustDomain)
      throw invalid('Identity token is of another trust domain')
    if (!(await this.#isSigned(jws, alg))) throw invalid('Identity token has no valid signature')
    const { exp, iat, nbf, aud } = payload
    if (!isSeconds(exp)) throw invalid('exp of the identity token is not a number')
    if (!isSecondsOrAbsent(iat) || !isSecondsOrAbsent(nbf))
      throw invalid('iat or nbf of the identity token is not a number')
    const audiences: readonly unknown[] = Array.isArray(aud) ? aud : [aud]
    return {
      spiffeId: String(payload['sub']),
      expiresAtMs: exp * 1_000,
      notBeforeMs: Math.max(iat ?? 0, nbf ?? 0) * 1_000,
      audiences: audiences.filter((one) => typeof one === 'string'),
    }
  }

  /** By our own keys, then by those of the other issuer. */
  async #isSigned(jws: ParsedJws, alg: JwsAlgorithm): Promise<boolean> {
    const { keys, external } = this.#deps
    const kid = jws.header['kid'] as string | undefined // checked with the header
    if (kid === undefined) {
      const own = keys.verification('svid')
      if (own.some((key) => key.alg === alg && verifyJws(alg, key.key, jws))) return true
      return external !== undefined && signedByOne(await external.keys(), jws, alg)
    }
    const own = await keys.seek('svid', kid)
    if (own !== undefined) return own.alg === alg && verifyJws(alg, own.key, jws)
    if (external === undefined) return false
    const named = async () => (await external.keys()).filter((key) => key.kid === kid)
    let candidates = await named()
    if (candidates.length === 0) {
      await external.lookAgain()
      candidates = await named()
    }
    return signedByOne(candidates, jws, alg)
  }

  #assertTimely({ expiresAtMs, notBeforeMs }: Claims): void {
    const nowMs = this.#deps.now()
    if (nowMs >= expiresAtMs + this.#leewayMs) throw new VestryError('IDENTITY_EXPIRED')
    if (notBeforeMs > nowMs + this.#leewayMs) throw invalid('Identity token is not valid yet')
  }
}

function checkHeader(header: JsonObject): JwsAlgorithm {
  const { alg, kid, typ } = header
  const other = Object.keys(header).find((name) => !HEADER_MEMBERS.has(name))
  if (other !== undefined) throw invalid('Identity token has a header member that is not allowed')
  if (!isJwsAlgorithm(alg) || !SVID_ALGORITHMS.has(alg))
    throw invalid('Identity token has an algorithm that is not allowed')
  if (kid !== undefined && typeof kid !== 'string') throw invalid('kid is not a string')
  if (typ !== undefined && typ !== 'JWT' && typ !== 'JOSE')
    throw invalid('Identity token is of another type')
  return alg
}

function signedByOne(keys: readonly ForeignKey[], jws: ParsedJws, alg: JwsAlgorithm): boolean {
  return keys.some(({ algs, key }) => algs.includes(alg) && verifyJws(alg, key, jws))
}

export function isSeconds(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value)
}

function isSecondsOrAbsent(value: unknown): value is number | undefined {
  return value === undefined || isSeconds(value)
}

function invalid(message: string): VestryError {
  return new VestryError('IDENTITY_INVALID', message)
}
