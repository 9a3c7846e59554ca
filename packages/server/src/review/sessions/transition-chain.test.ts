import { expect, test } from 'vitest'
import {
  type ChainHead,
  chainProblem,
  EMPTY_CHAIN,
  type Transition,
  transitionAfter,
} from './transition-chain.ts'

const steps: Transition[] = []
for (const to of ['submitted', 'pending_analysis', 'analyzing', 'pending_review'] as const) {
  const last = steps.at(-1)
  const what = {
    atMs: 1_000 + steps.length,
    reviewId: 'rev_1',
    from: last?.to ?? ('' as const),
    to,
    actor: 'system',
    detail: to === 'pending_review' ? { risk_score: 7 } : {},
  }
  steps.push(transitionAfter(last ?? EMPTY_CHAIN, what))
}
const head = steps.at(-1) as ChainHead

test('runtime §20.9: a chain as it was written holds', () => {
  expect(steps.map(({ seq }) => seq)).toEqual([1, 2, 3, 4])
  expect(chainProblem(steps, head)).toBeUndefined()
  expect(chainProblem([], EMPTY_CHAIN)).toBeUndefined()
})

const altered = (index: number, change: Partial<Transition>) =>
  steps.map((step, at) => (at === index ? { ...step, ...change } : step))

test.each([
  ['another actor', altered(2, { actor: 'operator:ada' }), 'step 3 was altered'],
  ['another time', altered(0, { atMs: 1 }), 'step 1 was altered'],
  ['another target', altered(3, { to: 'approved' }), 'step 4 was altered'],
  ['another detail', altered(3, { detail: { risk_score: 0 } }), 'step 4 was altered'],
  ['another review', altered(1, { reviewId: 'rev_2' }), 'step 2 was altered'],
  ['a step taken out', steps.toSpliced(1, 1), 'step 2 is missing'],
  ['the end cut off', steps.slice(0, 3), 'steps after 3 are missing'],
  ['all of them gone', [], 'steps after 0 are missing'],
  [
    'two steps exchanged',
    [steps[1], steps[0], steps[2], steps[3]] as Transition[],
    'step 1 is missing',
  ],
])('runtime §20.9: %s is noticed', (_, found, problem) => {
  expect(chainProblem(found, head)).toBe(problem)
})

test('runtime §20.9: a step that somebody hashed anew does not fit the next one, nor the signed end', () => {
  const forged = transitionAfter(steps[2] as Transition, {
    ...(steps[3] as Transition),
    to: 'approved',
  })
  expect(chainProblem([...steps.slice(0, 3), forged], head)).toBe(
    'step 4 is not the one that was last written',
  )
  const earlier = transitionAfter(steps[0] as Transition, { ...(steps[1] as Transition), atMs: 5 })
  expect(chainProblem(steps.with(1, earlier), head)).toBe('step 3 does not follow the one before')
  const added = transitionAfter(head, { ...(steps[3] as Transition), to: 'approved' })
  expect(chainProblem([...steps, added], head)).toBe('step 5 is not the one that was last written')
})
