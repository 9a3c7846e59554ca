/** Clients and providers that mean harm, or know no better: what they send is bounded, and shapes nothing. */
import { connect } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type LlmWorld, MODELS, type RunHeaders, startLlmWorld, tokens } from './llm-world.ts'
import { type RawReply, rawRequest, requestBytes } from './raw-http.ts'

const CHAT = '/v1/chat/completions'
const MESSAGES = '/v1/messages'
const HELLO = { model: 'gpt-4o', messages: [{ role: 'user', content: 'hi' }] }
const NATIVE = {
  model: 'claude-sonnet-4-5',
  max_tokens: 100,
  messages: [{ role: 'user', content: 'hi' }],
}

let world: LlmWorld
let run: RunHeaders
beforeAll(async () => {
  world = await startLlmWorld({ dev: true }) // no limits on how often
  run = await world.run()
})
afterAll(() => world[Symbol.asyncDispose]())

function errorOf({ body }: RawReply): Record<string, unknown> {
  return (JSON.parse(body) as { error: Record<string, unknown> }).error
}

describe('names', () => {
  test.each([
    ['of a megabyte', 'x'.repeat(1_000_000)],
    ['with a line end', 'claude\nforged'],
    ['with spaces', 'claude sonnet'],
  ])('a native model %s is refused, and not written down', async (_name, model) => {
    const before = (await world.auditText()).length
    const reply = await world.post(MESSAGES, { ...NATIVE, model }, tokens(run))
    expect(reply.status).toBe(400)
    expect(reply.body.length).toBeLessThan(1_000)
    expect((await world.auditText()).length - before).toBeLessThan(4_000)
  })

  test('a second spelling of the model’s member is refused: some servers would read that one', async () => {
    world.fakes.anthropic.requests.length = 0
    for (const name of ['Model', 'MODEL', 'Max_Tokens', 'ſtream']) {
      const reply = await world.post(MESSAGES, { ...NATIVE, [name]: 'x' }, tokens(run))
      expect([name, reply.status]).toEqual([name, 400])
    }
    expect(world.fakes.anthropic.requests).toHaveLength(0)
  })

  test('members of schemas may be called like members of prototypes, but one', async () => {
    const properties = { constructor: { type: 'string' }, prototype: { type: 'string' } }
    const parameters = { type: 'object', properties, required: ['constructor'] }
    const tools = [{ type: 'function', function: { name: 'describe', parameters } }]
    for (const [provider, model] of [
      ['openai', 'gpt-4o'],
      ['anthropic', 'claude-sonnet-4-5'],
      ['google', 'gemini-2.5-flash'],
    ] as const) {
      const reply = await world.post(
        CHAT,
        { ...HELLO, model, tools },
        { ...tokens(run), 'X-Provider': provider },
      )
      expect([provider, reply.status]).toEqual([provider, 200])
      expect(world.fakes[provider].requests.at(-1)?.text).toContain('"constructor":{"type":')
    }
    const proto = JSON.stringify({ ...HELLO, tools }).replace('"prototype"', '"__proto__"')
    expect((await world.post(CHAT, proto, tokens(run))).status).toBe(400)
    expect(Reflect.get({}, 'type')).toBeUndefined()
  })

  test('providers of a token are read alike by the list and by the calls', async () => {
    const allowed_models = { analysis: ['openai:gpt-4o'] }
    const owner = await world.run({ allowed_providers: [' OpenAI '], allowed_models })
    expect((await world.post(CHAT, HELLO, tokens(owner))).status).toBe(200)
    const list = JSON.parse((await world.get('/v1/models', tokens(owner))).body) as {
      data: { id: string }[]
    }
    expect(list.data.map(({ id }) => id)).toContain('gpt-4o')
    expect(list.data.map(({ id }) => id)).not.toContain('claude-sonnet-4-5')
  })
})

test.each(['unix', 'tcp'] as const)(
  'a path nobody can have is an unknown route, over %s',
  async (how) => {
    const where = how === 'unix' ? { path: world.socket } : world.tcp
    const reply = await rawRequest(where, requestBytes('POST', '/v1/%zz', tokens(run), HELLO))
    expect([reply.status, reply.headers['connection']]).toEqual([404, 'close'])
    expect(errorOf(reply)).toMatchObject({ type: 'not_found_error', code: 'route_not_found' })
  },
)

test.each([
  ['anthropic', 'claude-sonnet-4-5', 400],
  ['google', 'gemini-2.5-flash', 400],
] as const)(
  'JSON in texts for %s may not be nested without end',
  async (provider, model, status) => {
    const deep = `{"a":${'['.repeat(100_000)}${']'.repeat(100_000)}}`
    const called = (text: string) => ({ name: 'read', arguments: text })
    const history = (args: string, result: string) => [
      { role: 'user', content: 'hi' },
      {
        role: 'assistant',
        content: '',
        tool_calls: [{ id: 'c1', type: 'function', function: called(args) }],
      },
      { role: 'tool', tool_call_id: 'c1', content: result },
    ]
    const ask = (messages: object[]) =>
      world.post(CHAT, { model, messages }, { ...tokens(run), 'X-Provider': provider })
    expect((await ask(history(deep, 'ok'))).status).toBe(status)
    expect((await ask(history('{}', deep))).status).toBe(200)
    expect(world.warnings).toEqual([])
  },
)

test('a key that comes again with another beta is another call', async () => {
  world.fakes.anthropic.requests.length = 0
  const keyed = { ...tokens(run), 'Idempotency-Key': 'native-1' }
  for (const beta of ['tools-2024-04-04', 'tools-2024-04-04', 'other-2025-01-01']) {
    const reply = await world.post(MESSAGES, NATIVE, { ...keyed, 'anthropic-beta': beta })
    expect(reply.status).toBe(200)
  }
  expect(world.fakes.anthropic.requests).toHaveLength(2)
})

describe('embeddings', () => {
  const all = { allowed_models: { embeddings: ['openai:text-embedding-3-large'] } }
  const ask = async (count: number, text = 'a') => {
    const owner = await world.run(all)
    const body = { model: 'text-embedding-3-large', input: Array(count).fill(text) }
    return world.post('/v1/embeddings', body, tokens(owner))
  }
  const answerOf = (count: number, dimensions: number) => ({
    status: 200,
    body: {
      data: Array.from({ length: count }, (_, index) => ({
        index,
        embedding: Array(dimensions).fill(-0.012345678901234567),
      })),
      usage: { prompt_tokens: count, total_tokens: count },
    },
  })

  test('more vectors than an answer can hold are refused after the first of them', async () => {
    world.fakes.openai.requests.length = 0
    world.fakes.openai.script(...Array.from({ length: 4 }, () => answerOf(512, 2_100)))
    const reply = await ask(10_000)
    expect([reply.status, errorOf(reply)['code']]).toEqual([413, 'request_too_large'])
    expect(world.fakes.openai.requests.length).toBeLessThan(9)
    expect(world.part.llm.bodies.used).toBe(0)
  })

  test('texts that are long together go out in several calls', async () => {
    world.fakes.openai.requests.length = 0
    expect((await ask(6, 'x'.repeat(200_000))).status).toBe(200)
    const sizes = world.fakes.openai.requests.map(({ body }) => (body['input'] as string[]).length)
    expect(sizes).toEqual([2, 2, 2])
  })
})

describe('providers', () => {
  test('an answer that is nested without end is a bad gateway, and no fault of ours', async () => {
    const odd = `${'['.repeat(100_000)}${']'.repeat(100_000)}`
    const body = `{"id":"x","choices":[{"index":0,"message":{"content":"ok","odd":${odd}}}]}`
    world.fakes.openai.script({ status: 200, body })
    const reply = await world.post(CHAT, HELLO, tokens(run))
    expect([reply.status, errorOf(reply)['code']]).toEqual([502, 'provider_error'])
    expect(world.warnings).toEqual([])
  })

  test('a native stream that is cut in the middle of an event ends with whole events', async () => {
    const partial = 'event: content_block_delta\ndata: {"type":"content_block_del'
    const whole = 'event: ping\ndata: {"type":"ping"}\n\n'
    const headers = { 'content-type': 'text/event-stream' }
    world.fakes.anthropic.script({ status: 200, headers, body: whole + partial })
    const reply = await world.post(MESSAGES, { ...NATIVE, stream: true }, tokens(run))
    expect(reply.body).toMatch(
      /^event: ping\ndata: [^\n]+\n\nevent: error\ndata: \{"type":"error"[^\n]+\n\n$/,
    )
  })
})

describe('the stand-in', () => {
  test('a schema that would grow without end is answered at once', async () => {
    await using plain = await startLlmWorld({ dev: true, keys: false, llm: { providers: {} } })
    const owner = await plain.run()
    const self = { $ref: '#/$defs/node' }
    const members = Object.fromEntries(['a', 'b', 'c', 'd', 'e', 'f'].map((name) => [name, self]))
    const text = { type: 'string', minLength: 400_000_000 }
    const schema = {
      ...self,
      $defs: { node: { type: 'object', properties: { text, ...members } } },
    }
    const response_format = { type: 'json_schema', json_schema: { name: 'bomb', schema } }
    const reply = await plain.post(CHAT, { ...HELLO, response_format }, tokens(owner))
    expect(reply.status).toBe(200)
    expect(reply.body.length).toBeLessThan(2_000_000)
  })
})

describe('clients that do not read', () => {
  test.each(['unix', 'tcp'] as const)('an answer nobody takes is dropped, over %s', async (how) => {
    await using hasty = await startLlmWorld({ dev: true, llm: { idle_timeout_ms: 300 } })
    const owner = await hasty.run()
    hasty.fakes.openai.script({ text: 'x'.repeat(16_000_000) })
    const where = how === 'unix' ? { path: hasty.socket } : hasty.tcp
    const socket = connect(where as { path: string }, () =>
      socket.write(requestBytes('POST', CHAT, tokens(owner), HELLO)),
    )
    socket.pause()
    let closed = false
    socket
      .on('error', () => undefined)
      .once('close', () => {
        closed = true
      })
    await expect.poll(async () => (await hasty.audit()).length, { timeout: 5_000 }).toBe(2)
    await new Promise((resolve) => setTimeout(resolve, 900))
    let received = 0
    socket.on('data', (chunk) => {
      received += chunk.length
    })
    socket.resume()
    await expect.poll(() => closed).toBe(true)
    expect(received).toBeLessThan(16_000_000)
  })
})

describe('the common port', () => {
  test('bodies of model calls have the time they have on the socket, others that of the port', async () => {
    await using slow = await startLlmWorld({ requestTimeoutMs: 300 })
    const owner = await slow.run()
    const late = rawRequest(
      slow.tcp,
      requestBytes('POST', '/api/x', { 'Content-Length': '9' }, '{'),
    )
    const whole = requestBytes('POST', CHAT, tokens(owner), HELLO)
    const answer = await new Promise<string>((resolve) => {
      const socket = connect(slow.tcp.port, slow.tcp.host, () =>
        socket.write(whole.subarray(0, -5)),
      )
      let received = ''
      socket.on('data', (chunk) => {
        received += chunk.toString()
      })
      socket.once('end', () => resolve(received))
      setTimeout(() => socket.write(whole.subarray(-5)), 1_600)
    })
    expect(answer).toMatch(/^HTTP\/1\.1 200 /)
    expect((await late).status).toBe(408)
  })

  test('a body that never comes is given up in the words of this wire', async () => {
    await using hasty = await startLlmWorld({ llm: { body_timeout_ms: 300 } })
    const headers = { ...tokens(await hasty.run()), 'Content-Length': '9' }
    const started = performance.now()
    const socket = connect(hasty.tcp.port, hasty.tcp.host, () =>
      socket.write(requestBytes('POST', CHAT, headers, '{')),
    )
    setTimeout(() => socket.write('}'.repeat(8)), 700)
    const reply = await new Promise<string>((resolve) => {
      let received = ''
      socket.on('data', (chunk) => {
        received += chunk.toString()
      })
      socket.once('end', () => resolve(received))
    })
    expect(reply).toMatch(/^HTTP\/1\.1 408 [\s\S]*"type":"invalid_request_error"/)
    expect(performance.now() - started).toBeLessThan(3_000)
  })

  test('more calls than there may be connections are told so', async () => {
    await using small = await startLlmWorld({ llm: { connections: 2 } })
    const owner = await small.run()
    small.fakes.openai.script({ delayMs: 300 }, { delayMs: 300 })
    const bytes = requestBytes('POST', CHAT, tokens(owner), HELLO)
    const busy = [rawRequest(small.tcp, bytes), rawRequest(small.tcp, bytes)]
    await expect.poll(() => small.fakes.openai.requests.length).toBe(2)
    const refused = await rawRequest(small.tcp, bytes)
    expect(refused.status).toBe(503)
    expect(errorOf(refused)['code']).toBe('gateway_overloaded')
    expect((await Promise.all(busy)).map(({ status }) => status)).toEqual([200, 200])
    expect((await rawRequest(small.tcp, bytes)).status).toBe(200)
  })
})

test('a run that keeps breaking off its own requests is slowed down like one that is refused', async () => {
  const owner = await world.run({ allowed_models: MODELS })
  const bytes = requestBytes('POST', CHAT, { ...tokens(owner), 'Content-Length': '500' }, '{')
  for (let at = 0; at < 130; at += 1) {
    await new Promise<void>((resolve) => {
      const socket = connect(world.socket, () =>
        socket.write(bytes, () => setImmediate(() => socket.destroy())),
      )
      socket.once('close', () => resolve())
    })
  }
  await expect.poll(async () => (await world.post(CHAT, HELLO, tokens(owner))).status).toBe(429)
})
