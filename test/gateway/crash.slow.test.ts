import { randomUUID } from 'node:crypto'
import { describe, expect, test, vi } from 'vitest'
import { temporaryHome } from '../harness/boot.ts'
import { type Providers, startProviders } from '../old-clients/gateway/fake-providers.ts'
import { LETTER, startProcess } from './world.ts'

const newLetter = () => ({ ...LETTER, subject: `letter ${randomUUID()}` })
const ASYNC = { async: true }

/** How often the mail service got a letter with this subject. */
function sentOf(providers: Providers, subject: string): number {
  return providers.requests('gmail_send').filter(({ body }) => {
    const { raw } = JSON.parse(body) as { raw: string }
    return Buffer.from(raw, 'base64url').toString('utf8').includes(subject)
  }).length
}

const gateway = { retry_max_retries: 0, job_concurrency: 3 }

describe('gateway §19.22 and §19.26: a daemon that is killed', () => {
  test('while it calls: what may not run twice does not, what may does', async () => {
    using home = temporaryHome()
    await using providers = await startProviders()
    const keyed = { ...newLetter(), idempotency_key: `idemp_${randomUUID()}` }
    const implicit = newLetter()
    const correlation = { 'x-correlation-id': `req_${Date.now()}_crash` }
    const search = { q: randomUUID(), idempotency_key: `idemp_${randomUUID()}` }
    let token: string
    {
      await using node = await startProcess(home, { providers, gateway })
      ;({ token } = await node.caller())
      for (const provider of ['gmail_send', 'serpapi'] as const) providers.become(provider, 'hang')
      const lost = Promise.allSettled([
        node.call(token, 'gmail_send:send', keyed),
        node.call(token, 'gmail_send:send', implicit, {}, correlation),
        node.call(token, 'serpapi:search', search),
      ])
      await vi.waitFor(() => {
        expect(providers.requests('gmail_send')).toHaveLength(2)
        expect(providers.requests('serpapi')).toHaveLength(1)
      })
      await node.kill()
      expect((await lost).map(({ status }) => status)).toEqual(Array(3).fill('rejected'))
    }
    for (const provider of ['gmail_send', 'serpapi'] as const) providers.become(provider, 'fine')
    await using node = await startProcess(home, { providers, gateway })
    const unknown = {
      status: 409,
      json: { code: 'OUTCOME_UNKNOWN', error: 'Interrupted, outcome unknown' },
    }
    for (let n = 0; n < 2; n += 1) {
      expect(await node.call(token, 'gmail_send:send', keyed)).toMatchObject(unknown)
      expect(await node.call(token, 'gmail_send:send', implicit, {}, correlation)).toMatchObject(
        unknown,
      )
    }
    expect([sentOf(providers, keyed.subject), sentOf(providers, implicit.subject)]).toEqual([1, 1])
    expect(await node.call(token, 'serpapi:search', search)).toMatchObject({
      status: 200,
      json: { metadata: { idempotent_replay: false } },
    })
    // Another content under the key of what was interrupted is told nothing either.
    expect(await node.call(token, 'gmail_send:send', { ...keyed, body: 'other' })).toMatchObject({
      status: 409,
      json: { code: 'IDEMPOTENCY_CONFLICT' },
    })
  })

  test('when the provider answers, and after: the letter is out once, and the retry knows of it', async () => {
    using home = temporaryHome()
    await using providers = await startProviders()
    let node = await startProcess(home, { providers, gateway })
    await using _last = { [Symbol.asyncDispose]: () => node.kill() }
    const { token } = await node.caller()
    for (const killAfterMs of [0, 3, undefined]) {
      const letter = { ...newLetter(), idempotency_key: `idemp_${randomUUID()}` }
      let killed: Promise<void> | undefined
      const kill = () => {
        killed ??= node.kill()
        return killed
      }
      providers.become('gmail_send', () => {
        if (killAfterMs !== undefined) setTimeout(kill, killAfterMs)
        return 'fine'
      })
      const sent = await node.call(token, 'gmail_send:send', letter).catch(() => undefined)
      if (killAfterMs !== undefined) await vi.waitFor(() => expect(killed).toBeDefined())
      await kill()
      providers.become('gmail_send', 'fine')
      node = await startProcess(home, { providers, gateway })
      const { status, json } = await node.call(token, 'gmail_send:send', letter)
      if (sent !== undefined) {
        expect([status, json.data?.message_id]).toEqual([200, sent.json.data.message_id])
        expect(json.metadata.idempotent_replay).toBe(true)
      } else {
        const told = status === 200 ? json.metadata.idempotent_replay : json.code
        expect([200, 409]).toContain(status)
        expect(told).toBe(status === 200 ? true : 'OUTCOME_UNKNOWN')
      }
      expect(killAfterMs === undefined ? sent?.status : 200).toBe(200)
      expect(sentOf(providers, letter.subject)).toBe(1)
    }
  })

  test('with jobs: those that wait run once, running ones again only if they may', async () => {
    using home = temporaryHome()
    await using providers = await startProviders()
    const letters = Array.from({ length: 10 }, newLetter)
    const q = randomUUID()
    const ids: string[] = []
    let searchJob: string
    {
      await using node = await startProcess(home, { providers, gateway })
      const { token } = await node.caller()
      for (const provider of ['gmail_send', 'serpapi'] as const) providers.become(provider, 'hang')
      searchJob = (await node.call(token, 'serpapi:search', { q }, ASYNC)).json.job_id
      for (const letter of letters)
        ids.push((await node.call(token, 'gmail_send:send', letter, ASYNC)).json.job_id)
      await vi.waitFor(() => {
        expect(providers.requests('gmail_send')).toHaveLength(2)
        expect(providers.requests('serpapi')).toHaveLength(1)
      })
      const states = await Promise.all(ids.map(async (id) => (await node.job(id)).json.status))
      expect(states).toEqual(letters.map((_, n) => (n < 2 ? 'running' : 'queued')))
      await node.kill()
    }
    for (const provider of ['gmail_send', 'serpapi'] as const) providers.become(provider, 'fine')
    await using node = await startProcess(home, { providers, gateway })
    expect((await node.job(searchJob)).json.status).not.toBe('queued')
    for (const [n, id] of ids.entries()) {
      const ended = await node.ended(id)
      const interrupted = {
        status: 'failed',
        result: null,
        error: expect.stringMatching(/interrupted, outcome unknown/i),
        error_code: 'OUTCOME_UNKNOWN',
      }
      expect(ended).toMatchObject(n < 2 ? interrupted : { status: 'done', error: null })
    }
    expect(await node.ended(searchJob)).toMatchObject({ status: 'done' })
    expect(letters.map(({ subject }) => sentOf(providers, subject))).toEqual(letters.map(() => 1))
    expect(providers.requests('serpapi').map(({ query }) => query.get('q'))).toEqual([q, q])
  })

  test('before a job’s token is revoked elsewhere: it fails when the daemon is back', async () => {
    using home = temporaryHome()
    await using providers = await startProviders()
    const letter = newLetter()
    let job: string
    {
      await using node = await startProcess(home, { providers, gateway })
      const id = await node.createAgent()
      await node.allow(id)
      const { json } = await node.mint(id)
      providers.become('openai', 'hang')
      const { token } = await node.caller()
      for (let n = 0; n < 3; n += 1) await node.call(token, 'openai:chat', { input: `${n}` }, ASYNC)
      await vi.waitFor(() => expect(providers.requests('openai')).toHaveLength(3))
      job = (await node.call(json.agent_token, 'gmail_send:send', letter, ASYNC)).json.job_id
      await node.asAdmin('POST', `/api/admin/tokens/${json.token_id}/revoke`)
      await node.kill()
    }
    providers.become('openai', 'fine')
    await using node = await startProcess(home, { providers, gateway })
    expect(await node.ended(job)).toMatchObject({ status: 'failed', error_code: 'TOKEN_REVOKED' })
    expect(sentOf(providers, letter.subject)).toBe(0)
  })
})
