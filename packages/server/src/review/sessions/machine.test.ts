import { VestryError } from '@vestry/contract/errors'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  isEnded,
  type Position,
  PRIORITIES,
  STATUSES,
  type StateType,
  type Step,
  type StepName,
  submitted,
  take,
} from './machine.ts'

const STEPS: Readonly<Record<StepName, Step>> = {
  queue: { step: 'queue' },
  begin_analysis: { step: 'begin_analysis', analysisId: 'ana_1' },
  resume: { step: 'resume' },
  complete_analysis: { step: 'complete_analysis', atMs: 10 },
  fail_analysis: { step: 'fail_analysis', atMs: 10 },
  approve_by_rule: { step: 'approve_by_rule' },
  reject_by_rule: { step: 'reject_by_rule' },
  claim: { step: 'claim', reviewerId: 'ada', atMs: 20 },
  approve: { step: 'approve', reviewerId: 'ada', atMs: 30 },
  reject: { step: 'reject', reviewerId: 'ada', atMs: 30 },
  reanalyze: { step: 'reanalyze' },
  escalate: { step: 'escalate' },
  sign: { step: 'sign' },
  fail_signing: { step: 'fail_signing' },
}

/** How each state is reached. */
const WAYS: Readonly<Record<StateType, readonly StepName[]>> = {
  submitted: [],
  pending_analysis: ['queue'],
  analyzing: ['queue', 'begin_analysis'],
  awaiting_human_review: ['queue', 'begin_analysis', 'complete_analysis'],
  analysis_failed: ['queue', 'begin_analysis', 'fail_analysis'],
  under_review: ['queue', 'begin_analysis', 'complete_analysis', 'claim'],
  approved: ['queue', 'begin_analysis', 'complete_analysis', 'approve'],
  rejected: ['queue', 'begin_analysis', 'complete_analysis', 'reject'],
  signing_failed: ['queue', 'begin_analysis', 'complete_analysis', 'approve', 'fail_signing'],
  signed: ['queue', 'begin_analysis', 'complete_analysis', 'approve', 'sign'],
}

/** All that may happen, state by state; whatever is not here must be refused. */
const ALLOWED: Readonly<Record<StateType, Partial<Record<StepName, StateType>>>> = {
  submitted: { queue: 'pending_analysis' },
  pending_analysis: { begin_analysis: 'analyzing' },
  analyzing: {
    resume: 'pending_analysis',
    complete_analysis: 'awaiting_human_review',
    fail_analysis: 'analysis_failed',
  },
  awaiting_human_review: {
    approve_by_rule: 'approved',
    reject_by_rule: 'rejected',
    claim: 'under_review',
    approve: 'approved',
    reject: 'rejected',
    reanalyze: 'pending_analysis',
    escalate: 'awaiting_human_review',
  },
  analysis_failed: {
    reject: 'rejected',
    reanalyze: 'pending_analysis',
    escalate: 'analysis_failed',
  },
  under_review: {
    approve: 'approved',
    reject: 'rejected',
    reanalyze: 'pending_analysis',
    escalate: 'awaiting_human_review',
  },
  approved: { sign: 'signed', fail_signing: 'signing_failed' },
  signing_failed: { sign: 'signed', fail_signing: 'signing_failed' },
  rejected: {},
  signed: {},
}

const ALL = Object.keys(WAYS) as StateType[]
const at = (type: StateType): Position =>
  WAYS[type].reduce((position, name) => take(position, STEPS[name]), submitted('normal'))

describe.each(ALL)('from %s', (type) => {
  test.each(Object.keys(STEPS) as StepName[])('%s', (name) => {
    const before = at(type)
    const copy = structuredClone(before)
    const wanted = ALLOWED[type][name]
    if (wanted === undefined) {
      expect(() => take(before, STEPS[name])).toThrow(
        expect.objectContaining({ code: 'INVALID_STATE_TRANSITION', status: 409 }),
      )
    } else expect(take(before, STEPS[name]).state.type).toBe(wanted)
    expect(before).toEqual(copy)
  })
})

test('the status that clients know follows from the state', () => {
  expect(Object.fromEntries(ALL.map((type) => [type, at(type).status]))).toEqual({
    submitted: 'submitted',
    pending_analysis: 'pending_analysis',
    analyzing: 'analyzing',
    awaiting_human_review: 'pending_review',
    analysis_failed: 'pending_review',
    under_review: 'under_review',
    approved: 'approved',
    signing_failed: 'approved',
    rejected: 'rejected',
    signed: 'signed',
  })
})

test('fields are filled as far as the review has come', () => {
  const filled = (type: StateType) =>
    Object.entries(at(type).state)
      .filter(([name, value]) => name !== 'type' && value !== undefined)
      .map(([name]) => name)
  const analysed = ['analysisId', 'analysisCompletedAtMs']
  const all = [...analysed, 'reviewerId', 'reviewStartedAtMs']
  expect(Object.fromEntries(ALL.map((type) => [type, filled(type)]))).toEqual({
    submitted: [],
    pending_analysis: [],
    analyzing: ['analysisId'],
    awaiting_human_review: analysed,
    analysis_failed: analysed,
    under_review: all,
    approved: all,
    signing_failed: all,
    rejected: all,
    signed: all,
  })
})

test('a decision keeps when the review began, and names who decided', () => {
  const { state } = take(at('under_review'), { step: 'approve', reviewerId: 'lin', atMs: 99 })
  expect(state).toMatchObject({ reviewerId: 'lin', reviewStartedAtMs: 20 })
})

test('what is escalated is urgent, and free to be claimed', () => {
  const position = take(at('under_review'), STEPS.escalate)
  expect(position.priority).toBe('urgent')
  expect(position.state).toMatchObject({ reviewerId: undefined, reviewStartedAtMs: undefined })
  expect(take(position, STEPS.claim).status).toBe('under_review')
})

test('a failed analysis says what to do before it can be approved', () => {
  const refusal = (() => {
    try {
      return take(at('analysis_failed'), STEPS.approve)
    } catch (error) {
      return error
    }
  })()
  expect(refusal).toBeInstanceOf(VestryError)
  expect(refusal).toMatchObject({
    message: 'The review cannot be approved now: its analysis has failed',
    hint: 'Have it analysed again first',
  })
})

test('runtime §20.9: no order of steps leads out of the known states, or out of an end', () => {
  const steps = fc.array(fc.constantFrom(...Object.values(STEPS)), { maxLength: 40 })
  fc.assert(
    fc.property(steps, fc.constantFrom(...PRIORITIES), (taken, priority) => {
      let position = submitted(priority)
      for (const step of taken) {
        const before = position
        try {
          position = take(position, step)
          expect(isEnded(before)).toBe(false)
        } catch (error) {
          expect(error).toMatchObject({ code: 'INVALID_STATE_TRANSITION' })
          expect(position).toBe(before)
        }
        expect(STATUSES).toContain(position.status)
        expect(ALL).toContain(position.state.type)
        expect(at(position.state.type).status).toBe(position.status)
        // Nothing is approved, and so nothing signed, that was not analysed to the end.
        if (position.status === 'approved' || position.status === 'signed')
          expect(position.state.analysisCompletedAtMs).toBeDefined()
      }
    }),
    { numRuns: 300 },
  )
})
