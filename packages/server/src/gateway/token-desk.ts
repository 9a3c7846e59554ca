/** Where tokens are given out and looked at: the limits, the proofs, the registry and the records of both. */
import { createPrivateKey, type KeyObject } from 'node:crypto'
import { VestryError } from '@vestry/contract/errors'
import type { AuditLog } from '../audit/log.ts'
import type { Agent } from '../identity/agent.ts'
import type { AgentStore } from '../identity/agent-store.ts'
import type { Seal } from '../seal/seal.ts'
import type { CredentialStore } from '../vault/credential-store.ts'
import type { VaultRuns } from '../vault/vault.ts'
import type { GatewayMetrics } from './metrics.ts'
import type { GatewaySettings } from './settings.ts'
import { type MintDeps, type Minted, mint, mintingAgent } from './tokens/mint.ts'
import type { MintLimits } from './tokens/mint-limits.ts'
import { mintRecord, refusedMintRecord } from './tokens/mint-record.ts'
import { readMintRequest } from './tokens/mint-request.ts'
import type { NonceStore } from './tokens/nonce-store.ts'
import { checkProof } from './tokens/proof.ts'
import { type AgentProof, proveAgent, type SignableRequest } from './tokens/signed-request.ts'
import { tokenSecrets } from './tokens/signing-secrets.ts'
import type { TokenKeys } from './tokens/token-codec.ts'
import { TokenRefused } from './tokens/token-refused.ts'
import type { TokenStore } from './tokens/token-store.ts'
import { TokenVerifier, type VerifiedToken } from './tokens/verify.ts'

const SEALED_SECRET = 'gateway/token'

export interface TokenDeskDeps {
  readonly settings: GatewaySettings
  readonly production: boolean
  readonly seal: Seal
  readonly credentials: CredentialStore
  readonly agents: AgentStore
  readonly store: TokenStore
  readonly nonces: NonceStore
  readonly limits: MintLimits
  readonly runs: VaultRuns
  readonly audit: AuditLog
  readonly metrics: () => GatewayMetrics
  /** Counts a refusal by rate limit for the summary in the log. */
  readonly refused: (actor: string, scope: string) => void
  readonly now: () => number
  /** IANA zone of this process. */
  readonly serverZone: string
}

export interface PresentedToken {
  readonly token: string
  readonly proof: unknown
  readonly tokenId: unknown
}

export interface MintCall extends SignableRequest {
  /** Parsed. */
  readonly json: unknown
  readonly proof: AgentProof
  readonly intent: string | undefined
  /** Transaction token of the run that the token is taken under. */
  readonly txnToken: string | undefined
  readonly address: string
  readonly correlationId: string
  readonly traceparent: string | undefined
}

export class TokenDesk {
  readonly store: TokenStore
  readonly #deps: TokenDeskDeps
  readonly #verifier: TokenVerifier
  #keys: TokenKeys | undefined

  constructor(deps: TokenDeskDeps) {
    this.store = deps.store
    this.#deps = deps
    this.#verifier = new TokenVerifier({
      keys: () => this.#openKeys(),
      withIssueTime: false,
      tokens: deps.store,
      agents: deps.agents,
      assertOpen: (txn) => deps.runs.assertOpen(txn),
      now: deps.now,
    })
  }

  /** Called at unseal. @throws VestryError CONFIG_INVALID for a secret or key that cannot be used. */
  async open(): Promise<void> {
    const { settings, seal, production } = this.#deps
    const current = settings.signing_secret
    const previous = await Promise.all(
      settings.signing_secrets_previous.map((path) => this.#text(path)),
    )
    const secrets = tokenSecrets(
      { ...(current !== undefined && { current: await this.#text(current) }), previous },
      { sealed: await seal.signingSecret(SEALED_SECRET), production },
    )
    const gatewayKey =
      settings.private_key === undefined ? undefined : await this.#key(settings.private_key)
    if (settings.token_format === 'sealed' && gatewayKey === undefined) {
      throw new VestryError('CONFIG_INVALID', 'gateway.token_format "sealed" needs a private_key', {
        hint: 'Store an RSA key in the vault and name its path in gateway.private_key',
      })
    }
    this.#keys = { secrets, ...(gatewayKey !== undefined && { gatewayKey }) }
  }

  /** Sealed: nothing of it stays. */
  close(): void {
    this.#keys = undefined
    this.#verifier.drop()
    this.store.drop()
  }

  /** @throws VestryError as gateway contract §4.3 lists them for minting. */
  async mint(call: MintCall): Promise<Minted> {
    const asker: { agent?: Agent } = {}
    try {
      return await this.#mint(call, asker)
    } catch (error) {
      const { agent } = asker
      if (error instanceof VestryError && error.code === 'RATE_LIMITED') {
        const actor = agent === undefined ? 'anonymous' : `agent:${agent.name}`
        this.#deps.refused(actor, String(error.context['scope']))
      }
      const refusal = refusedMintRecord(call, agent, error)
      if (refusal !== undefined) await this.#deps.audit.append(refusal, 'written')
      throw error
    }
  }

  async #mint(call: MintCall, asker: { agent?: Agent }): Promise<Minted> {
    const { settings, agents, limits, nonces, runs, now } = this.#deps
    limits.admitPeer(call.address)
    const request = readMintRequest(call.json, call.intent)
    const agent = await mintingAgent(request.agentId, agents)
    asker.agent = agent
    const how = await proveAgent(agent, call, call.proof, {
      agents,
      nonces,
      mode: settings.agent_auth_mode,
      now,
    })
    limits.admitAgent(agent.id)
    const { txnToken } = call
    const run = txnToken === undefined ? undefined : await runs.join(txnToken, agent.id)
    const minted = await mint(agent, request, this.mintDeps(), run)
    if (run !== undefined) await this.#stillOpen(minted)
    // An identity nobody recorded must not act: the token goes out only after this.
    await this.#deps.audit.append(mintRecord(call, agent, minted, how), 'synced')
    this.#deps.metrics().minted()
    return minted
  }

  /** A run that was closed while the token was made found no token to end. */
  async #stillOpen({ token }: Minted): Promise<void> {
    try {
      await this.#deps.runs.assertOpen(token.txn)
    } catch (error) {
      await this.store.revoke(token.id)
      throw error
    }
  }

  /**
   * The transaction that a call with this token acts in: that of its token, unless it joins a run of its own.
   * @throws VestryError `TXN_*`, `IDENTITY_TXN_MISMATCH`, `RUN_CLOSED`
   */
  async txnOf({ agent, row }: VerifiedToken, txnToken: string | undefined): Promise<string> {
    if (txnToken === undefined) return row.txn
    const { txn } = await this.#deps.runs.join(txnToken, agent.id)
    if (!row.txn.startsWith('txn_') && row.txn !== txn)
      throw new VestryError('IDENTITY_TXN_MISMATCH', 'The token was taken under another run')
    return txn
  }

  mintDeps(): MintDeps {
    const { settings, now, serverZone } = this.#deps
    return {
      tokens: this.store,
      keys: () => this.#openKeys(),
      form: { format: settings.token_format, withIssueTime: false },
      expiry: {
        serverZone: settings.naive_expiry_zone ?? serverZone,
        naiveMaxMinutes: settings.naive_expiry_max_minutes,
        maxTtlMinutes: settings.max_token_ttl_minutes,
      },
      now,
    }
  }

  /**
   * A token that accompanies a call.
   *
   * @param onKnown Told the token's end (epoch ms) as soon as it is known to be ours, accepted or not.
   */
  async accept(
    presented: PresentedToken,
    address: string,
    onKnown: (expiresAtMs: number) => void,
  ): Promise<VerifiedToken> {
    const verified = await this.verify(presented.token, address, onKnown)
    onKnown(verified.expiresAtMs)
    try {
      await checkProof({ tokenId: presented.tokenId, proofPayload: presented.proof }, verified, {
        mode: this.#deps.settings.proof_mode,
        tokens: this.store,
      })
    } catch (error) {
      if (error instanceof VestryError && error.code === 'PROOF_MISMATCH')
        this.#deps.metrics().securityEvent('provenance_mismatch')
      throw error
    }
    return verified
  }

  /**
   * A call that its agent signed on top of its token; one without a signature is as good.
   *
   * @throws VestryError AGENT_PROOF_INVALID for a signature that is wrong.
   */
  async checkSigned(agent: Agent, request: SignableRequest, proof: AgentProof): Promise<void> {
    if (proof.signature === undefined) return
    const { agents, nonces, now } = this.#deps
    await proveAgent(agent, request, proof, { agents, nonces, mode: 'legacy', now })
  }

  /** The token alone. */
  async verify(
    text: unknown,
    address: string,
    onExpired: (expiresAtMs: number) => void = () => undefined,
  ): Promise<VerifiedToken> {
    const metrics = this.#deps.metrics()
    try {
      const verified = await this.#verifier.verify(text)
      metrics.validated(true)
      return verified
    } catch (error) {
      if (!(error instanceof TokenRefused)) throw error
      metrics.validated(false)
      if (error.code === 'TOKEN_EXPIRED') {
        metrics.expired()
        if (error.expiresAtMs !== undefined) onExpired(error.expiresAtMs)
      } else {
        metrics.securityEvent('token_rejected')
      }
      this.#deps.limits.countRejection(address)
      throw error
    }
  }

  /** @throws VestryError TOKEN_REVOKED, TOKEN_UNREGISTERED */
  async assertNotRevoked(tokenId: string): Promise<void> {
    const row = await this.store.findByTokenId(tokenId)
    if (row === undefined) throw new VestryError('TOKEN_UNREGISTERED')
    if (row.revokedAt !== undefined) throw new VestryError('TOKEN_REVOKED')
  }

  #openKeys(): TokenKeys {
    if (this.#keys === undefined) throw new VestryError('VAULT_LOCKED')
    return this.#keys
  }

  /** A secret that an operator keeps in the vault; it stays in memory while the vault is open. */
  async #text(path: string): Promise<string> {
    const { secret } = await this.#deps.credentials.open(path).catch((cause: unknown) => {
      throw new VestryError('CONFIG_INVALID', `gateway: there is no credential '${path}'`, {
        cause,
        hint: 'Start without the setting, add the credential, then set it again',
      })
    })
    using value = secret
    const text = Buffer.from(value.bytes).toString('utf8')
    return text.replace(/\r?\n$/, '')
  }

  async #key(path: string): Promise<KeyObject> {
    const pem = (await this.#text(path)).replaceAll('\\n', '\n')
    try {
      const key = createPrivateKey(pem)
      if (key.asymmetricKeyType === 'rsa') return key
    } catch {
      // Said below, without the parser's words: they may quote the key.
    }
    throw new VestryError(
      'CONFIG_INVALID',
      `gateway.private_key '${path}' is no RSA key in PEM form`,
    )
  }
}
