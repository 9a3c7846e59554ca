import { expect, test } from 'vitest'
import { startTestDaemon } from '../harness/daemon.ts'

test('an agent retrieves, lists, uses and releases; without a policy it may do nothing', async () => {
  await using vestry = await startTestDaemon()
  const scout = await vestry.addAgent('scout')
  await vestry.addCredential('openai/api_key', 'sk-test-0123456789')
  const client = await vestry.agent(scout)
  await expect(client.call('retrieve', { path: 'openai/api_key' })).rejects.toMatchObject({
    code: 'ACCESS_DENIED',
  })
  expect(await client.call('list')).toMatchObject({ credentials: [] })
  await vestry.addPolicy({
    version: 1,
    policies: [
      {
        name: 'all',
        principals: ['agent:scout'],
        resources: ['openai/*'],
        actions: ['list', 'retrieve', 'use'],
        hosts: ['api.openai.com'],
        max_ttl: 900,
      },
    ],
  })
  const got = await client.call('retrieve', { path: 'openai/api_key', ttl: 300 })
  expect(Buffer.from(got.value, 'hex').toString()).toBe('sk-test-0123456789')
  expect(got).toMatchObject({ ttl: 300, ttl_clamped: false, path: 'openai/api_key', version: 1 })
  expect((await client.call('list')).credentials).toMatchObject([
    { path: 'openai/api_key', tags: [], max_ttl: 900 },
  ])
  const header = await client.call('use', { path: 'openai/api_key', operation: 'http_header' })
  expect(header.header).toBe('Authorization: Bearer sk-test-0123456789')
  expect(await client.call('release_lease', { lease_id: got.lease_id })).toMatchObject({
    status: 'released',
  })
  expect(await client.call('whoami')).toMatchObject({ agent: 'scout', policies: ['vault:all'] })
  const verify = await vestry.admin.call('admin.audit.verify')
  expect(verify.status).toBe('intact')
})
