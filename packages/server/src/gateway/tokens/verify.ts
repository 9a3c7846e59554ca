/**
 * Whether a presented token counts (wire contract §6.7), asked at every use. What never changes, signature and
 * content, is remembered for a while; time, registry and agent are looked at each time.
 */
import { randomUUID } from 'node:crypto'
import { VestryError } from '@vestry/contract/errors'
import { newTxn } from '@vestry/contract/ids'
import type { Agent } from '../../identity/agent.ts'
import type { AgentStore } from '../../identity/agent-store.ts'
import { RecentMap } from '../../store/recent-map.ts'
import type { TokenClaims } from './claims.ts'
import { type OpenedToken, openToken, type TokenKeys } from './token-codec.ts'
import { TokenRefused } from './token-refused.ts'
import type { RegisteredToken, TokenStore } from './token-store.ts'

export interface TokenVerifierDeps {
  /** Asked at each use; throws VAULT_LOCKED while sealed. */
  readonly keys: () => TokenKeys
  /** Accepts `B.I.S` beside `B.S`. */
  readonly withIssueTime: boolean
  readonly tokens: TokenStore
  readonly agents: Pick<AgentStore, 'byId'>
  /** Throws `RUN_CLOSED` for the transaction of a run that is over; what is no run is never over. */
  readonly assertOpen?: (txn: string) => Promise<void>
  /** Epoch ms. */
  readonly now: () => number
  /**
   * true unless told otherwise. false takes tokens into the registry that another gateway signed with a secret
   * of ours: from then on they are listed, and end when they are revoked.
   */
  readonly registryRequired?: boolean
  /** Tokens kept in memory. */
  readonly cacheLimit?: number
}

export interface VerifiedToken {
  readonly agent: Agent
  readonly claims: TokenClaims
  /** The payload text as it was hashed. */
  readonly payload: string
  readonly row: RegisteredToken
  /** Epoch ms. */
  readonly expiresAtMs: number
}

const MAX_AGE_MS = 86_400_000
const MAX_AHEAD_MS = 5 * 60_000
const DEFAULT_CACHE_LIMIT = 4096
/** Longer ones are read anew each time, so that full memory has a bound in bytes too. */
const MAX_CACHED_CHARS = 4096

export class TokenVerifier {
  readonly #deps: TokenVerifierDeps
  readonly #opened: RecentMap<string, OpenedToken>
  #openedWith: TokenKeys | undefined

  constructor(deps: TokenVerifierDeps) {
    this.#deps = deps
    this.#opened = new RecentMap(deps.cacheLimit ?? DEFAULT_CACHE_LIMIT)
  }

  /**
   * @param text `agent_token` as it came, whatever its type.
   * @throws TokenRefused by the first check that fails: form, signature, content, expiry, age, registry, agent;
   *   VestryError `RUN_CLOSED` when the run it was taken under is over.
   */
  async verify(text: unknown): Promise<VerifiedToken> {
    const opened = this.#open(text)
    assertTimely(opened, this.#deps.now())
    const { claims, payload, payloadHash, expiresAtMs } = opened
    const known = await this.#deps.tokens.findByHash(payloadHash)
    if (known === undefined && this.#deps.registryRequired !== false) {
      throw refused('TOKEN_UNREGISTERED', opened)
    }
    if (known?.revokedAt !== undefined) throw refused('TOKEN_REVOKED', opened)
    const agent = await this.#deps.agents.byId(claims.agent_id)
    if (agent === undefined) throw refused('AGENT_NOT_FOUND', opened)
    if (agent.status !== 'enabled') throw refused('AGENT_INACTIVE', opened)
    if (known !== undefined) await this.#deps.assertOpen?.(known.txn)
    const row = known ?? (await this.#adopt(opened))
    return { agent, claims, payload, row, expiresAtMs }
  }

  /** Empties the memory, as sealing demands. */
  drop(): void {
    this.#opened.clear()
    this.#openedWith = undefined
  }

  #open(text: unknown): OpenedToken {
    const { keys, withIssueTime } = this.#deps
    const current = keys()
    if (this.#openedWith === undefined || !sameKeys(this.#openedWith, current)) {
      this.#opened.clear() // a secret that was taken away must not live on here
      this.#openedWith = current
    }
    const remembered = typeof text === 'string' ? this.#opened.get(text) : undefined
    if (remembered !== undefined) return remembered
    const opened = openToken(text, current, { withIssueTime })
    if (typeof text === 'string' && text.length <= MAX_CACHED_CHARS) this.#opened.set(text, opened)
    return opened
  }

  /** Two uses at once adopt the same token once: its hash is unique. */
  async #adopt(opened: OpenedToken): Promise<RegisteredToken> {
    const { claims, payloadHash, issuedAtMs, expiresAtMs } = opened
    const token: RegisteredToken = {
      id: randomUUID(),
      tokenId: randomUUID(),
      agentId: claims.agent_id,
      payloadHash,
      tools: claims.tools,
      permissions: claims.permissions,
      intent: undefined,
      txn: newTxn(),
      issuedAt: issuedAtMs,
      expiresAt: expiresAtMs,
      revokedAt: undefined,
    }
    try {
      await this.#deps.tokens.add(token)
      return token
    } catch (error) {
      if (!(error instanceof VestryError) || error.code !== 'CONFLICT') throw error
      const first = await this.#deps.tokens.findByHash(payloadHash)
      if (first === undefined) throw error
      if (first.revokedAt !== undefined) throw refused('TOKEN_REVOKED', opened)
      return first
    }
  }
}

/** The clients believe that tokens die after 24 hours, and cannot see it themselves. */
function assertTimely(opened: OpenedToken, nowMs: number): void {
  if (nowMs >= opened.expiresAtMs) throw refused('TOKEN_EXPIRED', opened)
  if (nowMs - opened.issuedAtMs > MAX_AGE_MS) throw refused('TOKEN_TOO_OLD', opened)
  if (opened.issuedAtMs - nowMs > MAX_AHEAD_MS) {
    throw new TokenRefused('TOKEN_MALFORMED', 'Token was issued in the future', opened.expiresAtMs)
  }
}

function refused(
  code: ConstructorParameters<typeof TokenRefused>[0],
  { expiresAtMs }: OpenedToken,
): TokenRefused {
  return new TokenRefused(code, undefined, expiresAtMs)
}

function sameKeys(one: TokenKeys, other: TokenKeys): boolean {
  return (
    one.gatewayKey === other.gatewayKey &&
    one.secrets.length === other.secrets.length &&
    one.secrets.every((secret, index) => secret === other.secrets[index])
  )
}
