/**
 * Signed tokens with keys that live as long as the test: SVIDs and transaction tokens as a gateway
 * verifies them, and the public keys to verify them with.
 */
import { generateKeyPairSync, type JsonWebKey, type KeyObject, sign, verify } from 'node:crypto'
import { jwtPayload } from '../sage/jwt.ts'
import { TransactionToken } from '../sage/transaction-token.ts'
import { type TestTratOptions, testTratClaims } from './trat.ts'

export interface TestSvidOptions {
  /** Default `spiffe://<trust domain>/scanner/run_test123`. */
  readonly subject?: string
  /** Default `spiffe://<trust domain>/llm-gateway`. */
  readonly audience?: string
  /** Default 1 800. */
  readonly lifetimeSeconds?: number
  /** Milliseconds since the epoch. Default now. */
  readonly nowMs?: number
}

export interface SignedTratOptions extends TestTratOptions {
  /** More claims, or others, by their names in the token. */
  readonly claims?: Readonly<Record<string, unknown>>
}

type Claims = Readonly<Record<string, unknown>>

export class TestIssuer {
  readonly trustDomain: string
  readonly #svidKey = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  readonly #tratKey = generateKeyPairSync('ed25519')

  constructor({ trustDomain = 'sage-sanctum.local' }: { trustDomain?: string } = {}) {
    this.trustDomain = trustDomain
  }

  /** A JWT-SVID, ES256. */
  svid(options: TestSvidOptions = {}): string {
    const { lifetimeSeconds = 1_800, nowMs = Date.now() } = options
    const iat = Math.floor(nowMs / 1000)
    const claims = {
      sub: options.subject ?? `spiffe://${this.trustDomain}/scanner/run_test123`,
      aud: [options.audience ?? `spiffe://${this.trustDomain}/llm-gateway`],
      iat,
      exp: iat + lifetimeSeconds,
    }
    const header = { alg: 'ES256', kid: 'test-svid', typ: 'JWT' }
    return signed(header, claims, (data) =>
      sign('sha256', data, { key: this.#svidKey.privateKey, dsaEncoding: 'ieee-p1363' }),
    )
  }

  /** A transaction token, EdDSA, with the claims of the default test token. */
  trat({ claims = {}, ...options }: SignedTratOptions = {}): TransactionToken {
    const all = { ...wireClaims(testTratClaims(options)), ...claims }
    const header = { alg: 'EdDSA', kid: 'test-trat', typ: 'txntoken+jwt' }
    const raw = signed(header, all, (data) => sign(null, data, this.#tratKey.privateKey))
    return TransactionToken.parse(raw)
  }

  /** The trust bundle for SVIDs, a JWK Set. */
  svidBundle(): { keys: JsonWebKey[]; spiffe_sequence: number; spiffe_refresh_hint: number } {
    const key = { ...jwk(this.#svidKey.publicKey), use: 'jwt-svid', kid: 'test-svid' }
    return { keys: [key], spiffe_sequence: 1, spiffe_refresh_hint: 300 }
  }

  /** The key set for transaction tokens. */
  tratKeys(): { keys: JsonWebKey[] } {
    const key = { ...jwk(this.#tratKey.publicKey), use: 'sig', alg: 'EdDSA', kid: 'test-trat' }
    return { keys: [key] }
  }

  /** The claims of an SVID that this issuer signed; undefined for any other text. */
  verifySvid(token: string): Claims | undefined {
    const key = { key: this.#svidKey.publicKey, dsaEncoding: 'ieee-p1363' } as const
    return verified(token, (data, signature) => verify('sha256', data, key, signature))
  }

  /** The claims of a transaction token that this issuer signed; undefined for any other text. */
  verifyTrat(token: string): Claims | undefined {
    const key = this.#tratKey.publicKey
    return verified(token, (data, signature) => verify(null, data, key, signature))
  }
}

function signed(header: Claims, claims: Claims, by: (data: Buffer) => Buffer): string {
  const part = (value: Claims): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  const data = `${part(header)}.${part(claims)}`
  return `${data}.${by(Buffer.from(data)).toString('base64url')}`
}

function verified(token: string, by: (data: Buffer, signature: Buffer) => boolean) {
  const dot = token.lastIndexOf('.')
  const signature = Buffer.from(token.slice(dot + 1), 'base64url')
  return by(Buffer.from(token.slice(0, Math.max(dot, 0))), signature)
    ? jwtPayload(token)
    : undefined
}

function jwk(key: KeyObject): JsonWebKey {
  return key.export({ format: 'jwk' })
}

function wireClaims(claims: ReturnType<typeof testTratClaims>): Claims {
  const { reqWl, tctx, rctx, ...rest } = claims
  return {
    ...rest,
    req_wl: reqWl,
    tctx: {
      run_id: tctx.runId,
      org_id: tctx.orgId,
      repo_url: tctx.repoUrl,
      agent_type: tctx.agentType,
      agent_mode: tctx.agentMode,
      allowed_models: tctx.allowedModels,
      allowed_providers: tctx.allowedProviders,
      allowed_tools: tctx.allowedTools,
    },
    rctx: { trigger: rctx.trigger, pr_number: rctx.prNumber, actor: rctx.actor },
  }
}
