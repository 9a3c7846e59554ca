/** Peers that want to fill the log, the memory or the clock: what a refusal may cost. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startTestDaemon, type TestDaemon } from '../harness/daemon.ts'
import { type AgentKeys, newAgentKeys } from '../harness/keys.ts'
import { frameOf, RawClient } from '../harness/raw-client.ts'
import { codeOf } from '../harness/refusal.ts'

let vestry: TestDaemon
let scout: AgentKeys

beforeAll(async () => {
  vestry = await startTestDaemon({
    config: { limits: { agent_requests: { per_second: 50, burst: 50 } } },
  })
  scout = await vestry.addAgent('scout')
  await vestry.addCredential('a/b', 'a value')
})
afterAll(() => vestry.stop())

const connect = () => RawClient.connect({ path: vestry.home.vaultSocket })
const lines = () => vestry.auditLines().length

/** Sends `count` requests without waiting, and reads their answers. */
async function burst(
  client: RawClient,
  count: number,
  request: (n: number) => object,
): Promise<string[]> {
  const codes: string[] = []
  for (let sent = 0; sent < count; ) {
    const some = Math.min(100, count - sent)
    for (let n = 0; n < some; n += 1) client.send({ id: sent + n + 1, ...request(sent + n) })
    for (let n = 0; n < some; n += 1) codes.push((await client.next())?.error?.code ?? 'ok')
    sent += some
  }
  return codes
}

describe('a stranger', () => {
  test('writes nothing to the log by asking for what needs a login', async () => {
    const before = lines()
    const client = await connect()
    const methods = ['retrieve', 'use', 'list', 'no_such_method', 'admin.seal', 'status', 'ping']
    await burst(client, 2_000, (n) => ({ method: methods[n % methods.length], params: {} }))
    for (let n = 0; n < 500; n += 1) client.write(frameOf(Buffer.from('{"id":1,"method":')))
    for (let n = 0; n < 500; n += 1) await client.next()
    client.destroy()
    expect(lines() - before).toBe(0)
  })

  test('writes a few lines, not one each, by failing to log in under a thousand names', async () => {
    const before = lines()
    const wrong = '00'.repeat(64)
    for (let round = 0; round < 100; round += 1) {
      const client = await connect()
      // Each connection ends after three failures, so they come in threes.
      for (let n = 0; n < 3; n += 1) {
        const opened = await client
          .call('authenticate', { agent_name: `nobody-${round}-${n}` })
          .catch(() => undefined)
        if (opened === undefined) break
        const { session_id } = opened
        await codeOf(client.call('challenge_response', { session_id, signature: wrong }))
      }
      client.destroy()
    }
    expect(lines() - before).toBeLessThan(80)
    // The source is locked out by now: all that is left is one summary.
    const client = await connect()
    expect(await codeOf(client.login(scout))).toBe('RATE_LIMITED')
    client.destroy()
  })

  test('grows nothing by opening challenges for ever longer names', async () => {
    const client = await connect()
    globalThis.gc?.()
    const before = process.memoryUsage().rss
    for (let n = 0; n < 300; n += 1) {
      const name = `${n}`.padEnd(60_000, 'x')
      expect(await codeOf(client.call('authenticate', { agent_name: name }))).toBe('ok')
    }
    client.destroy()
    expect(process.memoryUsage().rss - before).toBeLessThan(150 * 1024 * 1024)
  })
})

test('strangers do not keep a vault open that seals itself when nobody uses it', async () => {
  await using own = await startTestDaemon({ config: { vault: { auto_seal_idle: 1 } } })
  const stranger = await RawClient.connect({ path: own.home.vaultSocket })
  const atAdmin = await RawClient.connect({ path: own.home.adminSocket })
  await expect
    .poll(
      async () => {
        await codeOf(stranger.call('authenticate', { agent_name: 'nobody' }))
        await codeOf(stranger.call('retrieve', { path: 'a/b' }))
        await codeOf(atAdmin.call('admin.agent.list'))
        return (await stranger.call('status')).sealed
      },
      { interval: 100, timeout: 8_000 },
    )
    .toBe(true)
  stranger.destroy()
  atAdmin.destroy()
})

test('an agent that is over its rate leaves a summary, not a record each', async () => {
  await using own = await startTestDaemon({
    config: { limits: { agent_requests: { per_second: 20, burst: 20 } } },
  })
  const client = await own.agent(await own.addAgent('busy'))
  await own.addCredential('a/b', 'a value')
  const before = own.auditLines().length
  const codes = await burst(client, 2_000, () => ({ method: 'retrieve', params: { path: 'a/b' } }))
  expect(codes.filter((code) => code === 'RATE_LIMITED').length).toBeGreaterThan(1_500)
  expect(own.auditLines().length - before).toBeLessThan(500)
  client.destroy()
})

test('a deeply nested policy, one of aliases, and one of patterns that would back-track are refused or done with in time', async () => {
  const put = (text: string) =>
    codeOf(vestry.admin.call('admin.policy.put', { files: [{ name: 'bomb.yaml', text }] }))
  const aliases = ['a: &a [x,x,x,x,x,x,x,x,x,x]']
  for (let n = 1; n < 9; n += 1) {
    const [here, below] = ['abcdefghij'[n], 'abcdefghij'[n - 1]]
    aliases.push(`${here}: &${here} [${Array(10).fill(`*${below}`).join(',')}]`)
  }
  const rule = (resource: string) =>
    JSON.stringify({
      version: 1,
      policies: [
        { name: 'slow', principals: ['agent:*'], resources: [resource], actions: ['retrieve'] },
      ],
    })
  const startedAt = performance.now()
  expect(await put(aliases.join('\n'))).not.toBe('ok')
  expect(await put(`${'['.repeat(100_000)}`)).not.toBe('ok')
  expect(await put(`${'{a: '.repeat(50_000)}`)).not.toBe('ok')
  expect(await put(rule(`${'*a'.repeat(60)}/**/**/**/**/**/**/**/**/b`))).toBe('ok')
  await vestry.admin.call('admin.policy.test', {
    agent: 'scout',
    path: `${'a'.repeat(120)}/a/a/a/a/a/a/a/a/a/a/a/a/a/c`,
    action: 'retrieve',
  })
  expect(performance.now() - startedAt).toBeLessThan(8_000)
  expect(newAgentKeys('still here').name).toBe('still here')
  expect(await codeOf(vestry.admin.call('admin.agent.list'))).toBe('ok')
})
