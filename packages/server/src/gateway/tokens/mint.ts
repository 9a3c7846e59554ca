/**
 * From a checked request to a token. What is asked for is recorded as asked: each call weighs the claims and
 * the rules again, so an excess is worth nothing. Who asks was decided before.
 */
import { randomUUID } from 'node:crypto'
import { VestryError } from '@vestry/contract/errors'
import { newTxn } from '@vestry/contract/ids'
import type { Agent } from '../../identity/agent.ts'
import type { AgentStore } from '../../identity/agent-store.ts'
import type { JoinedRun } from '../../identity/authenticate.ts'
import { agentZone } from './agent-record.ts'
import { claimsText, type TokenClaims } from './claims.ts'
import { type ExpiryRules, resolveExpiry } from './expiry.ts'
import type { MintRequest } from './mint-request.ts'
import { invalidField } from './request-field.ts'
import {
  MAX_TOKEN_BYTES,
  payloadHash,
  type TokenForm,
  type TokenKeys,
  writeToken,
} from './token-codec.ts'
import type { RegisteredToken, TokenStore } from './token-store.ts'

export interface MintDeps {
  readonly tokens: TokenStore
  /** Asked at each mint; throws VAULT_LOCKED while sealed. */
  readonly keys: () => TokenKeys
  readonly form: TokenForm
  readonly expiry: Omit<ExpiryRules, 'nowMs' | 'agentZone'>
  /** Epoch ms. */
  readonly now: () => number
  /** UUIDs; the system's unless told otherwise. */
  readonly newId?: () => string
}

/** The answer of wire contract §6.2. */
export interface MintReply {
  readonly agent_token: string
  readonly token_id: string
  readonly expires_at: string
  readonly issued_at: string
  readonly agent_name: string
  readonly proof_payload: string
}

export interface Minted {
  /** Holds the token: sent once, kept and logged nowhere. */
  readonly reply: MintReply
  readonly token: RegisteredToken
}

/** @throws VestryError `AGENT_NOT_FOUND` or `AGENT_INACTIVE`. */
export async function mintingAgent(
  agentId: string,
  agents: Pick<AgentStore, 'byId'>,
): Promise<Agent> {
  const agent = await agents.byId(agentId)
  if (agent === undefined) throw new VestryError('AGENT_NOT_FOUND')
  if (agent.status !== 'enabled') throw new VestryError('AGENT_INACTIVE')
  return agent
}

/**
 * @param run That the token is taken under: it lends its transaction, and the token ends no later.
 * @throws VestryError `INVALID_EXPIRY`; `INVALID_FIELD` for claims that fit in no token.
 */
export async function mint(
  agent: Agent,
  request: MintRequest,
  deps: MintDeps,
  run?: JoinedRun,
): Promise<Minted> {
  const { now, newId = randomUUID } = deps
  const nowMs = now()
  const zone = agentZone(agent)
  const wanted = resolveExpiry(request.expiresAt, {
    ...deps.expiry,
    nowMs,
    ...(zone !== undefined && { agentZone: zone }),
  })
  const expiresAt = Math.min(wanted, run?.expiresAt ?? wanted)
  const claims: TokenClaims = {
    agent_id: agent.id,
    agent_name: agent.displayName,
    tools: [...request.tools],
    permissions: [...request.permissions],
    expires_at: new Date(expiresAt).toISOString(),
    nonce: newId(),
    issued_at: new Date(nowMs).toISOString(),
  }
  const payload = claimsText(claims)
  const text = writeToken(payload, nowMs, deps.keys(), deps.form)
  if (text.length > MAX_TOKEN_BYTES) {
    throw invalidField('tools, permissions', `fewer: a token holds ${MAX_TOKEN_BYTES} bytes`)
  }
  const token: RegisteredToken = {
    id: newId(),
    tokenId: newId(),
    agentId: agent.id,
    payloadHash: payloadHash(payload),
    tools: claims.tools,
    permissions: claims.permissions,
    intent: request.intent,
    txn: run?.txn ?? newTxn(),
    issuedAt: nowMs,
    expiresAt,
    revokedAt: undefined,
  }
  await deps.tokens.add(token)
  const { expires_at, issued_at, agent_name } = claims
  const reply = { expires_at, issued_at, agent_name, proof_payload: payload }
  return { reply: { agent_token: text, token_id: token.tokenId, ...reply }, token }
}
