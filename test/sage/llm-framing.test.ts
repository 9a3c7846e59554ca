import { statSync } from 'node:fs'
import { connect } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type LlmWorld, type RunHeaders, startLlmWorld, tokens } from './llm-world.ts'
import { dataLines, parse, type RawReply, rawRequest, requestBytes } from './raw-http.ts'

const CHAT = '/v1/chat/completions'
const HELLO = {
  model: 'gpt-4o',
  messages: [{ role: 'user', content: 'h\u00e9' }],
  temperature: 0.0,
}

let world: LlmWorld
let run: RunHeaders
beforeAll(async () => {
  world = await startLlmWorld()
  run = await world.run()
})
afterAll(() => world[Symbol.asyncDispose]())

/** What every answer on this wire has, whatever it says. */
function expectFramed(reply: RawReply): void {
  const { headers, rawHeaders, body } = reply
  expect(headers['content-length']).toBe(String(Buffer.byteLength(body)))
  expect(headers['connection']).toBe('close')
  expect(headers['content-type']).toBe('application/json')
  expect(headers['transfer-encoding']).toBeUndefined()
  expect(headers['content-encoding']).toBeUndefined()
  expect(headers['trailer']).toBeUndefined()
  expect(rawHeaders.filter(([name]) => name.toLowerCase() === 'content-length')).toHaveLength(1)
  expect(headers['x-request-id']).toMatch(/^r-[0-9a-f]{16}$/)
}

function errorOf({ body }: RawReply): Record<string, unknown> {
  return (JSON.parse(body) as { error: Record<string, unknown> }).error
}

const send = (bytes: Uint8Array, options = {}) => rawRequest({ path: world.socket }, bytes, options)

describe.each(['unix', 'tcp'] as const)('over %s', (transport) => {
  const where = () => (transport === 'unix' ? { path: world.socket } : world.tcp)

  test.each([
    ['a completion', 200, 'POST', CHAT, HELLO, {}],
    [
      'embeddings',
      200,
      'POST',
      '/v1/embeddings',
      { model: 'text-embedding-3-small', input: ['a'] },
      {},
    ],
    ['the list of models', 200, 'GET', '/v1/models', undefined, {}],
    ['an unknown route', 404, 'GET', '/v1/nothing', undefined, {}],
    ['a trailing slash', 404, 'POST', `${CHAT}/`, HELLO, {}],
    ['a wrong method', 405, 'GET', CHAT, undefined, {}],
    ['another media type', 415, 'POST', CHAT, 'x', { 'Content-Type': 'text/plain' }],
    ['no JSON', 400, 'POST', CHAT, '{', {}],
    [
      'a client that expects an interim answer',
      200,
      'POST',
      CHAT,
      HELLO,
      { Expect: '100-continue' },
    ],
    [
      'a client that accepts compression',
      200,
      'POST',
      CHAT,
      HELLO,
      { 'Accept-Encoding': 'gzip, br' },
    ],
    [
      'a client that would keep the connection',
      200,
      'POST',
      CHAT,
      HELLO,
      { Connection: 'keep-alive' },
    ],
  ])(
    'sage §21.3: %s is answered %i with an exact length, and the connection closes',
    async (_name, status, method, path, body, more) => {
      const reply = await rawRequest(
        where(),
        requestBytes(method, path, { ...tokens(run), ...more }, body),
      )
      expect(reply.status).toBe(status)
      expectFramed(reply)
    },
  )

  test('sage §21.3: a stream has no length and no chunks, and ends with the connection', async () => {
    const reply = await rawRequest(
      where(),
      requestBytes('POST', CHAT, tokens(run), { ...HELLO, stream: true }),
    )
    expect(reply.status).toBe(200)
    expect(reply.headers).toMatchObject({
      'content-type': 'text/event-stream',
      'cache-control': 'no-store',
      connection: 'close',
    })
    expect(reply.headers['content-length']).toBeUndefined()
    expect(reply.headers['transfer-encoding']).toBeUndefined()
    // Nothing but whole events: no chunk sizes in between.
    expect(reply.body).toMatch(/^(?:data: [^\n]+\n\n)+$/)
    const lines = dataLines(reply.body)
    expect(lines.at(-1)).toBe('[DONE]')
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({
      choices: [{ delta: { role: 'assistant', content: '' } }],
    })
  })

  test('sage §21.4: head and body may come byte by byte', async () => {
    const bytes = requestBytes('POST', CHAT, tokens(run), HELLO)
    const reply = await rawRequest(where(), bytes, { pieceBytes: 1 })
    expect(reply.status).toBe(200)
    expectFramed(reply)
  })

  test('sage §21.5: a body of 21 MiB is read before it is refused', async () => {
    const bytes = requestBytes('POST', CHAT, tokens(run), Buffer.alloc(21 * 1_024 * 1_024, 0x20))
    const reply = await rawRequest(where(), bytes, { pieceBytes: 65_536 })
    expect(reply.status).toBe(413)
    expectFramed(reply)
    expect(errorOf(reply)).toMatchObject({ type: 'request_too_large', code: 'request_too_large' })
  })

  test.each([
    ['Authorization', 'Bearer x.y.z'],
    ['Txn-Token', 'x.y.z'],
    ['X-Provider', 'openai'],
  ])('sage §21.6: a second %s is refused', async (name, value) => {
    const text = requestBytes(
      'POST',
      CHAT,
      { ...tokens(run), 'X-Provider': 'openai' },
      HELLO,
    ).toString('latin1')
    const bytes = Buffer.from(text.replace('\r\n\r\n', `\r\n${name}: ${value}\r\n\r\n`), 'latin1')
    const reply = await rawRequest(where(), bytes)
    expect(reply.status).toBe(400)
    expectFramed(reply)
    expect(errorOf(reply)).toMatchObject({ type: 'invalid_request_error', code: 'invalid_request' })
  })
})

test('sage §21.1: health is answered without tokens, and touches no provider', async () => {
  const before = world.fakes.openai.requests.length
  const reply = await world.get('/health?x=1')
  expect(reply).toMatchObject({ status: 200, body: '{"status":"ok"}' })
  expectFramed(reply)
  expect(reply.ms).toBeLessThan(100)
  expect(world.fakes.openai.requests.length).toBe(before)
})

test('sage §21.4: two tokens of 12 KiB fit', async () => {
  const filler = 'a'.repeat(12_000)
  const reply = await world.get('/v1/models', {
    Authorization: `Bearer ${filler}.b.c`,
    'Txn-Token': filler,
  })
  expect(reply.status).toBe(401)
  expectFramed(reply)
})

test('sage §21.4: a head of more than 65 KiB is refused', async () => {
  const reply = await world.get('/v1/models', { 'X-Filler': 'a'.repeat(67_000) })
  expect(reply.status).toBe(431)
  expectFramed(reply)
  expect(errorOf(reply)['code']).toBe('headers_too_large')
})

test.each([
  [
    'a length and an encoding',
    `POST ${CHAT} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
  ],
  [
    'two lengths',
    `POST ${CHAT} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello`,
  ],
  [
    'a folded header',
    `POST ${CHAT} HTTP/1.1\r\nHost: x\r\nX-Provider: open\r\n ai\r\nContent-Length: 0\r\n\r\n`,
  ],
  ['no request line', 'hello\r\n\r\n'],
  ['a bad version', 'GET /health HTTP/9.9\r\n\r\n'],
  ['a header without a name', 'GET /health HTTP/1.1\r\n: x\r\n\r\n'],
  ['a negative length', `POST ${CHAT} HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n`],
])('sage §21.6: %s is a bad request, on the socket and on the common port', async (_name, text) => {
  const bytes = Buffer.from(text, 'latin1')
  const reply = await send(bytes)
  expect(reply.status).toBe(400)
  expectFramed(reply)
  const { status, headers, body } = await rawRequest(world.tcp, bytes)
  expect([status, headers['connection']]).toEqual([400, 'close'])
  expect(headers['content-length']).toBe(String(Buffer.byteLength(body)))
  expect(headers).not.toHaveProperty('transfer-encoding')
})

test('sage §21.6: bytes without sense end nothing but their own connection', async () => {
  let seed = 7
  const random = () => {
    seed = (seed * 1_103_515_245 + 12_345) & 0x7fff_ffff
    return seed / 0x7fff_ffff
  }
  for (let round = 0; round < 40; round += 1) {
    const bytes = Buffer.from(Array.from({ length: 400 }, () => Math.floor(random() * 256)))
    await new Promise<void>((resolve) => {
      const socket = connect(world.socket, () => socket.end(bytes))
      socket.on('data', () => undefined)
      socket.on('error', () => undefined)
      socket.once('close', () => resolve())
    })
  }
  expect((await world.get('/health')).status).toBe(200)
  expect(world.warnings).toEqual([])
})

test('a head that never ends, and a body that never comes, are answered in time', async () => {
  await using hasty = await startLlmWorld({ llm: { body_timeout_ms: 200, header_timeout_ms: 200 } })
  const where = { path: hasty.socket }
  const head = rawRequest(where, Buffer.from('GET /health HTTP/1.1\r\nHost: x\r\n'))
  const owner = tokens(await hasty.run())
  const bytes = requestBytes('POST', CHAT, { ...owner, 'Content-Length': '500' }, '{')
  const body = await rawRequest(where, bytes)
  expect([body.status, (await head).status]).toEqual([408, 408])
  expectFramed(body)
})

test('whatever comes after a request on the same connection is not read as another one', async () => {
  const one = requestBytes('GET', '/health', {})
  const reply = await send(Buffer.concat([one, one]))
  expect(reply.status).toBe(200)
  expect(reply.body).toBe('{"status":"ok"}')
})

test('errors on the native route have the shape of that API', async () => {
  const reply = await world.post('/v1/messages', { model: 'claude-sonnet-4-5' }, {})
  expect(reply.status).toBe(401)
  expectFramed(reply)
  expect(JSON.parse(reply.body)).toEqual({
    type: 'error',
    error: { type: 'authentication_error', message: expect.any(String) },
    request_id: reply.headers['x-request-id'],
  })
  expect(reply.headers['www-authenticate']).toBe('Bearer error="invalid_token"')
})

test('the socket is the owner’s alone, and nobody takes it over while it is listened on', async () => {
  expect(statSync(world.socket).mode & 0o777).toBe(0o600)
  await expect(world.part.listen()).rejects.toMatchObject({ code: 'INSTANCE_RUNNING' })
  expect((await world.get('/health')).status).toBe(200)
})

test('an answer that is cut in two is put together by its length', () => {
  const { status, body } = parse(Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'))
  expect({ status, body }).toEqual({ status: 200, body: 'ok' })
})
