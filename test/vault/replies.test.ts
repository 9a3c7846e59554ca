/** What scripts read: one way of naming members and of telling times, in every reply of the operators' wire. */
import { expect, test } from 'vitest'
import { startTestDaemon } from '../harness/daemon.ts'
import { newAgentKeys } from '../harness/keys.ts'

const READS = [
  'status',
  'admin.server.show',
  'admin.agent.list',
  'admin.cred.list',
  'admin.policy.list',
  'admin.lease.list',
  'admin.session.list',
  'admin.approval.list',
  'admin.key.list',
  'admin.operator.list',
  'admin.slot.list',
  'admin.audit.query',
  'admin.audit.verify',
  'admin.audit.checkpoint',
] as const

test('every reply names its members in snake_case and its times in RFC 3339', async () => {
  await using vestry = await startTestDaemon()
  const { admin } = vestry
  const scout = await vestry.addAgent('scout')
  await vestry.addCredential('a/b', 'value-0123456789')
  await vestry.addPolicy({
    version: 1,
    policies: [
      { name: 'leases', principals: ['agent:*'], resources: ['a/*'], actions: ['retrieve'] },
      {
        name: 'asks',
        principals: ['agent:*'],
        resources: ['a/*'],
        actions: ['use:sign'],
        require_approval: true,
      },
    ],
  })
  const client = await vestry.agent(scout)
  await client.call('retrieve', { path: 'a/b' })
  await client
    .call('use', { path: 'a/b', operation: 'sign', params: { data: 'x' } })
    .catch(() => undefined)
  const { publicKeyHex: public_key } = newAgentKeys('ada')
  const replies: Record<string, unknown> = {
    'operator.add': await admin.call('admin.operator.add', {
      name: 'ada',
      role: 'auditor',
      public_key,
    }),
    'key.add': await admin.call('admin.key.add', { agent: 'scout', name: 'for tests' }),
    'operator.revoke': await admin.call('admin.operator.revoke', { name: 'ada' }),
    'audit.prune': await admin.call('admin.audit.prune', { before: 0 }),
  }
  for (const method of READS) replies[method] = await admin.call(method)

  expect(replies['admin.key.list']).toMatchObject({
    keys: expect.arrayContaining([expect.objectContaining({ name: 'for tests', agent: 'scout' })]),
  })
  expect(replies['admin.approval.list']).toMatchObject({ approvals: [{ agent: 'scout' }] })
  expect(Object.entries(replies).flatMap(([name, reply]) => oddities(reply, name))).toEqual([])
})

/** Where a reply departs from the rule: a member in another case, or a moment told as a number. */
function oddities(value: unknown, at: string): string[] {
  if (typeof value === 'number') return value > 1e12 && value < 1e13 ? [`${at} is ${value}`] : []
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([name, member]) => [
    ...(/^[a-z0-9_]+$/.test(name) ? [] : [`${at}.${name}`]),
    ...oddities(member, `${at}.${name}`),
  ])
}
