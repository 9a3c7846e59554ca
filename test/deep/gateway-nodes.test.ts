import { randomUUID } from 'node:crypto'
import { describe, expect, test, vi } from 'vitest'
import { postgresOffer, postgresUrl } from '../../packages/server/src/store/test-store.ts'
import { LETTER, type NodeOptions, siblingHome, startNode, startProcess } from '../gateway/world.ts'
import { temporaryHome } from '../harness/boot.ts'
import { startProviders } from '../old-clients/gateway/fake-providers.ts'

const without = 'skip' in postgresOffer ? ` (skipped: ${postgresOffer.skip})` : ''
const ASYNC = { async: true }
const JOBS = 12
/** The dead node's hold on its runs ends only by time. */
const FOUND_DEAD_MS = 45_000

describe.skipIf('skip' in postgresOffer)(`two nodes on one PostgreSQL${without}`, () => {
  test('gateway §19.22 and §19.26: when one is killed, the other ends its jobs and repeats no mail', async () => {
    await using providers = await startProviders()
    using firstHome = temporaryHome()
    const options: NodeOptions = {
      providers,
      production: true,
      storeUrl: (await postgresUrl()) as string, // the suite is skipped where there is none
      gateway: { rate_limit_points: 100_000, job_concurrency: 2, cb_bulkhead_concurrency: 64 },
    }
    const sent = (subject: string) =>
      providers
        .requests('gmail_send')
        .map(({ body }) => Buffer.from(JSON.parse(body).raw, 'base64url').toString('utf8'))
        .filter((text) => text.includes(subject)).length
    const newLetter = () => ({ ...LETTER, subject: `letter ${randomUUID()}` })

    const first = await startProcess(firstHome, options)
    await using _killed = { [Symbol.asyncDispose]: () => first.kill() }
    using secondHome = siblingHome(firstHome)
    const { token } = await first.caller()
    const q = randomUUID()
    for (const provider of ['gmail_send', 'serpapi'] as const)
      providers.become(provider, { slowMs: 2_500 })
    // Before there is anybody else to take it.
    const searchJob = (await first.call(token, 'serpapi:search', { q }, ASYNC)).json.job_id
    const letters = Array.from({ length: JOBS }, newLetter)
    const mailJob = (letter: object) => first.call(token, 'gmail_send:send', letter, ASYNC)
    const [firstLetter = newLetter(), ...others] = letters
    const jobs = [(await mailJob(firstLetter)).json.job_id]
    await vi.waitFor(() => {
      expect(providers.requests('serpapi')).toHaveLength(1)
      expect(sent(firstLetter.subject)).toBe(1)
    })
    await using second = await startNode(secondHome, options)
    for (const letter of others) jobs.push((await mailJob(letter)).json.job_id)
    const keyed = { ...newLetter(), idempotency_key: `idemp_${randomUUID()}` }
    const lost = first.call(token, 'gmail_send:send', keyed).catch(() => undefined)
    await vi.waitFor(() => expect(sent(keyed.subject)).toBe(1))
    await first.kill()
    expect(await lost).toBeUndefined()

    // Until the first counts as dead, its call may still end; then nobody knows what came of it.
    await vi.waitFor(
      async () => {
        const retry = await second.call(token, 'gmail_send:send', keyed)
        expect(retry).toMatchObject({ status: 409, json: { code: 'OUTCOME_UNKNOWN' } })
      },
      { timeout: FOUND_DEAD_MS, interval: 500 },
    )
    const ended = await Promise.all(jobs.map((id) => second.ended(id, FOUND_DEAD_MS)))
    expect(ended[0]).toMatchObject({ status: 'failed', error_code: 'OUTCOME_UNKNOWN' })
    for (const job of ended) expect(['done', 'failed']).toContain(job.status)
    const failed = ended.filter(({ status }) => status === 'failed')
    expect(failed.length).toBeLessThanOrEqual(2) // as many as the first ran at once
    for (const job of failed) expect(job.error_code).toBe('OUTCOME_UNKNOWN')
    expect(letters.map(({ subject }) => sent(subject))).toEqual(letters.map(() => 1))
    expect(sent(keyed.subject)).toBe(1)
    expect(await second.ended(searchJob, FOUND_DEAD_MS)).toMatchObject({ status: 'done' })
    expect(providers.requests('serpapi')).toHaveLength(2)
  })
})
