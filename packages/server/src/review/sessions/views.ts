/** Reviews as they are shown: one, a page, the queue, the numbers. Reads only. */
import { setImmediate } from 'node:timers/promises'
import { VestryError } from '@vestry/contract/errors'
import { type ToolChange, toolChanges } from '../diff.ts'
import { documentOf } from '../normalise.ts'
import type { Signatures } from '../signing/signatures.ts'
import { type AnalysisStore, criticalOf } from './analysis-store.ts'
import { STATUSES, type Status } from './machine.ts'
import { estimatedCompletion, type Outlook } from './outlook.ts'
import { type Session, sessionBody, timeText } from './session.ts'
import type { ListFilter, SessionStore } from './session-store.ts'
import { transitionBody } from './transition-views.ts'

type Body = Record<string, unknown>

export interface ViewDeps {
  readonly sessions: SessionStore
  readonly analyses: AnalysisStore
  readonly signatures: Pick<Signatures, 'ofTool'>
  readonly outlook: Outlook
  readonly now: () => number
}

/** Told one by one; a tool with more of them is another tool. */
const MAX_CHANGES = 200
/** Of all of them: names of properties may be as long as a schema, and each change below one begins with it. */
const MAX_POINTER_CHARS = 65_536
/** Of tools that are read before others have their turn. */
const TURN_CHARS = 65_536
/** Reviews that wait for a person; the others are in the count. */
const MAX_QUEUE = 100

export class ReviewViews {
  readonly #deps: ViewDeps

  constructor(deps: ViewDeps) {
    this.#deps = deps
  }

  /** With the difference to what was signed or seen before, if it was. */
  async one(session: Session): Promise<Body> {
    const [[body], diff] = await Promise.all([this.#bodies([session]), this.#diff(session)])
    return { ...body, ...(diff !== undefined && { diff }) }
  }

  /** The short answer to a submission. */
  async submitted(session: Session): Promise<Body> {
    return {
      review_id: session.id,
      status: session.status,
      submitted_at: timeText(session.submittedAtMs),
      estimated_completion: timeText(await this.#estimate(session)),
      priority: session.priority,
      schema_hash: session.schemaHash,
    }
  }

  async list(filter: ListFilter, paging: { page: number; limit: number }): Promise<Body> {
    const { page, limit } = paging
    const { sessions, total } = await this.#deps.sessions.list(filter, paging)
    return {
      sessions: await this.#bodies(sessions),
      pagination: {
        page,
        limit,
        total,
        has_next: page * limit < total,
        total_pages: Math.ceil(total / limit),
      },
    }
  }

  /** What waits for a person, the most urgent first. */
  async queue(): Promise<Body> {
    const { sessions, now } = this.#deps
    const [waiting, counts] = await Promise.all([
      sessions.inOrder(['pending_review', 'under_review'], MAX_QUEUE),
      sessions.counts(),
    ])
    const bodies = await this.#bodies(waiting)
    return {
      queue: bodies.map((body, index) => ({
        ...body,
        waiting_seconds: secondsSince(waiting[index]?.analysedAtMs, now()),
      })),
      total: (counts.pending_review ?? 0) + (counts.under_review ?? 0),
      pending_analysis: (counts.submitted ?? 0) + (counts.pending_analysis ?? 0),
      analyzing: counts.analyzing ?? 0,
    }
  }

  async stats(): Promise<Body> {
    const { sessions, outlook, now } = this.#deps
    const [counts, medians, [oldest]] = await Promise.all([
      sessions.counts(),
      outlook.medians(),
      sessions.oldestWaiting(),
    ])
    const of = (status: Status) => counts[status] ?? 0
    return {
      total: STATUSES.reduce((sum, status) => sum + of(status), 0),
      by_status: Object.fromEntries(STATUSES.map((status) => [status, of(status)])),
      waiting_for_analysis: of('submitted') + of('pending_analysis') + of('analyzing'),
      waiting_for_review: of('pending_review') + of('under_review'),
      oldest_waiting_seconds: secondsSince(oldest?.analysedAtMs, now()),
      median_analysis_ms: medians.analysisMs ?? null,
      median_review_seconds:
        medians.waitMs === undefined ? null : Math.round(medians.waitMs / 1_000),
    }
  }

  async audit(session: Session): Promise<Body> {
    const { transitions, problem } = await this.#deps.sessions.transitions(session)
    return {
      review_id: session.id,
      entries: transitions.map(transitionBody),
      intact: problem === undefined,
      problem: problem ?? null,
      head: session.chain,
    }
  }

  async #bodies(sessions: readonly Session[]): Promise<Body[]> {
    const ids = sessions.flatMap(({ state }) => state.analysisId ?? [])
    const [analyses, medians] = await Promise.all([
      this.#deps.analyses.findAll(ids),
      this.#deps.outlook.medians(),
    ])
    const nowMs = this.#deps.now()
    const bodies: Body[] = []
    let chars = 0
    for (const session of sessions) {
      const analysis = analyses.get(session.state.analysisId ?? '')
      // Without it a tool with findings would look like one without.
      if (analysis === undefined && session.summary !== undefined)
        throw new VestryError('STORE_CORRUPT', `The analysis of review ${session.id} is missing`)
      bodies.push(
        sessionBody(session, {
          critical: criticalOf(analysis),
          estimatedCompletionMs: estimatedCompletion(session, medians, nowMs),
        }),
      )
      chars += session.toolJson.length
      if (chars < TURN_CHARS) continue
      chars = 0
      await setImmediate()
    }
    return bodies
  }

  async #estimate(session: Session): Promise<number | undefined> {
    return estimatedCompletion(session, await this.#deps.outlook.medians(), this.#deps.now())
  }

  /** What changed since it was signed last, or, where nobody signed it, since it was seen last. */
  async #diff(session: Session): Promise<Body | undefined> {
    const { id, schemaHash, toolJson, beforeJson } = session
    const document = documentOf(toolJson)
    const signed = await this.#deps.signatures.ofTool(document.name, document.provider.name)
    const own = signed.find(({ reviewId }) => reviewId === id)
    const last = signed.find(
      (one) => one.reviewId !== id && (own === undefined || one.signedAt < own.signedAt),
    )
    if (last !== undefined && last.schemaHash !== schemaHash) {
      const { reviewId, signedAt } = last
      const against = {
        kind: 'signed',
        review_id: reviewId,
        schema_hash: last.schemaHash,
        at: timeText(signedAt),
      }
      return { against, ...changesBody(toolChanges(last.document, document)) }
    }
    if (last !== undefined || beforeJson === undefined || beforeJson === toolJson) return undefined
    return {
      against: { kind: 'seen' },
      ...changesBody(toolChanges(documentOf(beforeJson), document)),
    }
  }
}

function changesBody(changes: readonly ToolChange[]): Body {
  let chars = 0
  const told = changes.slice(0, MAX_CHANGES).filter(({ pointer }, index) => {
    chars += pointer.length
    return index === 0 || chars <= MAX_POINTER_CHARS
  })
  return {
    changes: told.map(({ pointer, ...change }) => ({ location: pointer, ...change })),
    total_changes: changes.length,
  }
}

function secondsSince(fromMs: number | undefined, nowMs: number): number | null {
  return fromMs === undefined ? null : Math.max(0, Math.floor((nowMs - fromMs) / 1_000))
}
