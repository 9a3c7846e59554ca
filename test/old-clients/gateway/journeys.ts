/** What both clients' manuals show, call by call, as any language's stand-in makes them. */
import { expect } from 'vitest'
import type { GatewayClient, Outcome } from './gateway-process.ts'

export type Connect = (agentId: string, defaultIntent?: string) => Promise<GatewayClient>

export interface Cast {
  readonly scraper: string
  readonly enricher: string
  readonly engager: string
  /** A page that the enricher may fetch, and a word on it. */
  readonly page: { readonly url: string; readonly word: string }
}

/** Mock pages show their own address. */
export const MOCK_PAGE = { url: 'https://example.com', word: 'example.com' }

/** The call's result. @throws Error with what was raised instead. */
export async function result(call: Promise<Outcome>): Promise<Outcome['ok']> {
  const { ok, raised } = await call
  if (raised !== undefined) throw new Error(`${raised.class} (${raised.status}): ${raised.message}`)
  return ok
}

/** A token of one's own, a search with it, a search without any, and the intent of the manual. */
export async function quickStart(connect: Connect, { scraper }: Cast): Promise<void> {
  const gw = await connect(scraper, 'lead_discovery')
  const token = await result(
    gw.getToken({ tools: ['serpapi'], permissions: ['read'], minutes: 15 }),
  )
  expect(token).toMatch(/^[A-Za-z0-9+/]+=*\.[0-9a-f]{64}$/)
  const query = { q: 'site:linkedin.com Montréal plumber', engine: 'google' }
  const found = await result(gw.proxy('serpapi', 'search', query, token))
  expect(found).toMatchObject({ search_metadata: { status: 'Success' } })
  expect(found.organic_results[0]).toMatchObject({
    title: expect.stringContaining(query.q),
    link: expect.stringMatching(/^https:/),
  })
  const again = await gw.proxy('serpapi', 'search', {
    q: 'openai canada',
    engine: 'google',
    num: 3,
  })
  expect(again.ok.organic_results).toHaveLength(3)
  expect(again.attempts.map(({ path, status }) => [path, status])).toEqual([
    ['/api/generate-token', 201],
    ['/api/proxy-request', 200],
  ])
}

/** The three examples, with the manual's names of params: search, fetch and summarise, mail. */
export async function examples(connect: Connect, cast: Cast): Promise<void> {
  const leads = await connect(cast.scraper)
  const query = 'site:linkedin.com "software engineer" "San Francisco"'
  const found = leads.proxy('serpapi', 'search', { q: query, engine: 'google', num: 10 })
  expect((await result(found)).organic_results).toHaveLength(10)

  const data = await connect(cast.enricher, 'data_enrichment')
  const { url, word } = cast.page
  const page = await result(data.proxy('http_fetch', 'get', { url }))
  expect(page).toMatchObject({ url: expect.stringContaining(url), status: 200 })
  expect(page.data).toContain(word)
  expect(page.body).toBe(page.data)
  expect(await result(data.proxy('http_fetch', 'head', { url }))).toMatchObject({ status: 200 })
  const content = `Summarize this content: ${page.data}`
  const messages = [{ role: 'user', content }]
  const summary = await result(data.proxy('openai', 'chat', { messages }))
  expect(summary.choices[0].message).toMatchObject({
    role: 'assistant',
    content: expect.stringContaining('Summarize'),
  })
  const completed = await result(data.proxy('openai', 'complete', { prompt: 'Once upon a time' }))
  expect(completed.choices[0].text).toContain('Once upon a time')

  const mail = await connect(cast.engager, 'email_engagement')
  const letter = {
    to: 'prospect@company.com',
    subject: 'Partnership opportunity – été',
    body: 'Hi there, I think we could work together...',
  }
  const key = mail.language === 'PY' ? 'idempotency_key' : 'idempotencyKey'
  const keyed = { ...letter, [key]: `idemp_${Date.now()}_6f1c3c0e-2b61-4f5a-9d43-0c2f6f0a7d55` }
  const sent = await result(mail.proxy('gmail_send', 'send', keyed))
  expect(sent).toMatchObject({
    success: true,
    message_id: expect.stringMatching(/./),
    to: letter.to,
  })
  const twice = await result(mail.proxy('gmail_send', 'send', keyed))
  expect(twice.message_id).toBe(sent.message_id)
  const unkeyed = await result(mail.proxy('gmail_send', 'send', letter))
  expect(unkeyed.message_id).not.toBe(sent.message_id)
  const other = await mail.proxy('gmail_send', 'send', { ...keyed, body: 'Something else' })
  expect(other.raised).toMatchObject({ class: 'GatewayError', status: 409 })
  expect(await result(mail.proxy('gmail_send', 'profile', {}))).toMatchObject({
    email: expect.stringContaining('@'),
    emailAddress: expect.stringContaining('@'),
  })
}

const STATES = ['queued', 'running', 'done'] as const

/** A mail as a job, polled until it is done; and a job that nobody knows. */
export async function jobs(connect: Connect, { engager }: Cast): Promise<void> {
  const gw = await connect(engager, 'communication')
  const submitted = await gw.proxyAsync('gmail_send', 'send', {
    to: 'user@example.com',
    subject: 'Test email',
    body: 'Hello world!',
  })
  expect(submitted.attempts.at(-1)?.status).toBe(202)
  const id = await result(Promise.resolve(submitted))
  expect(id).toMatch(/^[A-Za-z0-9_-]{16,128}$/)
  const seen: number[] = []
  let job = await result(gw.getJob(id))
  for (; job.status !== 'done'; job = await result(gw.getJob(id))) {
    seen.push(STATES.indexOf(job.status))
    expect(seen).not.toContain(-1)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  expect(seen).toEqual(seen.toSorted())
  expect(job).toMatchObject({ status: 'done', error: null })
  expect(job.result.message_id).toMatch(/./)
  const unknown = await gw.getJob('job_2Hk9vQ7yT4mZ8rXw1cLdPs')
  expect(unknown.raised).toMatchObject({ class: 'GatewayError', status: 404 })
}
