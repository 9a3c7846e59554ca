/** The TypeScript clients of vault and gateway within a run: what they take ends with it, and its token is shown to nobody. */
import { readFile } from 'node:fs/promises'
import { inspect } from 'node:util'
import { GatewayClient, type GatewayClientOptions } from '@vestry/sdk/gateway'
import { SanctumClient, type TxnToken } from '@vestry/sdk/vault'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startTestDaemon, type TestDaemon } from '../harness/daemon.ts'
import type { AgentKeys } from '../harness/keys.ts'

const PATH = 'joined/key'
let vestry: TestDaemon
let agent: AgentKeys
beforeAll(async () => {
  vestry = await startTestDaemon()
  agent = await vestry.addAgent('joiner')
  await vestry.addCredential(PATH, 'secret')
  await vestry.addPolicy({
    version: 1,
    policies: [{ name: 'all', principals: ['agent:*'], resources: ['**'], actions: ['retrieve'] }],
  })
})
afterAll(() => vestry.stop())

async function newRun() {
  const { run_id, env } = await vestry.admin.call('admin.run.register', {
    agent: agent.name,
    org_id: '1',
  })
  const read = () => readFile(String(env.TRAT_FILE), 'utf8')
  return { id: String(run_id), read, token: await read() }
}
const close = (id: string) => vestry.admin.call('admin.run.close', { id })
const records = (action: string) =>
  vestry
    .auditLines()
    .map((line) => JSON.parse(line))
    .filter((record) => record.action === action)

const sanctum = (txnToken: TxnToken, more: object = {}) =>
  new SanctumClient(agent.name, {
    socketPath: vestry.home.vaultSocket,
    seed: agent.seed,
    txnToken,
    ...more,
  })

async function gateway(txnToken: TxnToken, more: Partial<GatewayClientOptions> = {}) {
  const { id } = await vestry.admin.call('admin.agent.show', { name: agent.name })
  return new GatewayClient({
    baseUrl: vestry.daemon.ready.http,
    agentId: id,
    agentPrivateKeyPem: 'none',
    txnToken,
    retry: { maxRetries: 1, baseDelayMs: 1, maxDelayMs: 1 },
    ...more,
  })
}

test('a vault session joins its run, and its leases end with it', async () => {
  const run = await newRun()
  await using client = sanctum(run.read)
  await client.connect()
  await client.retrieve(PATH)
  expect(records('credential.retrieve').at(-1)).toMatchObject({ txn: run.id })
  expect((await vestry.admin.call('admin.lease.list')).total).toBe(1)
  await close(run.id)
  expect((await vestry.admin.call('admin.lease.list')).total).toBe(0)
  // The file of a closed run is gone, so what reads it says so by itself.
  await expect(client.retrieve(PATH)).rejects.toMatchObject({ code: 'ENOENT' })
})

test('a client that signs in again joins the run again, with the token of that moment', async () => {
  const run = await newRun()
  let asked = 0
  await using client = sanctum(async () => {
    asked += 1
    return run.token
  })
  await client.connect()
  await vestry.restart()
  await client.retrieve(PATH)
  expect(asked).toBeGreaterThanOrEqual(2)
  await close(run.id)
  await expect(client.retrieve(PATH)).rejects.toMatchObject({ code: 'RUN_CLOSED' })
})

test('tokens of the gateway client end with the run, and so do its calls', async () => {
  const run = await newRun()
  await using client = await gateway(() => run.token)
  const token = await client.getToken({
    tools: ['http_fetch'],
    permissions: ['read'],
    ttlMinutes: 5,
  })
  expect(records('token.mint').at(-1)).toMatchObject({ txn: run.id })
  const call = (with_?: string) =>
    client.proxy('http_fetch', 'get', { url: 'https://example.org/' }, with_).then(
      () => 'done',
      ({ errorCode }) => errorCode,
    )
  expect(await call(token)).not.toMatch(/RUN_CLOSED|TXN/)
  await close(run.id)
  expect(await call(token)).toMatch(/RUN_CLOSED|TOKEN_REVOKED/)
  expect(await call()).toBe('RUN_CLOSED')
})

test('the run’s token is in nothing that is printed, and what is no token is not sent', async () => {
  const { token } = await newRun()
  const shown = [sanctum(token), await gateway(token)].flatMap((client) => [
    inspect(client, { depth: 9, showHidden: true }),
    JSON.stringify(client),
    String(client),
  ])
  for (const text of shown) expect(text).not.toContain(token.slice(0, 20))
  for (const wrong of ['', 'a b', `${token}\nX: y`, 7 as never]) {
    expect(() => sanctum(wrong)).toThrow(expect.objectContaining({ code: 'INVALID_PARAMS' }))
    await expect(gateway(wrong)).rejects.toMatchObject({ code: 'INVALID_PARAMS' })
    const given = () => wrong
    await expect(sanctum(given).connect()).rejects.toMatchObject({ code: 'INVALID_PARAMS' })
    const client = await gateway(given)
    const ask = { tools: ['http_fetch'], permissions: ['read'], ttlMinutes: 5 }
    await expect(client.getToken(ask)).rejects.toMatchObject({ code: 'INVALID_PARAMS' })
  }
})

test('a function that never answers holds nothing up', async () => {
  const never = () => new Promise<string>(() => undefined)
  await expect(sanctum(never, { connectTimeoutMs: 50 }).connect()).rejects.toMatchObject({
    code: 'TIMEOUT',
  })
  await using client = await gateway(never, { timeoutMs: 50 })
  const ask = { tools: ['http_fetch'], permissions: ['read'], ttlMinutes: 5 }
  await expect(client.getToken(ask)).rejects.toMatchObject({ name: 'GatewayNetworkError' })
})
