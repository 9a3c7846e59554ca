/** Clients leave and providers fail at every moment of a call: nothing stays behind, and everything was written down. */
import { connect } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { budgetUse } from '../../packages/server/src/limits/budget.ts'
import { FAKE_KEYS } from '../harness/fake-providers.ts'
import { type LlmWorld, type RunHeaders, startLlmWorld, tokens } from './llm-world.ts'
import { requestBytes } from './raw-http.ts'

const ROUNDS = 120
const AT_ONCE = 12

let world: LlmWorld
let run: RunHeaders
beforeAll(async () => {
  world = await startLlmWorld({
    dev: true, // no limits on how often
    llm: {
      heartbeat_ms: 20,
      timeout_ms: 150,
      first_byte_timeout_ms: 150,
      idle_timeout_ms: 150,
      native_timeout_ms: 200,
      budgets: { run: { tokens: 1_000_000_000, usd: 1_000_000 } },
    },
  })
  run = await world.run()
})
afterAll(() => world[Symbol.asyncDispose]())

const messages = [{ role: 'user', content: 'hi' }]
const CALLS = [
  ['openai', '/v1/chat/completions', { model: 'gpt-4o', messages }],
  ['openai', '/v1/chat/completions', { model: 'gpt-4o', messages, stream: true }],
  ['google', '/v1/chat/completions', { model: 'gemini-2.5-flash', messages, stream: true }],
  ['anthropic', '/v1/messages', { model: 'claude-sonnet-4-5', max_tokens: 9, messages }],
  [
    'anthropic',
    '/v1/messages',
    { model: 'claude-sonnet-4-5', max_tokens: 9, messages, stream: true },
  ],
  ['google', '/v1/embeddings', { model: 'gemini-embedding-001', input: Array(120).fill('a') }],
] as const
const text = 'word '.repeat(30)
const FATES = [
  {},
  { text, pauseMs: 3 },
  { drop: true },
  { delayMs: 400 },
  { text, stallAfter: 4 },
  { text, cutAfter: 5 },
  { text, endAfter: 5 },
  { text, malformedAfter: 3 },
  { text, errorAfter: { events: 4, type: 'overloaded_error' } },
  { status: 500, body: 'not json' },
  { status: 200, body: 'not json' },
  { status: 429, body: { error: { message: 'slow' } } },
]

let seed = 20_261_120
const random = (below: number): number => {
  seed = (seed * 1_103_515_245 + 12_345) & 0x7fff_ffff
  return seed % below
}
const pick = <T>(list: readonly T[]): T => list[random(list.length)] as T

/** Sends one request, leaves after a moment or stays to the end. @returns What was received. */
function attempt(): Promise<string> {
  const [provider, path, body] = pick(CALLS)
  world.fakes[provider].script(pick(FATES))
  const headers = {
    ...tokens(run),
    'X-Provider': provider,
    ...(random(3) === 0 && { 'Idempotency-Key': `k${random(4)}` }),
  }
  const bytes = requestBytes('POST', path, headers, body)
  const stays = random(3) === 0
  const sent = stays || random(4) > 0 ? bytes : bytes.subarray(0, random(bytes.length))
  return new Promise((resolve) => {
    const where = random(2) === 0 ? { path: world.socket } : world.tcp
    const socket = connect(where as { path: string }, () => socket.write(sent))
    let received = ''
    socket.on('data', (chunk) => {
      received += chunk.toString()
    })
    socket.on('error', () => undefined).once('close', () => resolve(received))
    if (!stays) setTimeout(() => socket.destroy(), random(60))
  })
}

test('whatever is broken off holds nothing, is counted, and has one outcome for each intent', async () => {
  const replies: string[] = []
  for (let round = 0; round < ROUNDS; round += AT_ONCE)
    replies.push(...(await Promise.all(Array.from({ length: AT_ONCE }, attempt))))
  const { llm } = world.part
  await expect.poll(() => [llm.calls.size, llm.inFlight.size, llm.bodies.used]).toEqual([0, 0, 0])
  for (const unit of ['tokens', 'micros']) {
    const { reserved, spent } = await budgetUse(
      world.parts.store.db,
      `llm:run:${run.run.id}:${unit}`,
    )
    expect({ unit, reserved }).toEqual({ unit, reserved: 0 })
    expect(spent).toBeGreaterThan(0)
  }
  const { openai, anthropic, google } = world.fakes
  await expect
    .poll(() => [openai, anthropic, google].map(({ inFlight }) => inFlight))
    .toEqual([0, 0, 0])

  const records = await world.audit()
  const ids = (phase: string) =>
    records.filter((record) => record.phase === phase).map(({ request_id }) => request_id)
  expect(ids('intent').length).toBeGreaterThan(20)
  expect(ids('outcome').sort()).toEqual(ids('intent').sort())
  expect(new Set(ids('intent')).size).toBe(ids('intent').length)
  for (const { outcome } of records.filter(({ phase }) => phase === 'outcome')) {
    expect(outcome).toMatchObject({ status: expect.any(Number), cost_micros: expect.any(Number) })
    expect(outcome?.code).not.toBe('INTERNAL_ERROR')
  }
  expect(world.warnings).toEqual([])

  const secrets = [...Object.values(FAKE_KEYS), run['txn-token'], run.authorization.slice(7)]
  const told = [...replies, await world.auditText(), world.registry.render()].join('\n')
  for (const secret of secrets) expect(told.includes(secret)).toBe(false)
})
