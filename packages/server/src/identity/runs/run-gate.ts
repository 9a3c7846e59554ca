/**
 * The one gate of agents that act within a run: identity, transaction and run, in the order of the contract. What
 * the token permits is for policy to say.
 */
import { VestryError } from '@vestry/contract/errors'
import type { Agent } from '../agent.ts'
import type { AgentStore } from '../agent-store.ts'
import { assertBound } from './binding.ts'
import { narrowContext, narrowScope } from './narrow.ts'
import { isOpen, type Run } from './run.ts'
import type { RunStore } from './run-store.ts'
import type { Svids } from './svid.ts'
import type { TratClaims, Trats, VerifiedTrat } from './trat.ts'

export interface RunProof {
  readonly agent: Agent
  readonly run: Run
  readonly claims: TratClaims
  readonly spiffeId: string
  /** The first 16 hex digits of the transaction token's SHA-256, for the record; `none` without a token. */
  readonly tokenHash: string
  /** Epoch ms at which the first of the two tokens expires. */
  readonly expiresAtMs: number
}

export interface RunGateDeps {
  readonly svids: Svids
  readonly trats: Trats
  readonly runs: RunStore
  readonly agents: Pick<AgentStore, 'byId'>
  /** Audience that identities must be for. */
  readonly audience: string
  readonly runPathPrefix: string
  /** Epoch ms. */
  readonly now: () => number
}

/** Hex digits of a token's hash that records show. */
export const SHOWN_HASH_CHARS = 16
/** What they show where there was none. */
const NO_TOKEN = 'none'

export class RunGate {
  readonly #deps: RunGateDeps
  /** Claims that were held against their run; a verified token has the same ones each time. */
  readonly #within = new WeakSet<TratClaims>()

  constructor(deps: RunGateDeps) {
    this.#deps = deps
  }

  /**
   * @param headers Every `Authorization` and every `Txn-Token` of the request, as received.
   * @throws VestryError `IDENTITY_*`, `TXN_*`, `IDENTITY_TXN_MISMATCH`, `RUN_CLOSED`; `VAULT_LOCKED`,
   *   `STORE_UNAVAILABLE`
   */
  async verify(headers: {
    readonly authorization: readonly string[]
    readonly txnToken: readonly string[]
  }): Promise<RunProof> {
    const { svids, trats, audience, runPathPrefix } = this.#deps
    const { spiffeId, expiresAtMs } = await svids.verifyHeader(headers.authorization, audience)
    const trat = await trats.verifyHeader(headers.txnToken)
    assertBound(spiffeId, trat.claims, runPathPrefix)
    const run = await this.openRun(trat)
    const agent = await this.#agentOf(run)
    return {
      agent,
      run,
      claims: trat.claims,
      spiffeId,
      tokenHash: trat.tokenHash.slice(0, SHOWN_HASH_CHARS),
      expiresAtMs: Math.min(expiresAtMs, trat.claims.exp * 1_000),
    }
  }

  /**
   * For work of this process itself, which carries no token: all that the registration of an open run grants. Asked
   * again for each call, it ends with the run and with its agent.
   *
   * @throws VestryError `RUN_CLOSED`, `IDENTITY_INVALID`; `VAULT_LOCKED`, `STORE_UNAVAILABLE`
   */
  async ownProof(runId: string): Promise<RunProof> {
    const { runs, now } = this.#deps
    const run = await runs.byId(runId)
    if (run === undefined || !isOpen(run, now())) throw new VestryError('RUN_CLOSED')
    const { sub, scope, spiffeId, tctx, rctx, expiresAt } = run
    const claims = {
      txn: run.id,
      sub,
      scope: scope.join(' '),
      req_wl: spiffeId,
      iat: Math.floor(now() / 1_000),
      exp: Math.floor(expiresAt / 1_000),
      tctx,
      rctx,
    }
    const agent = await this.#agentOf(run)
    return { agent, run, claims, spiffeId, tokenHash: NO_TOKEN, expiresAtMs: expiresAt }
  }

  /**
   * For wires with identities of their own: the run that one agent joins with its transaction token.
   * @throws VestryError as {@link RunGate.verify} does; `IDENTITY_TXN_MISMATCH` for a run of another agent.
   */
  async join(token: string, agentId: string): Promise<Run> {
    const run = await this.openRun(await this.#deps.trats.verifyHeader([token]))
    if (run.agentId !== agentId) throw new VestryError('IDENTITY_TXN_MISMATCH')
    return run
  }

  /**
   * What was taken under a run ends with it; other transactions never close.
   * @throws VestryError `RUN_CLOSED`
   */
  async assertOpen(txn: string): Promise<void> {
    if (txn.startsWith('txn_')) return
    const run = await this.#deps.runs.byId(txn)
    if (run === undefined || !isOpen(run, this.#deps.now())) throw new VestryError('RUN_CLOSED')
  }

  /** @throws VestryError `TXN_INVALID`, `RUN_CLOSED` */
  async openRun({ claims }: VerifiedTrat): Promise<Run> {
    const run = await this.#deps.runs.byId(claims.txn)
    // Every run that got a token is in the store until long after its last token expired.
    // And an id that came back with a restored store may be another run's by now.
    if (run === undefined || run.spiffeId !== claims.req_wl)
      throw new VestryError('TXN_INVALID', 'Transaction token is of a run that is not known')
    // The token is good, so the record may say whose it was.
    if (!isOpen(run, this.#deps.now()))
      throw new VestryError('RUN_CLOSED', undefined, { context: { txn: run.id } })
    this.#assertWithin(run, claims)
    return run
  }

  /** Registering the run was the grant; a token only narrows it, whoever signed it. */
  #assertWithin(run: Run, claims: TratClaims): void {
    if (this.#within.has(claims)) return
    try {
      narrowContext(run.tctx, claims.tctx)
      narrowScope(run.scope, claims.scope.split(' '))
    } catch (cause) {
      throw new VestryError('TXN_INVALID', 'Transaction token exceeds what its run was granted', {
        cause,
      })
    }
    this.#within.add(claims)
  }

  async #agentOf(run: Run): Promise<Agent> {
    const agent = await this.#deps.agents.byId(run.agentId)
    if (agent === undefined || agent.status !== 'enabled')
      throw new VestryError('IDENTITY_INVALID', 'The agent of this identity is not enabled')
    return agent
  }
}
