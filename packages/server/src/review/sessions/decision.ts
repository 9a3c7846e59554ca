/** What a reviewer may say, in the words of several clients, and what it means. Pure. */
import { VestryError } from '@vestry/contract/errors'
import { newTimeOrderedId } from '@vestry/contract/ids'
import { invalidField } from './field.ts'
import type { Session } from './session.ts'
import type { Move } from './walk.ts'

export const DECISIONS = [
  'approve',
  'reject',
  'request_reanalysis',
  'escalate',
  'request_changes',
] as const
export type DecisionWord = (typeof DECISIONS)[number]

const SAME: ReadonlyMap<string, DecisionWord> = new Map([
  ['approved', 'approve'],
  ['rejected', 'reject'],
  ['escalate_to_senior', 'escalate'],
])

export interface Decision {
  readonly word: DecisionWord
  readonly reviewerId: string
  readonly comments: string | undefined
  /** Who is behind the key, as the log names them. */
  readonly actor: string
}

/** @throws VestryError VALIDATION_ERROR */
export function decisionWord(text: string): DecisionWord {
  const word = text.toLowerCase()
  const found = DECISIONS.find((known) => known === word) ?? SAME.get(word)
  if (found !== undefined) return found
  throw invalidField('decision', `must be one of ${DECISIONS.join(', ')}`)
}

/**
 * The step a decision is, with what has to hold for it.
 *
 * @throws VestryError VALIDATION_ERROR where comments are missing, or the reviewer is the submitter and may not be.
 */
export function decisionMove(
  session: Session,
  decision: Decision,
  { fourEyes, nowMs }: { fourEyes: boolean; nowMs: number },
): Move & { readonly decisionId: string } {
  const { word, reviewerId, comments, actor } = decision
  const decisionId = newTimeOrderedId('dec', nowMs)
  const said = {
    decision_id: decisionId,
    decision: word,
    reviewer_id: reviewerId,
    ...(comments !== undefined && { comments }),
  }
  const decided = { id: decisionId, decision: word, reviewerId, comments, atMs: nowMs }
  const by = { reviewerId, atMs: nowMs }
  switch (word) {
    case 'approve':
      if (mayDecide(session)) assertApprovable(session, decision, fourEyes)
      return {
        decisionId,
        step: { step: 'approve', ...by },
        actor,
        detail: { ...said, ...riskOf(session) },
        set: { decided, decidedAtMs: nowMs },
      }
    case 'reject':
    case 'request_changes':
      return {
        decisionId,
        step: { step: 'reject', ...by },
        actor,
        detail: { ...said, ...riskOf(session) },
        set: { decided, decidedAtMs: nowMs },
      }
    case 'request_reanalysis':
      return { ...reanalysisMove(actor, said), decisionId }
    case 'escalate':
      return { decisionId, step: { step: 'escalate' }, actor, detail: said }
    default:
      return word satisfies never
  }
}

export function reanalysisMove(actor: string, detail: Readonly<Record<string, unknown>>): Move {
  return {
    step: { step: 'reanalyze' },
    actor,
    detail,
    set: { attempts: 0, failure: undefined, summary: undefined, analysedAtMs: undefined },
  }
}

export function nextActionOf({ status }: Pick<Session, 'status'>): 'signing' | 'analysis' | 'none' {
  if (status === 'approved') return 'signing'
  return status === 'pending_analysis' ? 'analysis' : 'none'
}

/** Where a decision comes too late, that is what is told, and not what it lacks. */
function mayDecide({ state }: Session): boolean {
  return state.type === 'awaiting_human_review' || state.type === 'under_review'
}

function assertApprovable(
  session: Session,
  { reviewerId, comments, actor }: Decision,
  fourEyes: boolean,
): void {
  // Both names are what clients say; whose key it was is known.
  const isSame = sameName(reviewerId, session.submittedBy) || actor === session.submittedActor
  if (fourEyes && isSame) throw ownTool()
  const critical = session.summary?.findings.critical ?? 0
  if (critical > 0 && !VISIBLE.test(comments ?? '')) {
    throw new VestryError(
      'VALIDATION_ERROR',
      `Approving a tool with ${critical === 1 ? 'a critical finding' : `${critical} critical findings`} needs comments`,
      {
        hint: 'Say why it may be used all the same',
        context: {
          fields: [{ path: 'comments', problem: 'required for a tool with critical findings' }],
        },
      },
    )
  }
}

function ownTool(): VestryError {
  return new VestryError('VALIDATION_ERROR', 'Whoever submitted a tool does not approve it here', {
    hint: 'Somebody else has to review it, with a key of their own (runtime.four_eyes)',
    context: { fields: [{ path: 'reviewer_id', problem: 'must differ from submitted_by' }] },
  })
}

/** A reason is something that can be read; some letters are blank. */
const VISIBLE = /(?![\u115f\u1160\u3164\uffa0])[\p{L}\p{N}]/u

/** Letters of any case and width are the same name. */
function sameName(one: string, other: string): boolean {
  const plain = (name: string) => name.normalize('NFKC').trim().toLowerCase()
  return plain(one) === plain(other)
}

function riskOf({ summary, state }: Session): Record<string, unknown> {
  return {
    ...(state.analysisId !== undefined && { analysis_id: state.analysisId }),
    ...(summary !== undefined && { risk_score: summary.riskScore, findings: summary.findings }),
  }
}
