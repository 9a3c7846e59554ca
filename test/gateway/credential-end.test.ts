import { expect, test } from 'vitest'
import { operator, putCredential, temporaryHome } from '../harness/boot.ts'
import { startProviders } from '../old-clients/gateway/fake-providers.ts'
import { ALL_TOOLS, startNode } from './world.ts'

test('a credential that is destroyed or deleted is used no more, however steadily it was', async () => {
  using home = temporaryHome()
  await using providers = await startProviders()
  await using node = await startNode(home, { providers })
  const { token } = await node.caller({ scopes: ALL_TOOLS })
  const admin = await operator(home)
  const path = 'tools/serpapi'
  const search = async (q: string) => (await node.call(token, 'serpapi:search', { q })).json.code
  expect(await search('one')).toBeUndefined()

  await admin.call('admin.cred.destroy', { path, versions: [1] })
  expect(await search('two')).toBe('TOOL_NOT_CONFIGURED')
  await putCredential(admin, path, 'another-key-0123456789')
  expect(await search('three')).toBeUndefined()
  await admin.call('admin.cred.rm', { path })
  expect(await search('four')).toBe('TOOL_NOT_CONFIGURED')
  expect(providers.requests('serpapi')).toHaveLength(2)
  admin.destroy()
})
