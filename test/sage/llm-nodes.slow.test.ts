/** Two nodes on one store: what one of them is told about a run, the other one's gateway does. */
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { postgresOffer, postgresUrl } from '../../packages/server/src/store/test-store.ts'
import { siblingHome } from '../gateway/world.ts'
import { boot, operator, putCredential, temporaryHome } from '../harness/boot.ts'
import { FAKE_KEYS, startFakeProviders } from '../harness/fake-providers.ts'
import { newAgentKeys } from '../harness/keys.ts'
import { rawRequest, requestBytes } from './raw-http.ts'

const BODY = { model: 'gpt-4o', messages: [{ role: 'user', content: 'x' }] }
const passphrase = 'correct horse battery staple'
const cluster = 'skip' in postgresOffer ? describe.skip : describe

cluster('sage §21.15: two nodes on one PostgreSQL', () => {
  test('a run closed on one is denied by the other’s gateway within a second, under traffic', async () => {
    await using undo = new AsyncDisposableStack()
    const providers = undo.use(await startFakeProviders())
    const config = {
      egress: { allow_cidrs: ['127.0.0.1/32'] },
      llm: {
        providers: { openai: { base_url: providers.openai.url } },
        requests_per_run_minute: 100_000,
      },
    }
    const storeUrl = await postgresUrl()
    const home = undo.use(temporaryHome())
    undo.use(await boot(home, { storeUrl, passphrase, config }))
    const other = undo.use(siblingHome(home))
    undo.use(await boot(other, { storeUrl, passphrase, config }))
    undo.use(providers) // before the daemons, which would wait for calls that hang
    const admin = await operator(home)
    undo.defer(() => admin.destroy())
    await putCredential(admin, 'llm/openai', FAKE_KEYS.openai)
    const { name, publicKeyHex } = newAgentKeys('scanner')
    await admin.call('admin.agent.add', { name, public_key: publicKeyHex })
    const { env, run_id } = await admin.call('admin.run.register', {
      agent: name,
      org_id: '1',
      allowed_models: { analysis: ['openai:gpt-4o'] },
    })
    const headers = {
      Authorization: `Bearer ${readFileSync(env.SPIFFE_JWT_PATH, 'utf8').trim()}`,
      'Txn-Token': readFileSync(env.TRAT_FILE, 'utf8').trim(),
      'X-Provider': 'openai',
    }
    const path = env.LLM_GATEWAY_SOCKET.replace(home.dir, other.dir)
    const ask = () =>
      rawRequest({ path }, requestBytes('POST', '/v1/chat/completions', headers, BODY))
    await expect.poll(async () => (await ask()).status, { timeout: 5_000 }).toBe(200)

    const asked: { startedMs: number; status: number }[] = []
    let stopping = false
    const traffic = Promise.all(
      [1, 2, 3].map(async () => {
        while (!stopping) {
          const startedMs = performance.now()
          asked.push({ startedMs, status: (await ask()).status })
        }
      }),
    )
    await expect.poll(() => asked.length).toBeGreaterThan(10)
    await admin.call('admin.run.close', { id: run_id })
    const closedMs = performance.now()
    await expect
      .poll(async () => JSON.parse((await ask()).body).error?.code, { timeout: 2_000, interval: 5 })
      .toBe('run_closed')
    const heardMs = performance.now()
    expect(heardMs - closedMs).toBeLessThan(1_000)
    const seen = asked.length
    await expect.poll(() => asked.length).toBeGreaterThan(seen + 10)
    stopping = true
    await traffic
    // An answer may be on its way when the end is heard, so what counts is when it was asked for.
    const before = asked.filter(({ startedMs }) => startedMs < heardMs)
    const after = asked.filter(({ startedMs }) => startedMs >= heardMs)
    expect(after.length).toBeGreaterThan(0)
    expect(before.filter(({ status }) => ![200, 403, 429].includes(status))).toEqual([])
    expect(before[0]?.status).toBe(200)
    // One that goes on asking is slowed down (429); nothing is let through.
    expect(after.filter(({ status }) => status !== 403 && status !== 429)).toEqual([])
  })
})
