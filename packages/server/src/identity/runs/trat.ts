/** Transaction tokens: written, and verified step by step as sage contract §18.3 orders it, up to the binding. */
import { VestryError } from '@vestry/contract/errors'
import * as z from 'zod'
import { type JsonObject, parseJws, signJws, verifyJws } from './jws.ts'
import type { RequesterContext, Run, TransactionContext } from './run.ts'
import type { RunKeys } from './run-keys.ts'
import { MAX_TRAT_TTL } from './run-registration.ts'
import { type IssuedToken, isSeconds } from './svid.ts'
import { sha256, VerifiedTokens } from './verified-tokens.ts'

export interface TratDeps {
  readonly keys: RunKeys
  readonly trustDomain: string
  readonly issuer: string
  readonly leewaySeconds: number
  /** Epoch ms. */
  readonly now: () => number
}

export interface TratClaims {
  readonly txn: string
  readonly sub: string
  readonly scope: string
  /** SPIFFE ID of the workload that asked for it. */
  readonly req_wl: string
  /** Seconds. */
  readonly iat: number
  readonly exp: number
  readonly tctx: TransactionContext
  readonly rctx: RequesterContext
}

export interface VerifiedTrat {
  readonly claims: TratClaims
  /** Hex SHA-256 of the token. */
  readonly tokenHash: string
}

/** What may differ between the tokens of one run. */
export interface TratContent {
  readonly scope: readonly string[]
  readonly tctx: TransactionContext
  readonly rctx: RequesterContext
  /** Epoch ms; the token ends no later. */
  readonly notAfterMs: number
}

const TYP = 'txntoken+jwt'
const MAX_CHARS = 32_768

const Text = z.string().default('')
const Texts = z.array(z.string()).default([])
/** Unknown members are ignored, as recipients must. */
const Tctx = z.object({
  run_id: Text,
  org_id: Text,
  repo_url: Text,
  agent_type: Text,
  agent_mode: Text,
  allowed_models: z
    .object({ triage: Texts, analysis: Texts, reasoning: Texts, embeddings: Texts })
    .prefault({}),
  allowed_providers: Texts,
  allowed_tools: z.record(z.string(), z.array(z.string())).default({}),
})
const Rctx = z.looseObject({
  trigger: z.string().exactOptional(),
  pr_number: z.number().exactOptional(),
  actor: z.string().exactOptional(),
  source_ip: z.string().exactOptional(),
})

export class Trats {
  readonly #deps: TratDeps
  readonly #verified = new VerifiedTokens<VerifiedTrat>()

  constructor(deps: TratDeps) {
    this.#deps = deps
  }

  /** @throws VestryError `INVALID_GRANT` when nothing is left of the time; `VAULT_LOCKED` */
  issue(run: Run, content: TratContent): IssuedToken {
    const { keys, trustDomain, issuer, now } = this.#deps
    const iat = Math.floor(now() / 1_000)
    const ttl = Math.min(run.tratTtlSeconds, MAX_TRAT_TTL)
    const exp = Math.min(iat + ttl, Math.floor(Math.min(run.expiresAt, content.notAfterMs) / 1_000))
    if (exp <= iat) throw new VestryError('INVALID_GRANT', 'The run is over')
    const { kid, alg, privateKey } = keys.signing('trat')
    const claims = {
      txn: run.id,
      sub: run.sub,
      scope: content.scope.join(' '),
      req_wl: run.spiffeId,
      iat,
      exp,
      aud: trustDomain,
      iss: issuer,
      tctx: content.tctx,
      rctx: content.rctx,
    }
    const token = signJws(alg, privateKey, { typ: TYP, kid }, claims)
    return { token, issuedAtMs: iat * 1_000, expiresAtMs: exp * 1_000 }
  }

  /**
   * @param txnToken Every header of that name.
   * @throws VestryError `TXN_MISSING`, `TXN_INVALID`, `TXN_EXPIRED`; `VAULT_LOCKED`
   */
  async verifyHeader(txnToken: readonly string[]): Promise<VerifiedTrat> {
    const [token, ...more] = txnToken
    if (token === undefined || token.trim() === '') throw new VestryError('TXN_MISSING')
    if (more.length > 0) throw invalid('There is more than one Txn-Token header')
    return this.verify(token.trim())
  }

  /** The token alone. @param leewaySeconds Of its end; the configured one unless told otherwise. */
  async verify(token: string, leewaySeconds = this.#deps.leewaySeconds): Promise<VerifiedTrat> {
    const { keys, now } = this.#deps
    if (token.length > MAX_CHARS) throw invalid('Transaction token is too long')
    const tokenHash = sha256(token)
    const known = this.#verified.get(tokenHash, String(keys.version), now())
    if (known !== undefined) {
      this.#assertTimely(known.claims, leewaySeconds)
      return known
    }
    const payload = await this.#signedPayload(token)
    const times = this.#checkTimes(payload, leewaySeconds)
    const verified = { claims: { ...readClaims(payload), ...times }, tokenHash }
    const endMs = (times.exp + this.#deps.leewaySeconds) * 1_000
    this.#verified.keep(token, tokenHash, String(keys.version), verified, endMs)
    return verified
  }

  drop(): void {
    this.#verified.drop()
  }

  async #signedPayload(token: string): Promise<JsonObject> {
    const { keys, issuer, trustDomain } = this.#deps
    const jws = parseJws(token)
    if (jws === undefined) throw invalid('Transaction token is malformed')
    const { alg, kid, typ, ...others } = jws.header
    if (typ !== TYP) throw invalid('Transaction token is of another type')
    if (typeof kid !== 'string') throw invalid('Transaction token names no key')
    if (Object.hasOwn(others, 'crit')) throw invalid('Transaction token has critical extensions')
    const key = await keys.seek('trat', kid)
    if (key === undefined || key.alg !== alg || !verifyJws(key.alg, key.key, jws))
      throw invalid('Transaction token has no valid signature')
    const { iss, aud } = jws.payload
    if (iss !== undefined && iss !== issuer) throw invalid('Transaction token is of another issuer')
    const audiences: readonly unknown[] = Array.isArray(aud) ? aud : [aud]
    if (!audiences.includes(trustDomain)) throw invalid('Transaction token is for another domain')
    return jws.payload
  }

  #checkTimes({ iat, exp }: JsonObject, leewaySeconds: number): { iat: number; exp: number } {
    if (!isSeconds(exp)) throw invalid('exp of the transaction token is not a number')
    if (!isSeconds(iat)) throw invalid('iat of the transaction token is not a number')
    this.#assertTimely({ iat, exp }, leewaySeconds)
    if (exp - iat > MAX_TRAT_TTL) throw invalid('Transaction token lives too long')
    return { iat, exp }
  }

  #assertTimely({ iat, exp }: { iat: number; exp: number }, leewaySeconds: number): void {
    const seconds = this.#deps.now() / 1_000
    if (seconds >= exp + leewaySeconds) throw new VestryError('TXN_EXPIRED')
    if (iat > seconds + this.#deps.leewaySeconds)
      throw invalid('Transaction token was issued in the future')
  }
}

function readClaims(payload: JsonObject): Omit<TratClaims, 'iat' | 'exp'> {
  const text = (name: string): string => {
    const value = payload[name]
    if (typeof value === 'string' && value !== '') return value
    throw invalid(`${name} of the transaction token is not a text`)
  }
  const tctx = Tctx.safeParse(payload['tctx'])
  if (!tctx.success) throw invalid('tctx of the transaction token is malformed')
  const rctx = Rctx.safeParse(payload['rctx'] ?? {})
  if (!rctx.success) throw invalid('rctx of the transaction token is malformed')
  return {
    txn: text('txn'),
    sub: text('sub'),
    scope: text('scope'),
    req_wl: text('req_wl'),
    tctx: tctx.data,
    rctx: rctx.data,
  }
}

function invalid(message: string): VestryError {
  return new VestryError('TXN_INVALID', message)
}
