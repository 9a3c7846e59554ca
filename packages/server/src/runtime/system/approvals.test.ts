import { VestryError } from '@vestry/contract/errors'
import { expect, test } from 'vitest'
import type { RuntimeRequest } from '../wire/route.ts'
import { approvalRoutes } from './approvals.ts'

const code = (value: string) => expect.objectContaining({ code: value })

/** What the verbs do, with two approvals of which one was decided. */
function setUp() {
  const approvals = [
    { id: 'appr_1', state: 'pending' },
    { id: 'appr_2', state: 'denied' },
  ]
  const routes = approvalRoutes(async (_request, name, given) => {
    const { id, state } = given as { id?: string; state?: string }
    if (name === 'approval.list')
      return {
        result: { approvals: approvals.filter((one) => (state ?? one.state) === one.state) },
      }
    const found = approvals.find((one) => one.id === id && one.state === 'pending')
    if (found === undefined) throw new VestryError('NOT_FOUND')
    found.state = name === 'approval.allow' ? 'allowed' : 'denied'
    return { result: { ...found } }
  })
  return async (method: string, path: string, given: Partial<RuntimeRequest> = {}) => {
    const route = routes.find((one) => one.method === method && one.path === path)
    expect(route?.access).toBe('approve')
    return route?.handle({ params: {}, query: {}, ...given } as RuntimeRequest)
  }
}

test('calls that wait are listed, and answered once', async () => {
  const ask = setUp()
  expect(await ask('GET', 'approvals')).toMatchObject({
    body: [{ id: 'appr_1' }, { id: 'appr_2' }],
  })
  const query = { query: { state: 'pending' } }
  expect(await ask('GET', 'approvals', query)).toMatchObject({ body: [{ id: 'appr_1' }] })
  const one = { params: { id: 'appr_1' } }
  expect(await ask('POST', 'approvals/:id/approve', one)).toMatchObject({
    body: { id: 'appr_1', state: 'allowed' },
  })
  for (const word of ['approve', 'deny'])
    await expect(ask('POST', `approvals/:id/${word}`, one)).rejects.toThrow(
      code('INVALID_STATE_TRANSITION'),
    )
  await expect(ask('POST', 'approvals/:id/deny', { params: { id: 'none' } })).rejects.toThrow(
    code('NOT_FOUND'),
  )
})
