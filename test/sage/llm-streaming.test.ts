import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type LlmWorld, type RunHeaders, startLlmWorld, tokens } from './llm-world.ts'
import { dataLines, type RawReply, requestBytes } from './raw-http.ts'

const CHAT = '/v1/chat/completions'

let world: LlmWorld
let run: RunHeaders
/** Gives providers and clients little time. */
let hasty: LlmWorld
let hastyRun: RunHeaders
beforeAll(async () => {
  world = await startLlmWorld({ llm: { heartbeat_ms: 60, requests_per_run_minute: 10_000 } })
  run = await world.run()
  hasty = await startLlmWorld({
    llm: { first_byte_timeout_ms: 500, idle_timeout_ms: 500, timeout_ms: 500 },
  })
  hastyRun = await hasty.run()
})
afterAll(async () => {
  await world[Symbol.asyncDispose]()
  await hasty[Symbol.asyncDispose]()
})

const PROVIDERS = [
  ['openai', 'gpt-4o'],
  ['anthropic', 'claude-sonnet-4-5'],
  ['google', 'gemini-2.5-flash'],
] as const

const chat = (provider: string, model: string, more: object = {}, at = world) =>
  at.post(
    CHAT,
    { model, messages: [{ role: 'user', content: 'hi' }], stream: true, ...more },
    { ...tokens(at === world ? run : hastyRun), 'X-Provider': provider },
  )

function textOf({ body }: RawReply): string {
  return dataLines(body)
    .filter((line) => line !== '[DONE]')
    .map(
      (line) =>
        (JSON.parse(line) as { choices?: { delta?: { content?: string } }[] }).choices?.[0]?.delta
          ?.content ?? '',
    )
    .join('')
}

const outcome = async (at = world) =>
  (await at.audit()).findLast(({ phase }) => phase === 'outcome')

describe.each(PROVIDERS)('%s', (name, model) => {
  test('sage §21.23: the text is that of the provider, however its bytes are cut', async () => {
    const text = 'Two findings: “héllo” 🙂 and\nmore.'
    for (const pieceBytes of [1, 2, 3, 7, 64, 4_096]) {
      world.fakes[name].script({ text, pieceBytes })
      const reply = await chat(name, model)
      expect(textOf(reply), String(pieceBytes)).toBe(text)
      expect(dataLines(reply.body).at(-1)).toBe('[DONE]')
    }
  })

  test('usage is told to those who ask, and recorded in any case', async () => {
    const usage = { prompt: 31, completion: 7 }
    world.fakes[name].script({ usage }, { usage })
    const silent = await chat(name, model)
    expect(silent.body).not.toContain('"usage":{')
    expect((await outcome())?.outcome).toMatchObject({
      usage: { prompt: 31, completion: 7, total: 38 },
    })
    const told = await chat(name, model, { stream_options: { include_usage: true } })
    const last = JSON.parse(dataLines(told.body).at(-2) ?? '')
    expect(last).toMatchObject({
      choices: [],
      usage: { prompt_tokens: 31, completion_tokens: 7, total_tokens: 38 },
    })
  })

  test('sage §21.25: tool calls come in fragments that add up', async () => {
    world.fakes[name].script({ tools: [{ name: 'read_file', arguments: { path: 'src/app.ts' } }] })
    const parameters = { type: 'object', properties: { path: { type: 'string' } } }
    const reply = await chat(name, model, {
      tools: [{ type: 'function', function: { name: 'read_file', parameters } }],
    })
    const deltas = dataLines(reply.body)
      .filter((line) => line !== '[DONE]')
      .flatMap((line) => JSON.parse(line).choices[0]?.delta.tool_calls ?? [])
    expect(deltas[0]).toMatchObject({ index: 0, type: 'function', function: { name: 'read_file' } })
    const args = deltas.map((delta) => delta.function?.arguments ?? '').join('')
    expect(JSON.parse(args)).toEqual({ path: 'src/app.ts' })
  })

  test.each([
    ['a cut connection', { cutAfter: 2 }, 'provider_error'],
    ['an early end', { endAfter: 2 }, 'provider_error'],
    ['no JSON', { malformedAfter: 2 }, 'provider_error'],
    ['silence', { stallAfter: 2 }, 'provider_timeout'],
  ])(
    'sage §21.25: %s is told as an error, without the mark of the end',
    async (_name, script, code) => {
      const at = code === 'provider_timeout' ? hasty : world
      at.fakes[name].script({ text: 'A long answer that does not come to its end.', ...script })
      const reply = await chat(name, model, {}, at)
      const lines = dataLines(reply.body)
      const error = lines.at(-1) ?? ''
      expect(lines).not.toContain('[DONE]')
      if (reply.status === 200)
        expect(JSON.parse(error)).toMatchObject({
          error: { code, request_id: reply.headers['x-request-id'] },
        })
      else expect(JSON.parse(reply.body)).toMatchObject({ error: { code } })
      const record = await outcome(at)
      expect(record).toMatchObject({ success: false, outcome: { code: code.toUpperCase() } })
      if (reply.status === 200) expect(record?.outcome).toMatchObject({ truncated: true })
      // What came is paid for, although nobody counted it.
      expect(record?.outcome).toMatchObject({
        usage_estimated: true,
        cost_micros: expect.any(Number),
      })
    },
  )
})

test('sage §21.25: the provider’s own error event keeps its meaning', async () => {
  const overloaded = { error: { code: 'provider_overloaded', type: 'overloaded_error' } }
  world.fakes.anthropic.script({ errorAfter: { events: 5, type: 'overloaded_error' }, pauseMs: 20 })
  const late = await chat('anthropic', 'claude-sonnet-4-5')
  expect(late.status).toBe(200)
  expect(textOf(late)).toBe('Hello from')
  expect(dataLines(late.body)).not.toContain('[DONE]')
  expect(JSON.parse(dataLines(late.body).at(-1) ?? '')).toMatchObject(overloaded)
  // Before anything was passed on, there is still a status for it.
  world.fakes.anthropic.script({ errorAfter: { events: 0, type: 'overloaded_error' } })
  const early = await chat('anthropic', 'claude-sonnet-4-5')
  expect(early.status).toBe(503)
  expect(JSON.parse(early.body)).toMatchObject(overloaded)
})

test('sage §21.23: a silence is broken by comments that every reader ignores', async () => {
  world.fakes.openai.script({ text: 'slow answer', pauseMs: 150 })
  const reply = await chat('openai', 'gpt-4o')
  expect(textOf(reply)).toBe('slow answer')
  expect(reply.body.match(/^: ping$/gm)?.length ?? 0).toBeGreaterThan(2)
  expect(reply.body.replaceAll(/^: ping\n\n/gm, '')).toMatch(/^(?:data: [^\n]+\n\n)+$/)
})

test('sage §21.24: refusals of a stream come at once, with a length', async () => {
  const denied = await chat('openai', 'gpt-4.1')
  expect(denied.status).toBe(403)
  expect(denied.headers['content-length']).toBe(String(Buffer.byteLength(denied.body)))
  world.fakes.openai.script({
    status: 429,
    headers: { 'retry-after': '2' },
    body: { error: { message: 'slow down' } },
  })
  const limited = await chat('openai', 'gpt-4o')
  expect(limited).toMatchObject({ status: 429, headers: { 'retry-after': '2' } })
  for (const { ms } of [denied, limited]) expect(ms).toBeLessThan(1_000)
})

test('a provider that never begins is given up before clients are', async () => {
  hasty.fakes.openai.script({ delayMs: 5_000 }, { delayMs: 5_000 })
  for (const stream of [true, false]) {
    const reply = await chat('openai', 'gpt-4o', { stream }, hasty)
    expect([reply.status, JSON.parse(reply.body).error.code]).toEqual([504, 'provider_timeout'])
  }
})

test.each([
  ['streamed', true, { text: 'a'.repeat(400), pauseMs: 50 }],
  ['whole', false, { delayMs: 250 }],
])(
  'sage §21.26: a client that leaves ends its %s call at the provider',
  async (_name, stream, script) => {
    world.fakes.openai.script(script)
    const before = world.fakes.openai.requests.length
    const body = { model: 'gpt-4o', messages: [{ role: 'user', content: 'hi' }], stream }
    const socket = await open(
      requestBytes('POST', CHAT, { ...tokens(run), 'X-Provider': 'openai' }, body),
    )
    await expect.poll(() => world.fakes.openai.requests.length).toBe(before + 1)
    if (stream) await new Promise((resolve) => socket.once('data', resolve))
    const seen = world.fakes.openai.requests.at(-1)
    const leftMs = performance.now()
    socket.destroy()
    await expect.poll(() => seen?.aborted).toBe(true)
    expect((seen?.abortedAtMs ?? 0) - leftMs).toBeLessThan(1_000)
    await expect.poll(async () => (await outcome())?.outcome?.code).toBe('CANCELLED')
    expect(world.part.llm.inFlight.size).toBe(0)
  },
)

test('a client that reads slowly slows the provider down, and loses nothing', async () => {
  const text = 'x'.repeat(100_000)
  world.fakes.openai.script({ text })
  const body = { model: 'gpt-4o', messages: [{ role: 'user', content: 'hi' }], stream: true }
  const socket = await open(
    requestBytes('POST', CHAT, { ...tokens(run), 'X-Provider': 'openai' }, body),
  )
  socket.pause()
  await sleep(150)
  let received = ''
  socket.on('data', (chunk) => {
    received += chunk.toString()
  })
  socket.resume()
  await new Promise((resolve) => socket.once('end', resolve))
  expect(received.slice(-200)).toContain('data: [DONE]')
  const content = dataLines(received).filter((line) => line !== '[DONE]')
  expect(
    content.map((line) => JSON.parse(line).choices[0]?.delta.content ?? '').join('').length,
  ).toBe(text.length)
})

test('a client that stops reading is given up, and so is its call', async () => {
  hasty.fakes.openai.script({ text: 'x'.repeat(200_000) })
  const body = { model: 'gpt-4o', messages: [{ role: 'user', content: 'hi' }], stream: true }
  const headers = { ...tokens(hastyRun), 'X-Provider': 'openai' }
  const socket = await open(requestBytes('POST', CHAT, headers, body), hasty)
  socket.pause()
  await expect.poll(() => hasty.part.llm.calls.size).toBe(1)
  await expect.poll(() => hasty.part.llm.calls.size, { timeout: 10_000 }).toBe(0)
  expect((await outcome(hasty))?.outcome?.code).toBe('CANCELLED')
  socket.destroy()
})

describe('sage §21.31: native messages', () => {
  const native = (body: object, headers: Record<string, string> = {}) =>
    world.post(
      '/v1/messages',
      {
        model: 'claude-sonnet-4-5',
        max_tokens: 50,
        messages: [{ role: 'user', content: 'hi' }],
        ...body,
      },
      { ...tokens(run), ...headers },
    )

  test('bytes pass unchanged both ways, with our key and the headers that may go along', async () => {
    const reply = await native(
      { system: 'be brief' },
      {
        'anthropic-version': '2023-06-01',
        'anthropic-beta': 'tools-2024-04-04',
        'x-api-key': 'the-agents-own',
        'x-private': '1',
      },
    )
    expect(reply.status).toBe(200)
    expect(JSON.parse(reply.body)).toMatchObject({ type: 'message', usage: { output_tokens: 5 } })
    const seen = world.fakes.anthropic.requests.at(-1)
    expect(seen?.path).toBe('/v1/messages')
    expect(seen?.text).toBe(
      JSON.stringify({
        model: 'claude-sonnet-4-5',
        max_tokens: 50,
        messages: [{ role: 'user', content: 'hi' }],
        system: 'be brief',
      }),
    )
    expect(seen?.headers).toMatchObject({
      'anthropic-version': '2023-06-01',
      'anthropic-beta': 'tools-2024-04-04',
    })
    expect(seen?.headers['x-api-key']).not.toBe('the-agents-own')
    expect(seen?.headers).not.toHaveProperty('x-private')
    expect(seen?.headers).not.toHaveProperty('txn-token')
    expect((await outcome())?.outcome).toMatchObject({
      usage: { prompt: 13, completion: 5, total: 18 },
    })
  })

  test('a stream is the provider’s own, pings included, and is counted', async () => {
    world.fakes.anthropic.script({
      text: 'native words',
      usage: { prompt: 40, completion: 9 },
      pieceBytes: 5,
    })
    const reply = await native({ stream: true })
    expect(reply.headers['content-type']).toBe('text/event-stream')
    expect(reply.body).toMatch(/^event: message_start\n/)
    expect(reply.body).toContain('event: ping')
    expect(reply.body.trimEnd().endsWith('data: {"type":"message_stop"}')).toBe(true)
    expect((await outcome())?.outcome).toMatchObject({
      usage: { prompt: 40, completion: 9, total: 49 },
      finish_reason: 'end_turn',
    })
  })

  test('a stream that is cut says so in the words of that API', async () => {
    world.fakes.anthropic.script({ cutAfter: 3 })
    const reply = await native({ stream: true })
    expect(reply.body).not.toContain('message_stop')
    expect(reply.body).toMatch(/event: error\ndata: \{"type":"error","error":\{"type":"api_error"/)
  })

  test('tokens are counted without a charge', async () => {
    const reply = await world.post(
      '/v1/messages/count_tokens',
      { model: 'claude-sonnet-4-5', messages: [{ role: 'user', content: 'hi' }] },
      tokens(run),
    )
    expect(JSON.parse(reply.body)).toEqual({ input_tokens: 13 })
    expect((await outcome())?.outcome).toMatchObject({ cost_micros: 0 })
  })

  test('models that the run may not use are refused there too', async () => {
    const reply = await native({ model: 'claude-opus-4-1' })
    expect(reply.status).toBe(403)
    expect(JSON.parse(reply.body)).toMatchObject({
      type: 'error',
      error: { type: 'permission_error' },
    })
    const other = await native({}, { 'X-Provider': 'openai' })
    expect(other.status).toBe(400)
  })
})

function open(bytes: Uint8Array, at = world): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(at.socket, () => socket.write(bytes, () => resolve(socket)))
    socket.once('error', reject)
  })
}
