/**
 * The way of a tool through review: which step may follow which, and what is known after it. Pure; who may take a
 * step and what is written down of it is decided elsewhere (runtime contract §6.2).
 */
import { VestryError } from '@vestry/contract/errors'

export const STATUSES = [
  'submitted',
  'pending_analysis',
  'analyzing',
  'pending_review',
  'under_review',
  'approved',
  'rejected',
  'signed',
] as const
export type Status = (typeof STATUSES)[number]

export const PRIORITIES = ['urgent', 'high', 'normal', 'low'] as const
export type Priority = (typeof PRIORITIES)[number]

export type StateType =
  | Exclude<Status, 'pending_review'>
  | 'awaiting_human_review'
  | 'analysis_failed'
  | 'signing_failed'

/** The `state` of the wire, but for the findings, which are kept with the analysis. Times are epoch milliseconds. */
export interface State {
  readonly type: StateType
  readonly analysisId: string | undefined
  readonly analysisCompletedAtMs: number | undefined
  readonly reviewerId: string | undefined
  readonly reviewStartedAtMs: number | undefined
}

export interface Position {
  readonly status: Status
  readonly state: State
  readonly priority: Priority
}

/** What happens to a review. */
export type Step =
  | { readonly step: 'queue' }
  | { readonly step: 'begin_analysis'; readonly analysisId: string }
  /** What was being analysed when its daemon ended is analysed again. */
  | { readonly step: 'resume' }
  | { readonly step: 'complete_analysis'; readonly atMs: number }
  | { readonly step: 'fail_analysis'; readonly atMs: number }
  | { readonly step: 'approve_by_rule' }
  | { readonly step: 'reject_by_rule' }
  | { readonly step: 'claim'; readonly reviewerId: string; readonly atMs: number }
  | { readonly step: 'approve'; readonly reviewerId: string; readonly atMs: number }
  | { readonly step: 'reject'; readonly reviewerId: string; readonly atMs: number }
  | { readonly step: 'reanalyze' }
  /** Somebody more senior should look, and soon. */
  | { readonly step: 'escalate' }
  | { readonly step: 'sign' }
  | { readonly step: 'fail_signing' }

export type StepName = Step['step']

const NOTHING_KNOWN = {
  analysisId: undefined,
  analysisCompletedAtMs: undefined,
  reviewerId: undefined,
  reviewStartedAtMs: undefined,
} as const

/** A review as it begins. */
export function submitted(priority: Priority): Position {
  return { status: 'submitted', state: { type: 'submitted', ...NOTHING_KNOWN }, priority }
}

/** Where each step may be taken from, by the type of the state, which is finer than the status. */
const FROM: Readonly<Record<StepName, readonly StateType[]>> = {
  queue: ['submitted'],
  begin_analysis: ['pending_analysis'],
  resume: ['analyzing'],
  complete_analysis: ['analyzing'],
  fail_analysis: ['analyzing'],
  approve_by_rule: ['awaiting_human_review'],
  reject_by_rule: ['awaiting_human_review'],
  claim: ['awaiting_human_review'],
  approve: ['awaiting_human_review', 'under_review'],
  reject: ['awaiting_human_review', 'analysis_failed', 'under_review'],
  reanalyze: ['awaiting_human_review', 'analysis_failed', 'under_review'],
  escalate: ['awaiting_human_review', 'analysis_failed', 'under_review'],
  sign: ['approved', 'signing_failed'],
  fail_signing: ['approved', 'signing_failed'],
}

/** @throws VestryError INVALID_STATE_TRANSITION; nothing has changed then. */
export function take(from: Position, step: Step): Position {
  if (!FROM[step.step].includes(from.state.type)) throw notFrom(from, step.step)
  return { ...from, ...next(from, step) }
}

/** Nothing follows: a rejected tool is submitted anew. */
export function isEnded({ status }: Pick<Position, 'status'>): boolean {
  return status === 'rejected' || status === 'signed'
}

function next({ state }: Position, step: Step): Partial<Position> & Pick<Position, 'status'> {
  switch (step.step) {
    case 'queue':
    case 'resume':
    case 'reanalyze':
      return {
        status: 'pending_analysis',
        state: { type: 'pending_analysis', ...NOTHING_KNOWN },
      }
    case 'begin_analysis':
      return {
        status: 'analyzing',
        state: { type: 'analyzing', ...NOTHING_KNOWN, analysisId: step.analysisId },
      }
    case 'complete_analysis':
    case 'fail_analysis': {
      const type =
        step.step === 'fail_analysis'
          ? ('analysis_failed' as const)
          : ('awaiting_human_review' as const)
      return {
        status: 'pending_review',
        state: { ...state, type, analysisCompletedAtMs: step.atMs },
      }
    }
    case 'claim':
      return {
        status: 'under_review',
        state: { ...state, type: 'under_review', ...reviewed(state, step) },
      }
    case 'approve':
      return { status: 'approved', state: { ...state, type: 'approved', ...reviewed(state, step) } }
    case 'reject':
      return { status: 'rejected', state: { ...state, type: 'rejected', ...reviewed(state, step) } }
    case 'approve_by_rule':
      return { status: 'approved', state: { ...state, type: 'approved' } }
    case 'reject_by_rule':
      return { status: 'rejected', state: { ...state, type: 'rejected' } }
    case 'escalate': {
      // Whoever had taken it hands it back.
      const type = state.type === 'under_review' ? 'awaiting_human_review' : state.type
      const handedBack = { ...state, type, reviewerId: undefined, reviewStartedAtMs: undefined }
      return { status: 'pending_review', priority: 'urgent', state: handedBack }
    }
    case 'sign':
      return { status: 'signed', state: { ...state, type: 'signed' } }
    case 'fail_signing':
      return { status: 'approved', state: { ...state, type: 'signing_failed' } }
    default:
      return step satisfies never
  }
}

/** A decision without a claim begins the review it ends; one by somebody else takes it over. */
function reviewed(
  state: State,
  { reviewerId, atMs }: { reviewerId: string; atMs: number },
): Pick<State, 'reviewerId' | 'reviewStartedAtMs'> {
  return { reviewerId, reviewStartedAtMs: state.reviewStartedAtMs ?? atMs }
}

const WORDS: Readonly<Record<StepName, string>> = {
  queue: 'queued',
  begin_analysis: 'analysed',
  resume: 'analysed again',
  complete_analysis: 'reviewed',
  fail_analysis: 'reviewed',
  approve_by_rule: 'approved',
  reject_by_rule: 'rejected',
  claim: 'claimed',
  approve: 'approved',
  reject: 'rejected',
  reanalyze: 'analysed again',
  escalate: 'escalated',
  sign: 'signed',
  fail_signing: 'signed',
}

function notFrom({ status, state }: Position, step: StepName): VestryError {
  const failed = state.type === 'analysis_failed'
  const is = failed ? 'its analysis has failed' : `it is ${status.replaceAll('_', ' ')}`
  return new VestryError(
    'INVALID_STATE_TRANSITION',
    `The review cannot be ${WORDS[step]} now: ${is}`,
    {
      context: { status, state: state.type },
      ...(failed && { hint: 'Have it analysed again first' }),
    },
  )
}
