import { readdir, readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test, vi } from 'vitest'
import { enrichData } from '../../../../examples/gateway/data-enricher.ts'
import { sendEmail, sendLater } from '../../../../examples/gateway/email-engager.ts'
import { searchOrExplain } from '../../../../examples/gateway/errors.ts'
import { scrapeLeads } from '../../../../examples/gateway/lead-scraper.ts'
import { health, hurriedSearch, sendOnce, watched } from '../../../../examples/gateway/operation.ts'
import { quickStart } from '../../../../examples/gateway/quick-start.ts'
import { AGENT_ID, FakeGateway } from './fake-gateway.test-kit.ts'
import { GatewayClient } from './index.ts'

const root = join(dirname(fileURLToPath(import.meta.url)), '../../../..')
const AGENT = { AGENT_ID: 'test-agent', AGENT_PRIVATE_KEY: 'test-key' }

const mock = (query = '') =>
  GatewayClient.fromEnvironment({ ...AGENT, GATEWAY_URL: `mock://localhost${query}` })

test('gateway §19.35: the quick start and the three agents of the examples run', async () => {
  expect(await quickStart(mock())).toMatchObject({ query: 'site:linkedin.com Montreal plumber' })
  expect(await scrapeLeads(mock())).toHaveLength(10)
  expect(await enrichData(mock(), 'https://example.com')).toMatch(
    /^SUMMARY: Summarize this content/,
  )
  const { sent, same } = await sendEmail(mock())
  expect(sent).toMatch(/^mock_/)
  expect(same).toBe(true)
  expect(await sendLater(mock())).toMatch(/^mock_/)
})

test('the error example tells failures apart', async () => {
  expect(await searchOrExplain(mock())).toBe('found')
  expect(await searchOrExplain(mock('?fail=401'))).toMatch(/^Authentication failed/)
  expect(await searchOrExplain(mock('?fail=policy'))).toMatch(/^Policy violation: forced/)
  expect(await searchOrExplain(mock('?fail=429'))).toBe('Rate limited, retry after 1 seconds')
  expect(await searchOrExplain(mock('?fail=502'))).toBe('Upstream service error')
  expect(await searchOrExplain(mock('?fail=network'))).toMatch(/^No answer/)
  expect(await searchOrExplain(mock('?fail=422'))).toMatch(/^Status 422: .* \(req_/)
})

test('the operation example runs against a gateway', async () => {
  await using gateway = await new FakeGateway().start()
  const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
  const lines: string[] = []
  const connection = { baseUrl: gateway.url, agentId: AGENT_ID, agentPrivateKeyPem: 'none' }
  await using client = watched(connection, (line) => lines.push(line))
  expect(await hurriedSearch(client, 'bakery')).toMatchObject({ echo: { q: 'bakery' } })
  const mail = ['a@example.org', 'Hi', 'Hello'] as const
  expect(await sendOnce(client, ...mail)).toEqual(await sendOnce(client, ...mail))
  expect(gateway.executed).toEqual(['serpapi:search', 'gmail_send:send'])
  expect(lines).toContain('proxy-request 0: answer')
  expect(await health(gateway.url)).toBe(404)
  warn.mockRestore()
})

test('every code block of the manual is part of a file that runs', async () => {
  const folder = join(root, 'examples/gateway')
  const files = (await readdir(folder)).filter((name) => name.endsWith('.ts'))
  const sources = await Promise.all(files.map((name) => readFile(join(folder, name), 'utf8')))
  const packed = sources.map(unindented)
  const manual = await readFile(join(root, 'docs/api/gateway.md'), 'utf8')
  const blocks = [...manual.matchAll(/```ts\n([\s\S]*?)```/g)].map(([, code]) => code ?? '')
  expect(blocks.length).toBeGreaterThan(8)
  for (const block of blocks) {
    const excerpt = unindented(block)
    expect(packed.some((source) => source.includes(excerpt)) ? '' : block).toBe('')
  }
})

function unindented(code: string): string {
  const lines = code.split('\n').map((line) => line.trim())
  return lines.filter((line) => line !== '').join('\n')
}
