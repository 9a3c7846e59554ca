/**
 * The token service (sage contract §8): gives agents the transaction token of their run, never one that says more
 * than the run's registration does. What it issues is in the log before anybody gets it.
 */
import { asVestryError, VestryError } from '@vestry/contract/errors'
import type { AuditLog } from '../../audit/log.ts'
import type { AuditEntry } from '../../audit/record.ts'
import type { Agent } from '../agent.ts'
import type { AgentStore } from '../agent-store.ts'
import { assertBound } from './binding.ts'
import { type ExchangeRequest, readExchange } from './exchange-request.ts'
import { narrowContext, narrowScope } from './narrow.ts'
import { isOpen, type RequesterContext, type Run } from './run.ts'
import { type RunGate, SHOWN_HASH_CHARS } from './run-gate.ts'
import type { RunStore } from './run-store.ts'
import type { IssuedToken, Svids } from './svid.ts'
import type { TratClaims, TratContent, Trats, VerifiedTrat } from './trat.ts'
import { sha256 } from './verified-tokens.ts'

export interface TokenServiceDeps {
  readonly svids: Svids
  readonly trats: Trats
  readonly runs: RunStore
  readonly gate: RunGate
  readonly agents: Pick<AgentStore, 'byId'>
  readonly audit: Pick<AuditLog, 'append'>
  readonly trustDomain: string
  /** Audience that identities must be for here. */
  readonly audience: string
  readonly runPathPrefix: string
  /** Tokens that may be made from other tokens, per run. */
  readonly maxReplacements: number
  /** Epoch ms. */
  readonly now: () => number
}

/** How one exchange arrived. */
export interface Exchange {
  readonly form: string
  /** Every `Authorization` header. */
  readonly authorization: readonly string[]
  readonly requestId: string
}

/** What is known of an exchange so far, for its record. */
interface Known {
  agent?: Agent | undefined
  run?: Run | undefined
  caller?: string
}

/** Who asks within this process. */
export type Caller = 'sidecar' | 'operator'

/** More open runs than this of one identity are not told apart. */
const RUNS_LOOKED_AT = 2

export class TokenService {
  readonly #deps: TokenServiceDeps

  constructor(deps: TokenServiceDeps) {
    this.#deps = deps
  }

  /**
   * @returns The token and its lifetime in seconds.
   * @throws VestryError `INVALID_CLIENT`, `INVALID_GRANT`, `INVALID_SCOPE`, `INVALID_TARGET`, `INVALID_REQUEST`,
   *   `UNSUPPORTED_GRANT_TYPE`; `AUDIT_UNAVAILABLE`, `VAULT_LOCKED`, `STORE_UNAVAILABLE`
   */
  async exchange(exchange: Exchange): Promise<{ token: string; expiresIn: number }> {
    const known: Known = {}
    try {
      const issued = await this.#exchange(exchange, known)
      const expiresIn = Math.round((issued.expiresAtMs - issued.issuedAtMs) / 1_000)
      return { token: issued.token, expiresIn }
    } catch (error) {
      await this.#recordRefusal(exchange.requestId, known, error)
      throw error
    }
  }

  /**
   * A token with all that the run grants, for its own socket, its file or an operator.
   * @throws VestryError `RUN_CLOSED`, `IDENTITY_INVALID`; `AUDIT_UNAVAILABLE`, `VAULT_LOCKED`
   */
  async issueFor(runId: string, caller: Caller, requestId?: string): Promise<IssuedToken> {
    const run = await this.#deps.runs.byId(runId)
    if (run === undefined || !lastsLonger(run, this.#deps.now()))
      throw new VestryError('RUN_CLOSED')
    const agent = await this.#deps.agents.byId(run.agentId)
    if (agent?.status !== 'enabled')
      throw new VestryError('IDENTITY_INVALID', 'The agent of this run is not enabled')
    const { scope, tctx, rctx } = run
    const issued = this.#deps.trats.issue(run, { scope, tctx, rctx, notAfterMs: run.expiresAt })
    await this.#record({ agent, run, caller }, issued, {
      ...(requestId !== undefined && { requestId }),
    })
    return issued
  }

  async #exchange({ form, authorization, requestId }: Exchange, known: Known) {
    const { trats, runs, trustDomain } = this.#deps
    const request = readExchange(form)
    const spiffeId = await this.#authenticate(request, authorization)
    known.caller = spiffeId
    if (request.audience !== trustDomain)
      throw new VestryError('INVALID_TARGET', 'audience must be the trust domain')
    const input = await this.#subject(request, spiffeId)
    const run =
      input === undefined ? await this.#runOf(request, spiffeId) : await this.#grant(input)
    known.run = run
    const agent = await this.#deps.agents.byId(run.agentId)
    if (agent?.status !== 'enabled') throw new VestryError('INVALID_CLIENT')
    known.agent = agent
    const content = contentOf(run, request, input?.claims)
    if (input !== undefined) await runs.countReplacement(run.id, this.#deps.maxReplacements)
    const issued = trats.issue(run, content)
    await this.#record(known, issued, {
      requestId,
      ...(input !== undefined && { replaces: input.tokenHash.slice(0, SHOWN_HASH_CHARS) }),
    })
    return issued
  }

  /** @returns The caller's SPIFFE ID. A transaction token is never a login. */
  async #authenticate(
    { clientAssertion }: ExchangeRequest,
    authorization: readonly string[],
  ): Promise<string> {
    const { svids, audience } = this.#deps
    if (clientAssertion !== undefined && authorization.length > 0)
      throw new VestryError(
        'INVALID_REQUEST',
        'client_assertion and Authorization exclude each other',
      )
    try {
      const svid =
        clientAssertion === undefined
          ? await svids.verifyHeader(authorization, audience)
          : await svids.verify(clientAssertion, audience)
      return svid.spiffeId
    } catch (cause) {
      throw aboutToken(cause, 'INVALID_CLIENT')
    }
  }

  /** @returns The token to be narrowed; undefined when the subject is the caller's own identity. */
  async #subject(
    { subject }: ExchangeRequest,
    spiffeId: string,
  ): Promise<VerifiedTrat | undefined> {
    const { svids, trats, audience, runPathPrefix } = this.#deps
    try {
      if (subject.type === 'svid') {
        const svid = await svids.verify(subject.token, audience)
        // Expired ones are refused to the second: the leeway is for requests under way.
        if (svid.expiresAtMs <= this.#deps.now()) throw new VestryError('IDENTITY_EXPIRED')
        if (svid.spiffeId !== spiffeId) throw new VestryError('IDENTITY_INVALID')
        return undefined
      }
      const trat = await trats.verify(subject.token, 0)
      assertBound(spiffeId, trat.claims, runPathPrefix)
      return trat
    } catch (cause) {
      throw aboutToken(cause, 'INVALID_GRANT')
    }
  }

  async #grant(input: VerifiedTrat): Promise<Run> {
    try {
      return await this.#deps.gate.openRun(input)
    } catch (cause) {
      throw aboutToken(cause, 'INVALID_GRANT')
    }
  }

  async #runOf({ details }: ExchangeRequest, spiffeId: string): Promise<Run> {
    const { runs, now } = this.#deps
    if (details.run_id !== undefined) {
      const run = await runs.byId(details.run_id)
      // A run of another identity is answered like one that is not there.
      if (run !== undefined && run.spiffeId === spiffeId && isOpen(run, now())) return run
      throw new VestryError('INVALID_GRANT', 'There is no such open run of this identity')
    }
    const [run, another] = await runs.openOf(spiffeId, RUNS_LOOKED_AT)
    if (run === undefined)
      throw new VestryError('INVALID_GRANT', 'There is no open run of this identity')
    if (another !== undefined)
      throw new VestryError(
        'INVALID_GRANT',
        'Several runs are open: name one in request_details.run_id',
      )
    return run
  }

  async #record(
    { agent, run, caller }: Known,
    { token, expiresAtMs }: IssuedToken,
    { requestId, replaces }: { requestId?: string; replaces?: string },
  ): Promise<void> {
    const entry: AuditEntry = {
      ...recordOf('transaction token issued', true, { agent, run }),
      ...(requestId !== undefined && { request_id: requestId }),
      data: {
        caller,
        token_sha256: sha256(token),
        expires_at: new Date(expiresAtMs).toISOString(),
        ...(replaces !== undefined && { replaces }),
      },
    }
    // An authority nobody recorded must not be used: the token goes out only after this.
    await this.#deps.audit.append(entry, 'synced')
  }

  async #recordRefusal(requestId: string, known: Known, error: unknown): Promise<void> {
    const { code } = asVestryError(error)
    if (code === 'AUDIT_UNAVAILABLE' || code === 'VAULT_LOCKED') return
    const entry: AuditEntry = {
      ...recordOf('transaction token refused', false, known),
      request_id: requestId,
      outcome: { code, duration_ms: 0 },
      data: { caller: known.caller ?? null },
    }
    await this.#deps.audit.append(entry, 'written')
  }
}

/** A run that ends within this second has time for no token. */
function lastsLonger(run: Run, nowMs: number): boolean {
  return isOpen(run, nowMs) && Math.floor(run.expiresAt / 1_000) > Math.floor(nowMs / 1_000)
}

function contentOf(
  run: Run,
  { scope, details, requester }: ExchangeRequest,
  input: TratClaims | undefined,
): TratContent {
  if (input === undefined) {
    return {
      scope: narrowScope(run.scope, scope),
      tctx: narrowContext(run.tctx, details),
      // What the registration says of who asked is not for the caller to change.
      rctx: { ...requester, ...run.rctx } satisfies RequesterContext,
      notAfterMs: run.expiresAt,
    }
  }
  return {
    scope: narrowScope(input.scope.split(' '), scope),
    tctx: narrowContext(input.tctx, details),
    rctx: input.rctx,
    // Else a chain of replacements would outlive what it began with.
    notAfterMs: input.exp * 1_000,
  }
}

function recordOf(
  detail: string,
  success: boolean,
  { agent, run }: Pick<Known, 'agent' | 'run'>,
): AuditEntry {
  return {
    action: 'trat.issue',
    phase: 'single',
    detail: run === undefined ? detail : `${detail} for ${run.id}`,
    success,
    actor: agent === undefined ? 'anonymous' : `agent:${agent.name}`,
    source: 'identity',
    ...(agent !== undefined && { agent: agent.name }),
    ...(run !== undefined && { txn: run.id }),
  }
}

/** What is wrong with a token, in the words of OAuth; other trouble stays what it is. */
function aboutToken(cause: unknown, code: 'INVALID_CLIENT' | 'INVALID_GRANT'): unknown {
  if (!(cause instanceof VestryError)) return cause
  if (cause.code === 'INVALID_GRANT' || cause.status >= 500) return cause
  return new VestryError(code, cause.message, { cause })
}
