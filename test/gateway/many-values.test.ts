import { expect, test } from 'vitest'
import { operator, temporaryHome } from '../harness/boot.ts'
import { startNode } from './world.ts'

const FORBID = `@id("no-delete")
forbid (principal, action == Action::"tool:call", resource)
when { context has args && context.args.hasTag("/what") && context.args.getTag("/what") == "delete" };`

const BULK = {
  description: 'A tool with a list',
  base_url: 'http://127.0.0.1:9',
  actions: {
    run: {
      description: 'Does it',
      method: 'POST',
      path: '/run',
      permission: 'write',
      params: {
        type: 'object',
        properties: {
          items: { type: 'array', items: { type: 'string' } },
          what: { type: 'string' },
        },
      },
    },
  },
}

test('a call cannot hide a value from a forbid behind many others', async () => {
  using home = temporaryHome()
  await using node = await startNode(home, { gateway: { tools: { bulk: BULK } } })
  const { token } = await node.caller({ scopes: ['bulk:*'] })
  const admin = await operator(home)
  await admin.call('admin.policy.put', { files: [{ name: 'no-delete.cedar', text: FORBID }] })
  const run = async (what: string, count: number) => {
    const params = { items: Array.from({ length: count }, () => 'x'), what }
    return (await node.call(token, 'bulk:run', params)).json.code
  }
  expect(await run('read', 5_000)).toBeUndefined()
  expect(await run('delete', 1)).toBe('POLICY_GUARD')
  expect(await run('delete', 5_000)).toBe('POLICY_GUARD')
  expect(await run('read', 10_000)).toBe('INVALID_PARAMS')
  expect(await run('delete', 10_000)).toBe('INVALID_PARAMS')
  admin.destroy()
})
