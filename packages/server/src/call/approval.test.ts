import { mkdtempDisposableSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { expect, onTestFinished, test } from 'vitest'
import { testGuard, testKeyring } from '../identity/test-keys.ts'
import { openStore } from '../store/store.ts'
import { Approvals } from './approval.ts'

const DAY = 24 * 3_600_000

async function world() {
  const dir = mkdtempDisposableSync(`${tmpdir()}/approval-`)
  onTestFinished(() => dir.remove())
  const store = await openStore(`sqlite:${dir.path}/store.db`)
  onTestFinished(() => store.close())
  const clock = { ms: 1_000_000 }
  return { approvals: new Approvals(store, testGuard(testKeyring()), () => clock.ms), clock }
}

const request = (params: unknown, policies = ['p']) => ({
  agentId: 'agent-1',
  agentName: 'scout',
  summary: 'give the value away',
  reason: undefined,
  action: 'vault:retrieve',
  resource: 'a/b',
  params,
  policies,
})

async function questions(approvals: Approvals, of: ReturnType<typeof request>): Promise<string[]> {
  const error = await approvals.claim(of).catch((reason) => reason)
  expect(error).toMatchObject({ code: 'APPROVAL_REQUIRED' })
  return error.context.approval_ids
}

test('a yes that was claimed and not used is given back; once begun it is spent', async () => {
  const { approvals } = await world()
  const [id = ''] = await questions(approvals, request({}))
  await approvals.decide(id, 'allowed', 'ada')
  {
    await using _claimed = await approvals.claim(request({}))
    await expect(approvals.claim(request({})), 'held by the first').rejects.toMatchObject({
      code: 'APPROVAL_REQUIRED',
    })
  }
  {
    await using claimed = await approvals.claim(request({}))
    claimed.commit()
  }
  await expect(approvals.claim(request({}))).rejects.toMatchObject({ code: 'APPROVAL_REQUIRED' })
})

test('two policies ask two questions, and a yes to one is not spent while the other waits', async () => {
  const { approvals } = await world()
  const both = request({}, ['p', 'q'])
  const [first = '', second = ''] = await questions(approvals, both)
  await approvals.decide(first, 'allowed', 'ada')
  expect(await questions(approvals, both)).toEqual([second])
  await approvals.decide(second, 'allowed', 'ada')
  const claimed = await approvals.claim(both)
  claimed.commit()
  expect(await questions(approvals, both)).toHaveLength(2)
})

test('the order of members does not make another question, their values do', async () => {
  const { approvals } = await world()
  const [id] = await questions(approvals, request({ a: 1, b: [1, 2] }))
  expect(await questions(approvals, request({ b: [1, 2], a: 1 }))).toEqual([id])
  expect(await questions(approvals, request({ a: 1, b: [2, 1] }))).not.toEqual([id])
})

test('what has long been answered is forgotten, what may still matter is not', async () => {
  const { approvals, clock } = await world()
  const [old = ''] = await questions(approvals, request({ n: 1 }))
  await approvals.decide(old, 'denied', 'ada')
  clock.ms += 31 * DAY
  await approvals.prune()
  expect(await approvals.list(), 'a day to live, thirty to be looked up').toEqual([
    expect.objectContaining({ id: old }),
  ])
  clock.ms += 2 * DAY
  const [fresh] = await questions(approvals, request({ n: 2 }))
  await approvals.prune()
  expect((await approvals.list()).map(({ id }) => id)).toEqual([fresh])
})
