/** Nobody gets model calls for less than they cost: what is broken off, hidden, or counted absurdly is paid for. */
import { connect } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { budgetUse } from '../../packages/server/src/limits/budget.ts'
import { type LlmWorld, type RunHeaders, startLlmWorld, tokens } from './llm-world.ts'
import { requestBytes } from './raw-http.ts'

const CHAT = '/v1/chat/completions'
const EMBEDDINGS = '/v1/embeddings'
const MESSAGES = '/v1/messages'
const HELLO = { model: 'gpt-4o', messages: [{ role: 'user', content: 'hi' }], max_tokens: 100 }
const NATIVE = {
  model: 'claude-sonnet-4-5',
  max_tokens: 100,
  messages: [{ role: 'user', content: 'hi' }],
}

let world: LlmWorld
beforeAll(async () => {
  world = await startLlmWorld({
    dev: true, // no limits on how often
    llm: {
      budgets: { run: { tokens: 100_000_000 } },
    },
  })
})
afterAll(() => world[Symbol.asyncDispose]())

function used(run: RunHeaders) {
  return budgetUse(world.parts.store.db, `llm:run:${run.run.id}:tokens`)
}

async function outcome(): Promise<Record<string, unknown> | undefined> {
  return (await world.audit()).findLast(({ phase }) => phase === 'outcome')?.outcome
}

describe('a call that costs', () => {
  test.each([
    ['nothing at all', {}],
    ['nulls', { prompt_tokens: null, completion_tokens: null, total_tokens: null }],
    ['less than nothing', { prompt_tokens: -5, completion_tokens: -1, total_tokens: -6 }],
    ['more than there is', { prompt_tokens: 1e300, completion_tokens: 1e300, total_tokens: 1e300 }],
    [
      'more than numbers hold',
      { prompt_tokens: 9_007_199_254_740_991, completion_tokens: 9_007_199_254_740_991 },
    ],
  ])('%s, as its provider says, is estimated', async (_name, usage) => {
    const run = await world.run()
    const message = { role: 'assistant', content: 'word '.repeat(60) }
    const body = { id: 'x', model: 'gpt-4o', choices: [{ index: 0, message }], usage }
    world.fakes.openai.script({ status: 200, body })
    expect((await world.post(CHAT, HELLO, tokens(run))).status).toBe(200)
    expect(await outcome()).toMatchObject({ usage_estimated: true })
    const { spent, reserved } = await used(run)
    expect(reserved).toBe(0)
    expect(spent).toBeGreaterThan(100)
    expect(spent).toBeLessThan(1_000)
    expect((await world.post(CHAT, HELLO, tokens(run))).status).toBe(200)
  })

  test('tokens that are only in the total are paid for', async () => {
    const run = await world.run()
    const message = { role: 'assistant', content: 'ok' }
    const usage = { prompt_tokens: 10, completion_tokens: 5, total_tokens: 515 }
    const body = { id: 'x', model: 'gpt-4o', choices: [{ index: 0, message }], usage }
    world.fakes.openai.script({ status: 200, body })
    await world.post(CHAT, HELLO, tokens(run))
    expect((await used(run)).spent).toBe(515)
  })

  test('embeddings of which a part was refused cost what the other parts took', async () => {
    const run = await world.run()
    const input = Array.from({ length: 150 }, (_, at) => `text ${at}`)
    world.fakes.google.script({}, { status: 429, body: { error: { message: 'slow down' } } })
    const body = { model: 'gemini-embedding-001', input }
    const reply = await world.post(EMBEDDINGS, body, { ...tokens(run), 'X-Provider': 'google' })
    expect(reply.status).toBe(429)
    const { spent, reserved } = await used(run)
    expect(reserved).toBe(0)
    expect(spent).toBeGreaterThan(40)
  })

  test('a limit that is no whole number, or has no end, breaks nothing', async () => {
    const run = await world.run()
    const fraction = await world.post(MESSAGES, { ...NATIVE, max_tokens: 10.5 }, tokens(run))
    expect(fraction.status).toBe(400)
    const endless = await world.post(MESSAGES, { ...NATIVE, max_tokens: 1e308 }, tokens(run))
    expect(endless.status).toBe(400)
    expect(world.fakes.anthropic.requests).toHaveLength(0)
    expect(await used(run)).toEqual({ spent: 0, reserved: 0 })
  })

  test('native words that came before the client left are paid for', async () => {
    const run = await world.run()
    world.fakes.anthropic.script({ text: 'word '.repeat(400), pauseMs: 2 })
    const bytes = requestBytes('POST', MESSAGES, tokens(run), { ...NATIVE, stream: true })
    let events = 0
    await new Promise<void>((resolve) => {
      const socket = connect(world.socket, () => socket.write(bytes))
      socket.on('data', (chunk) => {
        events += chunk.toString().split('content_block_delta').length - 1
        if (events < 60) return
        socket.destroy()
        resolve()
      })
    })
    await expect.poll(async () => (await used(run)).reserved).toBe(0)
    expect((await used(run)).spent).toBeGreaterThan(13 + 29)
  })

  test('a native stream that its provider ends with an error is no success, and what came is paid for', async () => {
    const run = await world.run()
    const text = 'word '.repeat(100)
    world.fakes.anthropic.script({ text, errorAfter: { events: 80, type: 'overloaded_error' } })
    const reply = await world.post(MESSAGES, { ...NATIVE, stream: true }, tokens(run))
    expect(reply.body.match(/"type":"error"/g)).toHaveLength(1)
    const record = (await world.audit()).findLast(({ phase }) => phase === 'outcome')
    expect(record).toMatchObject({ success: false, outcome: { truncated: true } })
    expect((await used(run)).spent).toBeGreaterThan(60)
  })
})
