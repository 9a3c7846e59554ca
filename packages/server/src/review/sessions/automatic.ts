/** Decisions that no person takes. Both are off unless the configuration asks for them. Pure. */
import { newTimeOrderedId } from '@vestry/contract/ids'
import type { Analysis } from '../analysis/finding.ts'
import type { Move } from './walk.ts'

export interface AutomaticRules {
  /** Approves up to this score, where nothing of medium severity or more was found; undefined: never. */
  readonly approveUpTo: number | undefined
  /** Rejects what has a critical finding that is nearly certain. */
  readonly reject: boolean
}

const NEARLY_CERTAIN = 0.9

/** @returns One move, or none. */
export function automaticMove(
  { risk_score: score, findings }: Pick<Analysis, 'risk_score' | 'findings'>,
  { approveUpTo, reject }: AutomaticRules,
  atMs: number,
): readonly Move[] {
  const damning = findings.find(
    ({ severity, confidence }) => severity === 'critical' && confidence >= NEARLY_CERTAIN,
  )
  if (reject && damning !== undefined)
    return [move('reject_by_rule', `${damning.finding_id}: ${damning.title}`, atMs)]
  const harmless = findings.every(({ severity }) => severity === 'low')
  if (approveUpTo !== undefined && harmless && score <= approveUpTo)
    return [move('approve_by_rule', `risk score ${score} of at most ${approveUpTo}`, atMs)]
  return []
}

function move(step: 'approve_by_rule' | 'reject_by_rule', comments: string, atMs: number): Move {
  const decision = step === 'approve_by_rule' ? 'approve' : 'reject'
  const id = newTimeOrderedId('dec')
  return {
    step: { step },
    actor: 'system',
    detail: { decision_id: id, decision, comments },
    // Not `decidedAtMs`: nobody waited for a person.
    set: { decided: { id, decision, reviewerId: undefined, comments, atMs } },
  }
}
