/**
 * What can be done with reviews, whoever asks through whichever door. Every step is in the review's own chain and in
 * the common log before it is answered.
 */

import { VestryError } from '@vestry/contract/errors'
import { newTimeOrderedId } from '@vestry/contract/ids'
import type { AuditLog } from '../../audit/log.ts'
import type { Changed } from '../../identity/row-guard.ts'
import type { TokenJson } from '../../json/raw-number.ts'
import { digestOf, documentJson, documentOf, toolDocument } from '../normalise.ts'
import type { Profile } from '../signing/schemapin.ts'
import type { Signatures, ToolSignature } from '../signing/signatures.ts'
import type { ToolDocument } from '../tool-document.ts'
import { type AnalysisStore, analysisNotFound, type StoredAnalysis } from './analysis-store.ts'
import { type Decision, decisionMove, nextActionOf, reanalysisMove } from './decision.ts'
import { invalidField } from './field.ts'
import { PRIORITIES, type Priority, take } from './machine.ts'
import { decisionBody, type Session } from './session.ts'
import type { SessionStore } from './session-store.ts'
import { recordOf } from './transition-views.ts'
import type { Moved, NewSession } from './walk.ts'

export interface ReviewsDeps {
  readonly sessions: SessionStore
  readonly analyses: AnalysisStore
  readonly signatures: Pick<Signatures, 'sign' | 'find'>
  readonly audit: Pick<AuditLog, 'append' | 'available'>
  /** Resolves when an analysis that is under way here is over. */
  readonly analysisOver: (analysisId: string) => Promise<void> | undefined
  readonly wake: () => void
  readonly fourEyes: boolean
  readonly now: () => number
}

export interface Submission {
  readonly tool: TokenJson
  readonly submittedBy: string
  readonly priority: string | undefined
  /** As the log names them. */
  readonly actor: string
  /** Id of the agent whose key it was; `''` for administrators. */
  readonly owner: string
  readonly requestId?: string | undefined
}

/** Who does something, and in which request. */
export interface By {
  readonly actor: string
  readonly requestId?: string | undefined
}

/** An ordinary analysis is over before; clients that saw its id begin to ask for it. */
const WAIT_FOR_ANALYSIS_MS = 5_000
const MAX_WAITING = 64

export class Reviews {
  readonly #deps: ReviewsDeps
  #waiting = 0

  constructor(deps: ReviewsDeps) {
    this.#deps = deps
  }

  /** @throws VestryError VALIDATION_ERROR, QUEUE_FULL, AUDIT_UNAVAILABLE */
  async submit(given: Submission): Promise<Session> {
    const document = toolDocument(given.tool)
    const { actor, owner, submittedBy, requestId } = given
    const input = this.#newSession(document, {
      submittedBy,
      submittedActor: actor,
      owner,
      priority: acceptPriority(given.priority),
    })
    this.#assertRecorded()
    const made = await this.#deps.sessions.add(input)
    await this.announce(made, requestId)
    this.#deps.wake()
    return made.value.session
  }

  /**
   * Of a tool that an MCP server offers now. One that was turned down stays so until a person submits it again, so
   * a server cannot fill the queue by listing it again and again.
   */
  async reopen(input: {
    readonly document: ToolDocument
    readonly before: ToolDocument | undefined
    readonly submittedBy: string
    readonly reason: string
  }): Promise<string> {
    const { document, before, submittedBy, reason } = input
    this.#assertRecorded()
    const made = await this.#deps.sessions.add(
      this.#newSession(document, {
        submittedBy,
        submittedActor: submittedBy,
        owner: '',
        priority: 'high',
        reason,
        ...(before !== undefined && { beforeJson: documentJson(before) }),
      }),
      (other) => other.status !== 'signed',
    )
    await this.announce(made)
    if (made.value.added) this.#deps.wake()
    return made.value.session.id
  }

  /** @throws VestryError REVIEW_NOT_FOUND, INVALID_STATE_TRANSITION, VALIDATION_ERROR, AUDIT_UNAVAILABLE */
  async decide(
    id: string,
    decision: Decision,
    requestId?: string,
  ): Promise<Record<string, unknown>> {
    const { sessions, fourEyes, now } = this.#deps
    this.#assertRecorded()
    const nowMs = now()
    let decisionId = ''
    const changed = await sessions.change(id, (session) => {
      const move = decisionMove(session, decision, { fourEyes, nowMs })
      decisionId = move.decisionId
      return [move]
    })
    await this.announce(changed, requestId)
    this.#deps.wake()
    const { session } = changed.value
    const { word, reviewerId, comments } = decision
    return {
      review_id: id,
      ...decisionBody({ id: decisionId, decision: word, reviewerId, comments, atMs: nowMs }),
      status: session.status,
      next_action: nextActionOf(session),
    }
  }

  /** Whoever has claimed it already may do so again. */
  async claim(id: string, reviewerId: string, by: By): Promise<Session> {
    this.#assertRecorded()
    const atMs = this.#deps.now()
    const changed = await this.#deps.sessions.change(id, (session) => {
      const mine = session.status === 'under_review' && session.state.reviewerId === reviewerId
      if (mine) return []
      const detail = { reviewer_id: reviewerId }
      return [{ step: { step: 'claim', reviewerId, atMs }, actor: by.actor, detail }]
    })
    await this.announce(changed, by.requestId)
    return changed.value.session
  }

  async reanalyze(id: string, by: By): Promise<Session> {
    this.#assertRecorded()
    const changed = await this.#deps.sessions.change(id, () => [reanalysisMove(by.actor, {})])
    await this.announce(changed, by.requestId)
    this.#deps.wake()
    return changed.value.session
  }

  /**
   * Signs what was approved. The same key again gives the same answer.
   *
   * @throws VestryError REVIEW_NOT_FOUND, INVALID_STATE_TRANSITION, SIGNATURE_CONFLICT, SIGNING_KEY_NOT_FOUND,
   *   SIGNING_FAILED
   */
  async sign(
    id: string,
    what: { keyId: string; profile?: Profile },
    by: By,
  ): Promise<ToolSignature> {
    const { sessions, signatures } = this.#deps
    const session = await sessions.get(id)
    if (session.status !== 'signed') {
      take(session, { step: 'sign' }) // throws where it may not
      this.#assertRecorded()
    }
    let signed: ToolSignature
    try {
      const asked = { reviewId: id, ...what }
      signed = (await signatures.sign(documentOf(session.toolJson), asked)).value
    } catch (error) {
      await this.#signingFailed(session, what.keyId, error, by)
      throw error
    }
    const changed = await sessions.change(id, (now) =>
      now.status === 'signed'
        ? []
        : [
            {
              step: { step: 'sign' },
              actor: by.actor,
              detail: {
                signing_key_id: signed.keyId,
                key_fingerprint: signed.keyFingerprint,
                schema_hash: signed.schemaHash,
                signature_profile: signed.profile,
              },
            },
          ],
    )
    await this.announce(changed, by.requestId)
    return signed
  }

  /** @throws VestryError REVIEW_NOT_FOUND, NOT_SIGNED */
  async signed(id: string, owner?: string): Promise<ToolSignature> {
    const session = await this.#deps.sessions.get(id, owner)
    const found = session.status === 'signed' ? await this.#deps.signatures.find(id) : undefined
    if (found !== undefined) return found
    throw new VestryError('NOT_SIGNED', `The tool of review ${id} is not signed`)
  }

  /**
   * @param until Waits no longer than this for one that is under way.
   * @throws VestryError ANALYSIS_NOT_FOUND
   */
  async analysis(
    id: string,
    owner: string | undefined,
    until: AbortSignal,
  ): Promise<StoredAnalysis> {
    await this.#waitFor(id, until)
    const { analyses, sessions } = this.#deps
    const found = await analyses.find(id)
    if (found === undefined) throw analysisNotFound(id)
    const session = await sessions.get(found.reviewId)
    if (owner !== undefined && session.owner !== owner) throw analysisNotFound(id)
    return found
  }

  /** The analysis that a review has now, once it is complete. */
  async analysisOf({ state }: Session): Promise<StoredAnalysis | undefined> {
    return state.analysisId === undefined ? undefined : this.#deps.analyses.find(state.analysisId)
  }

  /** Every step is one record; synced before whoever caused it has an answer. */
  async announce({ value, generation }: Changed<Moved>, requestId?: string): Promise<void> {
    await Promise.all(
      value.transitions.map((transition) =>
        this.#deps.audit.append(
          {
            ...recordOf(value.session, transition, generation),
            ...(requestId !== undefined && { request_id: requestId }),
          },
          'synced',
        ),
      ),
    )
  }

  async #signingFailed(session: Session, keyId: string, error: unknown, by: By): Promise<void> {
    const failed = error instanceof VestryError && error.code === 'SIGNING_FAILED'
    if (!failed || session.status === 'signed') return
    const changed = await this.#deps.sessions.change(session.id, ({ status }) =>
      status === 'approved'
        ? [{ step: { step: 'fail_signing' }, actor: by.actor, detail: { signing_key_id: keyId } }]
        : [],
    )
    await this.announce(changed, by.requestId)
  }

  #newSession(
    document: ToolDocument,
    about: Pick<NewSession, 'submittedBy' | 'submittedActor' | 'owner' | 'priority'> &
      Partial<NewSession>,
  ): NewSession {
    return {
      reason: undefined,
      beforeJson: undefined,
      ...about,
      id: newTimeOrderedId('rev', this.#deps.now()),
      toolJson: documentJson(document),
      schemaHash: digestOf(document),
      toolName: document.name,
      providerName: document.provider.name,
    }
  }

  /** What cannot be told is not begun. */
  #assertRecorded(): void {
    if (!this.#deps.audit.available) throw new VestryError('AUDIT_UNAVAILABLE')
  }

  async #waitFor(analysisId: string, until: AbortSignal): Promise<void> {
    const over = this.#deps.analysisOver(analysisId)
    if (over === undefined || until.aborted || this.#waiting >= MAX_WAITING) return
    this.#waiting += 1
    const enough = AbortSignal.any([until, AbortSignal.timeout(WAIT_FOR_ANALYSIS_MS)])
    const { promise, resolve } = Promise.withResolvers<void>()
    const onAbort = () => resolve()
    enough.addEventListener('abort', onAbort, { once: true })
    try {
      await Promise.race([over, promise])
    } finally {
      enough.removeEventListener('abort', onAbort)
      this.#waiting -= 1
    }
  }
}

function acceptPriority(word: string | undefined): Priority {
  const found = PRIORITIES.find((priority) => priority === (word ?? 'normal'))
  if (found !== undefined) return found
  throw invalidField('priority', `must be one of ${[...PRIORITIES].reverse().join(', ')}`)
}
