import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { GatewayClient, type GatewayClientOptions } from '@vestry/sdk/gateway'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { enrichData } from '../../examples/gateway/data-enricher.ts'
import { sendEmail, sendLater } from '../../examples/gateway/email-engager.ts'
import { searchOrExplain } from '../../examples/gateway/errors.ts'
import { scrapeLeads } from '../../examples/gateway/lead-scraper.ts'
import { health, hurriedSearch, sendOnce, watched } from '../../examples/gateway/operation.ts'
import { quickStart } from '../../examples/gateway/quick-start.ts'
import { temporaryHome } from '../harness/boot.ts'
import { advance } from '../harness/clock.ts'
import { type Providers, startProviders } from '../old-clients/gateway/fake-providers.ts'
import { ALL_TOOLS, type GatewayNode, LETTER, startNode } from './world.ts'

const FOLDER = join(import.meta.dirname, '../../examples/gateway')

/** What `vestry agent env` prints for an agent, whose key signs its requests for tokens. */
async function newAgent(node: GatewayNode, role: string): Promise<Record<string, string>> {
  const made = await node.asAdmin('POST', '/api/create-agent', {
    name: `the ${role}`,
    created_by: 'tests',
    role,
    require_signature: true,
  })
  return { GATEWAY_URL: node.url, AGENT_ID: made.agent_id, AGENT_PRIVATE_KEY: made.private_key }
}

describe('gateway §19.35: the examples, with a daemon and its default policies', () => {
  const home = temporaryHome()
  let node: GatewayNode
  const agents: Record<string, Record<string, string>> = {}
  beforeAll(async () => {
    node = await startNode(home)
    for (const role of ['scraper', 'enricher', 'engager']) agents[role] = await newAgent(node, role)
  })
  afterAll(async () => {
    await node[Symbol.asyncDispose]()
    home[Symbol.dispose]()
  })
  const as = (role: string) => GatewayClient.fromEnvironment(agents[role])

  test('the quick start finds leads', async () => {
    await using gw = as('scraper')
    expect(await quickStart(gw)).toMatchObject({
      query: 'site:linkedin.com Montreal plumber',
      organic_results: expect.arrayContaining([
        expect.objectContaining({ title: expect.any(String) }),
      ]),
    })
  })

  test('the scraper, the enricher and the engager do their work', async () => {
    await using scraper = as('scraper')
    expect(await scrapeLeads(scraper)).toHaveLength(10)
    await using enricher = as('enricher')
    expect(await enrichData(enricher, 'https://example.com')).toMatch(
      /^SUMMARY: Summarize this content/,
    )
    await using engager = as('engager')
    const { sent, same } = await sendEmail(engager)
    expect(sent).toMatch(/^mock_/)
    expect(same).toBe(true)
    expect(await sendLater(engager)).toMatch(/^mock_/)
  })

  test('they run as programs', async () => {
    const run = async (name: string, role: string) => {
      const env = {
        PATH: process.env['PATH'] ?? '',
        NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'],
        ...agents[role],
      }
      const child = spawn(
        process.execPath,
        ['--conditions=source', '--no-warnings', join(FOLDER, name)],
        { env, stdio: ['ignore', 'pipe', 'inherit'] },
      )
      const [out, [code]] = await Promise.all([text(child.stdout), once(child, 'close')])
      expect(code, name).toBe(0)
      return out
    }
    expect(await run('quick-start.ts', 'scraper')).toContain('Montreal plumber')
    expect(await run('email-engager.ts', 'engager')).toContain('same: true')
    expect(await run('errors.ts', 'engager')).toContain('Policy violation: ')
  })

  test('each failure is told apart', async () => {
    await using wrongRole = as('engager')
    expect(await searchOrExplain(wrongRole)).toMatch(/^Policy violation: Agent /)
    await using right = as('scraper')
    expect(await searchOrExplain(right)).toBe('found')
    const unsigned = { ...agents['scraper'], AGENT_PRIVATE_KEY: 'no key at all' }
    const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
    await using nobody = GatewayClient.fromEnvironment(unsigned)
    expect(await searchOrExplain(nobody)).toBe('Authentication failed (AGENT_PROOF_REQUIRED)')
    await using foreign = GatewayClient.fromEnvironment({
      ...agents['scraper'],
      AGENT_PRIVATE_KEY: agents['enricher']?.['AGENT_PRIVATE_KEY'] ?? '',
    })
    expect(await searchOrExplain(foreign)).toBe('Authentication failed (AGENT_PROOF_INVALID)')
    warn.mockRestore()
  })

  test('the operation example watches what it does', async () => {
    const { GATEWAY_URL: baseUrl = '', AGENT_ID: agentId = '' } = agents['engager'] ?? {}
    const lines: string[] = []
    const agentPrivateKeyPem = agents['engager']?.['AGENT_PRIVATE_KEY'] ?? ''
    await using client = watched({ baseUrl, agentId, agentPrivateKeyPem }, (line) =>
      lines.push(line),
    )
    client.setIntent('outreach_send')
    const mail = ['a@example.org', 'Hi', 'Hello'] as const
    expect(await sendOnce(client, ...mail)).toEqual(await sendOnce(client, ...mail))
    await expect(hurriedSearch(client, 'bakery')).rejects.toMatchObject({
      name: 'GatewayPolicyError',
      errorCode: 'POLICY_SCOPE_NOT_ALLOWED',
    })
    expect(lines).toContain('proxy-request 0: answer')
    expect(await health(baseUrl)).toBe(200)
  })
})

describe('gateway §19.35: our client with providers that misbehave', () => {
  const home = temporaryHome()
  let providers: Providers
  let node: GatewayNode
  let environment: Record<string, string>
  beforeAll(async () => {
    providers = await startProviders()
    const gateway = { retry_max_retries: 0, cb_fail_threshold: 1_000 }
    node = await startNode(home, { providers, gateway })
    environment = await newAgent(node, 'any')
    await node.allow(environment['AGENT_ID'] ?? '', { scopes: ALL_TOOLS })
  })
  afterAll(async () => {
    await node[Symbol.asyncDispose]()
    await providers[Symbol.asyncDispose]()
    home[Symbol.dispose]()
  })
  const client = (more: Partial<GatewayClientOptions> = {}) =>
    new GatewayClient({
      baseUrl: environment['GATEWAY_URL'] ?? '',
      agentId: environment['AGENT_ID'] ?? '',
      agentPrivateKeyPem: environment['AGENT_PRIVATE_KEY'] ?? '',
      ...more,
    })
  const mails = () => providers.requests('gmail_send').length

  test('only what may be repeated is', async () => {
    await using gw = client()
    let failures = 1
    const once = () => {
      failures -= 1
      return failures >= 0 ? ({ status: 500 } as const) : ('fine' as const)
    }
    providers.become('serpapi', once)
    expect(await gw.proxy('serpapi', 'search', { q: 'again' })).toMatchObject({
      search_metadata: { status: 'Success' },
    })
    expect(providers.requests('serpapi')).toHaveLength(2)
    failures = 1
    providers.become('gmail_send', once)
    await expect(gw.proxy('gmail_send', 'send', LETTER)).rejects.toMatchObject({ statusCode: 502 })
    expect(mails()).toBe(1)
    providers.become('gmail_send', 'fine')
  })

  test('a token near its end is replaced, and nothing is executed again for it', async () => {
    const rotated: number[] = []
    await using gw = client({
      autoRotate: true,
      onTokenRotated: ({ expiresAtMs }) => void rotated.push(expiresAtMs),
    })
    const wish = { tools: ['gmail_send'], permissions: ['write'], ttlMinutes: 6 }
    const token = await gw.getToken(wish)
    advance(2 * 60_000)
    const before = mails()
    await gw.proxy('gmail_send', 'send', LETTER, token)
    await vi.waitFor(() => expect(rotated).toHaveLength(1))
    expect(mails()).toBe(before + 1)
    advance(5 * 60_000) // the old one is over now
    await gw.proxy('gmail_send', 'send', { ...LETTER, idempotency_key: 'after-its-end' }, token)
    expect(mails()).toBe(before + 2)
  })

  test('a keyed mail whose connection breaks is sent once, and its id is told', async () => {
    await using gw = client({ timeoutMs: 500, retry: { baseDelayMs: 200 } })
    providers.become('gmail_send', { slowMs: 900 })
    const before = mails()
    const params = { ...LETTER, idempotency_key: 'slower-than-the-client' }
    const sent = await gw.proxy<{ message_id: string }>('gmail_send', 'send', params)
    expect(sent.message_id).toMatch(/^msg_/)
    expect(mails()).toBe(before + 1)
    providers.become('gmail_send', 'fine')
  })
})
