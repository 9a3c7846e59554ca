/** What the LLM gateway counts, on the one page of metrics. */
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Family, parsePrometheus, total } from '../gateway/security-prometheus.ts'
import { startTestDaemon, type TestDaemon } from '../harness/daemon.ts'
import { type RawReply, rawRequest, requestBytes } from './raw-http.ts'

const CHAT = '/v1/chat/completions'

let vestry: TestDaemon
let tokens: Record<string, string>
/** Before anything was asked. */
let atStart: Map<string, Family>

async function scrape(): Promise<Map<string, Family>> {
  const response = await fetch(`${vestry.daemon.ready.http}/metrics`)
  expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8')
  return parsePrometheus(await response.text())
}

beforeAll(async () => {
  vestry = await startTestDaemon()
  atStart = await scrape()
  await vestry.addAgent('scanner')
  const { env } = await vestry.admin.call('admin.run.register', {
    agent: 'scanner',
    run_id: 'run_metrics',
    org_id: '90210',
    scope: 'scan.execute',
    allowed_models: { analysis: ['openai:gpt-4o'] },
  })
  const file = (name: string) => readFileSync(env[name], 'utf8').trim()
  tokens = { Authorization: `Bearer ${file('SPIFFE_JWT_PATH')}`, 'Txn-Token': file('TRAT_FILE') }
})
afterAll(() => vestry?.stop())

function post(path: string, body: unknown, headers: Record<string, string>): Promise<RawReply> {
  const bytes = requestBytes('POST', path, { 'X-Provider': 'openai', ...headers }, body)
  return rawRequest({ path: vestry.daemon.ready.llm_socket }, bytes)
}

const ask = (model: string, more: object = {}, headers = tokens): Promise<RawReply> =>
  post(CHAT, { model, messages: [{ role: 'user', content: 'hello' }], ...more }, headers)

/** What one thing adds to the counts. */
async function adding<T>(work: () => Promise<T>) {
  const before = await scrape()
  const result = await work()
  await sleep(20) // counted when the answer is out
  const after = await scrape()
  const added = (name: string, labels: Record<string, string> = {}) =>
    total(after, name, labels) - total(before, name, labels)
  return { result, added }
}

const FAMILIES: [name: string, type: string, labels: string[]][] = [
  ['llm_requests_total', 'counter', ['route', 'status']],
  ['llm_request_duration_seconds', 'histogram', ['route']],
  ['llm_tokens_total', 'counter', ['provider', 'kind']],
  ['llm_cost_micros_total', 'counter', ['provider']],
  ['llm_provider_key_failures_total', 'counter', ['provider']],
  ['llm_idempotent_replays_total', 'counter', []],
  ['llm_streams', 'gauge', []],
  ['llm_runs_in_flight', 'gauge', []],
  ['llm_body_bytes', 'gauge', []],
]

test.each(FAMILIES)('%s is there from the start, a %s, with a sample', (name, type, labels) => {
  const family = atStart.get(name)
  expect(family?.type).toBe(type)
  const samples = [...(family?.samples.values() ?? [])]
  expect(samples.length).toBeGreaterThan(0)
  for (const sample of samples)
    expect([...sample.labels.keys()].filter((label) => label !== 'le')).toEqual(labels)
})

test('every family of model calls is in this list', () => {
  const all = [...atStart.keys()].filter((name) => name.startsWith('llm_'))
  expect(all.sort()).toEqual(FAMILIES.map(([name]) => name).sort())
})

test('an answer counts one request, its tokens and its cost; streams count as well', async () => {
  for (const more of [{}, { stream: true, stream_options: { include_usage: true } }]) {
    const { result, added } = await adding(() => ask('gpt-4o', more))
    expect(result.status, result.body).toBe(200)
    expect(added('llm_requests_total')).toBe(1)
    expect(added('llm_requests_total', { route: CHAT, status: '200' })).toBe(1)
    expect(added('llm_request_duration_seconds_count', { route: CHAT })).toBe(1)
    const [, prompt, completion] =
      /"prompt_tokens":(\d+),"completion_tokens":(\d+)/.exec(result.body) ?? []
    const of = (kind: string) => added('llm_tokens_total', { provider: 'openai', kind })
    expect([of('prompt'), of('completion')]).toEqual([Number(prompt), Number(completion)])
    const cost = Math.ceil(Number(prompt) * 2.5 + Number(completion) * 10)
    expect(added('llm_cost_micros_total', { provider: 'openai' })).toBe(cost)
  }
  const gauges = await scrape()
  for (const name of ['llm_streams', 'llm_runs_in_flight', 'llm_body_bytes'])
    expect(total(gauges, name), name).toBe(0)
})

test.each<[kind: string, status: number, route: string, send: () => Promise<RawReply>]>([
  ['a denial', 403, CHAT, () => ask('gpt-4.1')],
  ['a stranger', 401, CHAT, () => ask('gpt-4o', {}, {})],
  ['no JSON', 400, CHAT, () => post(CHAT, '{"model":', tokens)],
  ['an unknown route', 404, 'unknown', () => post('/v1/evil_route', {}, tokens)],
])('%s counts one request with the status that was sent, and no use', async (...given) => {
  const [, status, route, send] = given
  const { result, added } = await adding(send)
  expect(result.status).toBe(status)
  expect(added('llm_requests_total')).toBe(1)
  expect(added('llm_requests_total', { route, status: String(status) })).toBe(1)
  expect(added('llm_tokens_total')).toBe(0)
  expect(added('llm_cost_micros_total')).toBe(0)
})

test('what callers write never becomes a label, nor do runs, models and agents', async () => {
  await ask('evil_model')
  await post(CHAT, { model: 'x', messages: [] }, { ...tokens, 'X-Provider': 'evil_provider' })
  const page = await (await fetch(`${vestry.daemon.ready.http}/metrics`)).text()
  expect(page).not.toMatch(/evil_|run_metrics|gpt-4o|90210|scanner/)
})
