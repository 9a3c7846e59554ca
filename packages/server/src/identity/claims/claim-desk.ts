/**
 * Where processes claim identities: checks a request against the terms of the agent, records it, keeps it, grants it.
 * What was acknowledged is in the store and in the log, and outlives a restart of the daemon.
 */

import type { KeyObject } from 'node:crypto'
import { randomBytes } from 'node:crypto'
import { isClaimErrorCode } from '@vestry/contract/claim'
import { asVestryError } from '@vestry/contract/errors'
import type { AuditLog } from '../../audit/log.ts'
import type { AuditEntry } from '../../audit/record.ts'
import { RecentMap } from '../../store/recent-map.ts'
import type { Agent } from '../agent.ts'
import type { AgentStore } from '../agent-store.ts'
import { isAgentToken, issueAgentToken, issueClaimToken, type PodName } from './agent-token.ts'
import type { ClaimBook, ClaimEnd } from './claim-book.ts'
import { endRecord, grantRecord, refusalRecord, resumedRecord } from './claim-records.ts'
import { ClaimRefused } from './claim-refused.ts'
import type { ClaimStore, StoredClaim } from './claim-store.ts'
import { type ClaimTerms, lifetimeSeconds, refusal } from './claim-terms.ts'
import type { ClaimTermsStore } from './claim-terms-store.ts'
import type { Executable, Executables } from './executable.ts'
import type { ExpectedUids } from './expected-uids.ts'
import { isUnknown } from './process-peer.ts'
import type { Claim, ProcessPeer, UnknownPeer } from './resolution.ts'

export interface ClaimRequest {
  readonly agent: string
  readonly ttlSeconds?: number | undefined
  readonly capabilities?: readonly string[] | undefined
  readonly scope?: 'process' | 'tree' | undefined
  readonly token?: string | undefined
  readonly replace?: boolean | undefined
}

export interface Granted {
  readonly claim: Claim
  /** A JWT that says the same. */
  readonly token: string
}

export interface ClaimDeskDeps {
  readonly book: ClaimBook
  readonly rows: ClaimStore
  readonly terms: ClaimTermsStore
  readonly agents: Pick<AgentStore, 'byId' | 'byName' | 'list'>
  readonly audit: Pick<AuditLog, 'append'>
  readonly executables: Pick<Executables, 'of'>
  readonly expectedUids: ExpectedUids
  readonly pod: () => Promise<PodName>
  /** What signs tokens; undefined while the vault is sealed. */
  readonly signingKey: () => KeyObject | undefined
  /** Takes one of the uid's claims of this minute. */
  readonly takeRate: (uid: number | undefined) => boolean
  /** One that came too fast: counted, so that a flood leaves a summary and not a record each. */
  readonly tooFast: (uid: number | undefined) => void
  /** Epoch ms. */
  readonly now: () => number
}

/** Claims of one node; each is looked at twice a second. */
const MAX_CLAIMS = 10_000
/** Ids of claims that are over, for the answer to whoever still asks for one. */
const REMEMBERED = 4_096

export class ClaimDesk {
  readonly #deps: ClaimDeskDeps
  readonly #ended = new RecentMap<string, ClaimEnd>(REMEMBERED)
  /** Grants are made one after the other: each counts what the others have. */
  #turn: Promise<unknown> = Promise.resolve()

  constructor(deps: ClaimDeskDeps) {
    this.#deps = deps
  }

  /** @throws ClaimRefused with every code there is for it. */
  claim(peer: ProcessPeer | UnknownPeer, request: ClaimRequest): Promise<Granted> {
    return this.#recorded(peer, { type: 'claim', asked: request.agent }, async () => {
      const known = this.#known(peer)
      const key = this.#openKey()
      const { agent, terms } = await this.#agentAndTerms(request.agent)
      const executable = await this.#deps.executables.of(known.pid)
      await this.#assertTerms(known, request, { agent, terms, executable, key })
      return this.#inTurn(() => this.#grant(known, request, { agent, terms, executable, key }))
    })
  }

  /** @throws ClaimRefused */
  renew(
    peer: ProcessPeer | UnknownPeer,
    { id, ttlSeconds }: { id: string | undefined; ttlSeconds: number | undefined },
  ): Promise<Granted> {
    return this.#recorded(peer, { type: 'renew' }, async () => {
      const known = this.#known(peer)
      const key = this.#openKey()
      return this.#inTurn(async () => {
        const claim = this.#own(known, id)
        const { agent, terms } = await this.#agentAndTerms(claim.agentName)
        if (agent.id !== claim.agentId) throw new ClaimRefused('unknown_agent')
        if (!this.#stillGranted(terms, claim)) throw new ClaimRefused('not_permitted')
        const seconds = lifetime(terms, ttlSeconds)
        const renewed = { ...claim, expiresAtMs: this.#deps.now() + seconds * 1_000 }
        await this.#deps.audit.append(grantRecord('identity_renew', renewed, undefined), 'synced')
        await this.#deps.rows.renew(renewed)
        const held = this.#deps.book.renew(claim.id, renewed.expiresAtMs)
        if (held === undefined) throw new ClaimRefused('expired')
        return { claim: held, token: issueClaimToken(key, await this.#deps.pod(), held) }
      })
    })
  }

  /** Also while sealed: to have less is always allowed. @returns the id. @throws ClaimRefused */
  release(peer: ProcessPeer | UnknownPeer, id: string | undefined): Promise<string> {
    return this.#recorded(peer, { type: 'release' }, async () => {
      const claim = this.#own(this.#known(peer), id)
      await this.#end(claim, 'release')
      return claim.id
    })
  }

  /** What anybody here may know of the agents that can be claimed. @throws ClaimRefused `unavailable` */
  async agents(): Promise<{ name: string; role: string; capabilities: readonly string[] }[]> {
    this.#openKey()
    const [agents, terms] = await Promise.all([this.#deps.agents.list(), this.#deps.terms.all()])
    return agents
      .filter(({ status }) => status === 'enabled')
      .map(({ id, name, role }) => ({
        name,
        role,
        capabilities: terms.get(id)?.capabilities ?? [],
      }))
  }

  /** Those of all nodes, as the store has them. */
  async list(): Promise<StoredClaim[]> {
    const { claims } = await this.#deps.rows.all()
    return claims.filter(({ claim }) => claim.expiresAtMs > this.#deps.now())
  }

  /** @param by `operator:ada`. @returns the claims that ended, wherever their processes run. */
  async revoke(wanted: { id?: string; agentId?: string }, by: string): Promise<Claim[]> {
    const found = (await this.list())
      .map(({ claim }) => claim)
      .filter(
        ({ id, agentId }) =>
          id === wanted.id || (wanted.agentId !== undefined && agentId === wanted.agentId),
      )
    for (const claim of found) await this.#end(claim, 'operator', by)
    return found
  }

  /** For `vestry token pod`: what `require_token` asks for. */
  async issueToken(agent: Agent): Promise<{ token: string; expiresAtMs: number }> {
    const { capabilities } = await this.#deps.terms.of(agent.id)
    const { id, name } = agent
    const pod = await this.#deps.pod()
    const named = { id, name, capabilities }
    return issueAgentToken(this.#openKey(), { pod, agent: named, nowMs: this.#deps.now() })
  }

  /** The vault is open: what was claimed before a restart still counts, as far as its process is there. */
  async open(): Promise<void> {
    const { book, rows, now } = this.#deps
    const { claims, altered } = await rows.all()
    const gone = [...altered]
    for (const { claim, node, here } of claims) {
      if (node !== rows.node || book.byId(claim.id) !== undefined) continue
      const reason = here ? this.#reasonGone(claim, now()) : 'exit'
      if (reason === undefined) {
        this.#audit(resumedRecord(claim))
        book.add(claim)
        continue
      }
      gone.push(claim.id)
      this.#record(claim, reason)
    }
    await rows.remove(gone)
    await this.recheck()
  }

  /** After a change here or on another node: claims whose row, agent or terms are gone end. */
  recheck(): Promise<void> {
    // Never between the row of a claim and its place in the book.
    return this.#inTurn(() => this.#recheck())
  }

  async #recheck(): Promise<void> {
    const { book, rows, terms } = this.#deps
    const before = book.all()
    if (before.length === 0) return
    const kept = await rows.ownIds()
    for (const { id } of before) if (!kept.has(id)) this.#drop(id, 'operator')
    for (const agentId of new Set(before.map((claim) => claim.agentId))) {
      const own = before.filter((claim) => claim.agentId === agentId)
      const found = await this.#deps.agents.byId(agentId).catch(() => undefined)
      if (found?.status !== 'enabled') {
        for (const { id } of own) this.#drop(id, 'agent_ended')
        continue
      }
      const now = await terms.of(agentId)
      for (const claim of own)
        if (!this.#stillGranted(now, claim)) this.#drop(claim.id, 'terms_changed')
    }
  }

  /** At once: called while the change is still being made known. */
  agentChanged(agent: Agent): void {
    if (agent.status === 'enabled') return
    for (const { id, agentId } of this.#deps.book.all())
      if (agentId === agent.id) this.#drop(id, 'agent_ended')
  }

  /** For {@link ClaimBook}: what ended by itself is recorded, and its row goes. */
  ended(claim: Claim, reason: ClaimEnd): void {
    this.#ended.set(claim.id, reason)
    // Recorded by whoever ended it.
    if (reason === 'release' || reason === 'operator') return
    this.#record(claim, reason)
    if (reason !== 'replaced') this.#forget([claim.id])
  }

  async #grant(
    peer: ProcessPeer,
    request: ClaimRequest,
    found: {
      agent: Agent
      terms: ClaimTerms
      executable: Executable | undefined
      key: KeyObject
    },
  ): Promise<Granted> {
    const { agent, terms, executable, key } = found
    const { book, rows, audit, now } = this.#deps
    const before = book.ofProcess(peer)
    if (before !== undefined && request.replace !== true) {
      throw new ClaimRefused('already_claimed', `this process is ${before.agentName} already`)
    }
    const others = book.ofAgent(agent.id).filter(({ id }) => id !== before?.id).length
    if (others >= terms.max_claims) throw new ClaimRefused('claim_limit')
    if (book.size >= MAX_CLAIMS) throw new ClaimRefused('claim_limit', 'too many claims')
    if (!book.isAlive(peer)) throw gone()
    const issuedAtMs = now()
    const claim: Claim = {
      id: `jti_${randomBytes(16).toString('hex')}`,
      agentId: agent.id,
      agentName: agent.name,
      agentRole: agent.role,
      capabilities: [...new Set(request.capabilities ?? terms.capabilities)],
      session: `sess_${randomBytes(8).toString('hex')}`,
      scope: request.scope ?? 'process',
      pid: peer.pid,
      startTime: peer.startTime,
      uid: peer.uid,
      issuedAtMs,
      expiresAtMs: issuedAtMs + lifetime(terms, request.ttlSeconds) * 1_000,
      shown: {
        token: request.token !== undefined,
        ...(terms.claim_policy.exe_sha256 !== undefined && {
          ...(executable?.sha256 !== undefined && { exeSha256: executable.sha256 }),
          ...(executable?.file !== undefined && { program: executable.file }),
        }),
      },
    }
    const pod = await this.#deps.pod()
    if (!(await rows.add(claim, terms.max_claims - others - 1)))
      throw new ClaimRefused('claim_limit')
    try {
      await audit.append(grantRecord('identity_claim', claim, executable), 'synced')
    } catch (error) {
      // An identity that nobody recorded must not be used.
      await rows.remove([claim.id])
      throw error
    }
    // Disabled in the meantime, or its terms changed: the change ended all claims there were.
    const current = await this.#agentAndTerms(agent.name).catch(() => undefined)
    if (current?.agent.id !== agent.id || !this.#stillGranted(current.terms, claim)) {
      await rows.remove([claim.id])
      this.#record(claim, 'agent_ended')
      throw new ClaimRefused('not_permitted')
    }
    // Not before the new one is sure: what fails leaves the process what it was.
    if (before !== undefined) await rows.remove([before.id]).catch(() => undefined)
    book.add(claim)
    return { claim, token: issueClaimToken(key, pod, claim) }
  }

  async #assertTerms(
    peer: ProcessPeer,
    request: ClaimRequest,
    found: {
      agent: Agent
      terms: ClaimTerms
      executable: Executable | undefined
      key: KeyObject
    },
  ): Promise<void> {
    const { agent, terms, executable, key } = found
    const { claim_policy: policy } = terms
    const wanted = {
      uid: peer.uid,
      scope: request.scope ?? 'process',
      capabilities: request.capabilities,
    } as const
    const refused = refusal(terms, wanted, this.#deps.expectedUids.of(agent.id))
    if (refused?.code === 'not_permitted') throw new ClaimRefused(refused.code, refused.message)
    if (policy.exe_sha256 !== undefined && !policy.exe_sha256.includes(executable?.sha256 ?? ''))
      throw new ClaimRefused('not_permitted', 'this program may not claim it')
    await this.#assertToken(request.token, { agent, required: policy.require_token, key })
    if (refused !== undefined) throw new ClaimRefused(refused.code, refused.message)
    lifetime(terms, request.ttlSeconds)
  }

  async #assertToken(
    token: string | undefined,
    { agent, required, key }: { agent: Agent; required: boolean; key: KeyObject },
  ): Promise<void> {
    if (token === undefined) {
      if (required) throw new ClaimRefused('token_required')
      return
    }
    const pod = await this.#deps.pod()
    if (!isAgentToken(key, token, { pod, agent, nowMs: this.#deps.now() }))
      throw new ClaimRefused('token_invalid')
  }

  async #agentAndTerms(name: string): Promise<{ agent: Agent; terms: ClaimTerms }> {
    const agent = await this.#deps.agents.byName(name)
    if (agent?.status !== 'enabled') throw new ClaimRefused('unknown_agent')
    return { agent, terms: await this.#deps.terms.of(agent.id) }
  }

  #stillGranted(terms: ClaimTerms, claim: Claim): boolean {
    const { require_token, exe_sha256 } = terms.claim_policy
    if (require_token && claim.shown?.token !== true) return false
    if (exe_sha256 !== undefined && !exe_sha256.includes(claim.shown?.exeSha256 ?? '')) return false
    return (
      refusal(
        terms,
        // Whoever was expected then stays who it is: only a list of users takes it away.
        { uid: claim.uid, scope: claim.scope, capabilities: claim.capabilities },
        new Set([claim.uid]),
      ) === undefined
    )
  }

  /** @throws ClaimRefused `peercred_unavailable`, or for a process that is gone. */
  #known(peer: ProcessPeer | UnknownPeer): ProcessPeer {
    if (isUnknown(peer)) throw new ClaimRefused('peercred_unavailable')
    if (peer.startTime === '') throw gone()
    return peer
  }

  /** @throws ClaimRefused `unavailable` while sealed. */
  #openKey(): KeyObject {
    const key = this.#deps.signingKey()
    if (key === undefined)
      throw new ClaimRefused('unavailable', 'The vault is sealed: an operator must unseal it first')
    return key
  }

  /** @throws ClaimRefused */
  #own(peer: ProcessPeer, id: string | undefined): Claim {
    const { book } = this.#deps
    if (id === undefined) {
      const own = book.ofProcess(peer)
      if (own === undefined) throw new ClaimRefused('not_claimed')
      return own
    }
    const claim = book.byId(id)
    if (claim === undefined)
      throw new ClaimRefused(this.#ended.get(id) === 'expire' ? 'expired' : 'not_claimed')
    if (claim.pid !== peer.pid || claim.startTime !== peer.startTime)
      throw new ClaimRefused('not_permitted', 'the claim is held by another process')
    return claim
  }

  #reasonGone(claim: Claim, nowMs: number): ClaimEnd | undefined {
    if (claim.expiresAtMs <= nowMs) return 'expire'
    return this.#deps.book.isAlive(claim) ? undefined : 'exit'
  }

  async #end(claim: Claim, reason: 'release' | 'operator', actor?: string): Promise<void> {
    // First in memory: nothing is done under it any more, whatever happens to record and row.
    this.#deps.book.end(claim.id, reason)
    const record = endRecord(claim, reason, actor)
    try {
      await this.#deps.rows.remove([claim.id])
      await this.#deps.audit.append(record, 'synced')
    } catch (error) {
      // It is over all the same, and the log tells so as soon as it can.
      this.#audit(record)
      throw error
    }
  }

  /** Out of memory, with its record and row behind. */
  #drop(id: string, reason: ClaimEnd): void {
    const claim = this.#deps.book.end(id, reason)
    // The row went first, on whichever node the operator asked, and with a record there.
    if (claim !== undefined && reason === 'operator') this.#record(claim, reason)
  }

  #record(claim: Claim, reason: ClaimEnd): void {
    this.#audit(endRecord(claim, reason))
  }

  #audit(entry: AuditEntry): void {
    this.#deps.audit.append(entry, 'written').catch(() => undefined)
  }

  #forget(ids: readonly string[]): void {
    // A row that stays is dropped when the vault is opened next: its process is gone, or it has expired.
    this.#deps.rows.remove(ids).catch(() => undefined)
  }

  async #recorded<T>(
    peer: ProcessPeer | UnknownPeer,
    what: { type: string; asked?: string },
    work: () => Promise<T>,
  ): Promise<T> {
    const uid = isUnknown(peer) ? undefined : peer.uid
    if (what.type === 'claim' && !this.#deps.takeRate(uid)) {
      this.#deps.tooFast(uid)
      throw new ClaimRefused('rate_limited')
    }
    try {
      return await work()
    } catch (error) {
      const refused = asRefused(error)
      // Nothing else bounds how often a process asks for what it does not have.
      if (what.type !== 'claim' && !this.#deps.takeRate(uid)) this.#deps.tooFast(uid)
      else await this.#recordRefusal(peer, { ...what, code: refused.code }).catch(() => undefined)
      throw refused
    }
  }

  async #recordRefusal(
    peer: ProcessPeer | UnknownPeer,
    { type, asked, code }: { type: string; asked?: string; code: string },
  ): Promise<void> {
    const executable = isUnknown(peer) ? undefined : await this.#deps.executables.of(peer.pid)
    const entry = refusalRecord(peer, { type, asked, code }, executable)
    await this.#deps.audit.append(entry, 'written')
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#turn.then(work)
    this.#turn = mine.catch(() => undefined)
    return mine
  }
}

/** @throws ClaimRefused */
function lifetime(terms: ClaimTerms, wanted: number | undefined): number {
  const seconds = lifetimeSeconds(terms, wanted)
  if (seconds !== undefined) return seconds
  throw new ClaimRefused('ttl_out_of_range', `ttl_secs must be 1 to ${terms.max_ttl_secs}`)
}

function gone(): ClaimRefused {
  return new ClaimRefused('not_permitted', 'the process that connected has ended')
}

/** Sealed meanwhile, the log or the store not to be written: the vault's own reasons are no business of the peer. */
function asRefused(error: unknown): ClaimRefused {
  if (error instanceof ClaimRefused && isClaimErrorCode(error.code)) return error
  const message = asVestryError(error).code === 'VAULT_LOCKED' ? 'The vault is sealed' : undefined
  return new ClaimRefused('unavailable', message, { cause: error })
}
