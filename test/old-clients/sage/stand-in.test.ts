/** The stand-in itself, against raw bytes: it has to misbehave exactly as the client it stands for is known to. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { noPython } from '../client-process.ts'
import { http, jwt, type Piece, startRawServer } from './raw-server.ts'
import { type Outcome, SageProcess } from './sage-process.ts'

const QUICK = { timeout: 0.3, retry_backoff: 0.01 }
const nowSeconds = (): number => Math.floor(Date.now() / 1_000)

describe.skipIf(noPython !== undefined)(`the stand-in${noPython ? ` (${noPython})` : ''}`, () => {
  let sage: SageProcess
  beforeAll(() => {
    sage = new SageProcess()
  })
  afterAll(() => sage[Symbol.asyncDispose]())

  function place(): string {
    const dir = mkdtempSync(join(tmpdir(), 'sage-'))
    onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
    return dir
  }

  async function serve(...plan: Piece[][]) {
    const dir = place()
    const server = await startRawServer(join(dir, 's.sock'), ...plan)
    onTestFinished(() => server[Symbol.asyncDispose]())
    return { dir, server }
  }

  async function get(plan: Piece[][], options = {}): Promise<Outcome & { received: string[] }> {
    const { server } = await serve(...plan)
    const client = { socket_path: server.path, ...QUICK, ...options }
    const outcome = await sage.send({
      call: 'http',
      args: { client, method: 'GET', path: '/trat' },
    })
    return { ...outcome, received: server.received }
  }

  async function gatewayEnv(socket: string, dir: string): Promise<Record<string, string>> {
    const [svid, trat] = [join(dir, 'svid'), join(dir, 'trat')]
    writeFileSync(svid, jwt({ exp: nowSeconds() + 900 }))
    writeFileSync(trat, jwt({ exp: nowSeconds() + 300, txn: 'r' }))
    return { SPIFFE_JWT_PATH: svid, TRAT_FILE: trat, LLM_GATEWAY_SOCKET: socket }
  }

  test('it sends the bytes of the contract, and no others', async () => {
    const { received } = await get([[http(200, 'x')]])
    expect(received).toEqual(['GET /trat HTTP/1.1\r\nHost: gateway.local\r\n\r\n'])
    const { server, dir } = await serve([http(200, '{"choices":[{"message":{"content":"ok"}}]}')])
    await sage.send({
      call: 'chat',
      env: await gatewayEnv(server.path, dir),
      args: {
        model: 'anthropic:claude-x',
        messages: [{ type: 'human', content: 'hé' }],
        max_tokens: 5,
        top_p: 0.5,
        seed: 1,
        stop: ['S'],
      },
    })
    const [head, body] = (server.received[0] ?? '').split('\r\n\r\n')
    expect(head?.replaceAll(/eyJ[\w.-]+/g, '<jwt>').split('\r\n')).toEqual([
      'POST /v1/chat/completions HTTP/1.1',
      'Host: gateway.local',
      'Authorization: Bearer <jwt>',
      'Txn-Token: <jwt>',
      'X-Provider: anthropic',
      'Content-Type: application/json',
      'Content-Length: 152',
    ])
    expect(body).toBe(
      '{"model": "claude-x", "messages": [{"role": "user", "content": "h\\u00e9"}], "temperature": 0.0, "max_tokens": 5, "top_p": 0.5, "seed": 1, "stop": ["S"]}',
    )
  })

  test('it waits for a length, and for nothing else', async () => {
    expect((await get([[http(200, 'whole').slice(0, -2), 50, 'le']])).ok.text).toBe('whole')
    expect((await get([['HTTP/1.1 200 X\r\n\r\n', 50, 'lost']])).ok.text).toBe('')
    expect((await get([['HTTP/1.1 200 X\r\nContent-Length: 99\r\n\r\nshort']])).ok.text).toBe(
      'short',
    )
    const chunked = 'HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n'
    expect((await get([[`${chunked}5\r\nwhole\r\n`, 50, '0\r\n\r\n']])).ok.text).toBe('whole')
    expect((await get([[`${chunked}5\r\nab0\r\n\r\n`, 50, 'rest']])).ok.text).not.toContain('rest')
  })

  test('it takes an interim answer for the answer', async () => {
    const { ok } = await get([['HTTP/1.1 100 Continue\r\n\r\n', 50, http(200, 'x')]])
    expect(ok.status).toBe(100)
  })

  test.each([429, 502, 503, 504])('it repeats %i, in the same words', async (status) => {
    const { ok, slept, received } = await get([[http(status, '')], [http(200, 'x')]])
    expect(ok.status).toBe(200)
    expect(slept).toHaveLength(1)
    expect(received[0]).toBe(received[1])
  })

  test('it doubles what it waits, and takes a wish in seconds as it is', async () => {
    const { raised, slept } = await get([[http(429, 'slow down')]])
    expect(raised).toMatchObject({ class: 'RateLimitError', exit_code: 31 })
    expect(slept.map((seconds) => Math.floor(seconds * 100))).toEqual([1, 2, 4])
    const wish = (value: string) =>
      get([[http(429, '', { 'Retry-After': value })], [http(200, 'x')]])
    expect((await wish('0.2')).slept).toEqual([0.2])
    expect((await wish('Wed, 21 Oct 2026 07:28:00 GMT')).slept[0]).toBeLessThan(0.03)
    expect((await wish('-1')).raised).toMatchObject({ class: 'GatewayError', exit_code: 30 })
  })

  test('it tells who was not there from who did not answer', async () => {
    const client = { socket_path: '/nonexistent.sock', ...QUICK }
    const missing = await sage.send({ call: 'http', args: { client, method: 'GET', path: '/' } })
    expect(missing.raised).toMatchObject({ class: 'GatewayUnavailableError', exit_code: 32 })
    expect(missing.slept).toHaveLength(3)
    const silent = await get([['hang']], { timeout: 0.05 })
    expect(silent.raised).toMatchObject({ class: 'GatewayError', exit_code: 30 })
    expect(silent.received).toHaveLength(4)
    const empty = await get([[]])
    expect(empty.raised).toMatchObject({ class: 'GatewayError', message: 'empty response' })
    const given = await get([[http(503, 'busy')]])
    expect(given.ok).toMatchObject({ status: 503, text: 'busy' })
  })

  const streamOf = async (...pieces: Piece[]): Promise<Outcome> => {
    const { server, dir } = await serve(pieces)
    const args = { model: 'gpt-4o', messages: [{ type: 'human', content: 'x' }] }
    return sage.send({ call: 'stream', args, env: await gatewayEnv(server.path, dir), http: QUICK })
  }
  const event = (content: string): string =>
    `data: ${JSON.stringify({ choices: [{ delta: { content } }] })}\n\n`
  const texts = ({ ok }: Outcome): string[] => ok?.map(({ text }: { text: string }) => text)

  test('it reads a stream by its lines, and takes a cut one for a finished one', async () => {
    const head = 'HTTP/1.1 200 OK\r\n\r\n'
    expect(texts(await streamOf(head, event('a'), event('b'), 'data: [DONE]\n\n', 'hang'))).toEqual(
      ['a', 'b'],
    )
    expect(texts(await streamOf(head, event('a'), event('b').slice(0, 20)))).toEqual(['a'])
    expect(
      texts(await streamOf(head, ': ping\n\n', 'data:{}\n', 'data: {"choices":[]}\n', event('a'))),
    ).toEqual(['a'])
    const cut = event('lost')
    const chunked = `${(9).toString(16)}\r\n${cut.slice(0, 9)}\r\n${(cut.length - 9).toString(16)}\r\n${cut.slice(9)}\r\n`
    expect(texts(await streamOf(head, event('a'), chunked))).toEqual(['a'])
  })

  test('it crashes where it is known to', async () => {
    const head = 'HTTP/1.1 200 OK\r\n\r\n'
    const nullDelta = 'data: {"choices":[{"delta":null}]}\n\n'
    expect((await streamOf(head, nullDelta)).raised).toMatchObject({
      classified: false,
      exit_code: 1,
    })
    expect((await streamOf(head, 'data: [DONE]\n\n')).raised).toMatchObject({ class: 'ValueError' })
    const crash = async (body: object): Promise<Outcome['raised']> => {
      const { server, dir } = await serve([http(200, JSON.stringify(body))])
      const args = { model: 'gpt-4o', messages: [] }
      return (await sage.send({ call: 'chat', args, env: await gatewayEnv(server.path, dir) }))
        .raised
    }
    const tool = (call: string) => ({ function: { name: 'f', arguments: call }, id: 'c' })
    const answer = (message: object, more = {}) => ({ choices: [{ message }], ...more })
    expect(await crash(answer({ content: null }))).toMatchObject({ classified: false })
    expect(await crash(answer({ content: '', tool_calls: [tool('')] }))).toMatchObject({
      classified: false,
    })
    expect(await crash(answer({ content: '' }, { usage: { prompt_tokens: null } }))).toMatchObject({
      classified: false,
    })
    expect(await crash({ choices: [] })).toMatchObject({ class: 'GatewayError', exit_code: 30 })
  })

  test('a stream that is refused is read to its end', async () => {
    const refused = await streamOf(http(429, 'no'))
    expect(refused.raised).toMatchObject({ class: 'RateLimitError', exit_code: 31 })
    const stalled = await streamOf(http(403, 'no'), 'hang')
    expect(stalled.raised).toMatchObject({ class: 'GatewayError', message: 'timed out' })
  })

  test('references are read as the contract’s table says', async () => {
    const table = {
      'gpt-4o': 'openai:gpt-4o',
      'Claude-3': 'anthropic:Claude-3',
      'anthropic/claude-3': 'anthropic:anthropic/claude-3',
      'google/gemini-1': 'google:google/gemini-1',
      'models/gemini-x': 'openai:models/gemini-x',
      ' OpenAI : gpt-4o ': 'openai:gpt-4o',
      'openai:a:b': 'openai:a:b',
      'ft:gpt-4o:acme::1': 'ft:gpt-4o:acme::1',
      'llama3:8b': 'llama3:8b',
    }
    for (const [text, parsed] of Object.entries(table))
      expect((await sage.send({ call: 'parse', args: { text } })).ok).toBe(parsed)
    for (const text of ['claude:', ':x', ':', ' '])
      expect((await sage.send({ call: 'parse', args: { text } })).raised?.exit_code).toBe(62)
  })

  test('it fetches a token as the ladder says', async () => {
    const dir = place()
    const [valid, old] = [
      jwt({ exp: nowSeconds() + 99, txn: 'r' }),
      jwt({ exp: nowSeconds() - 1, txn: 'r' }),
    ]
    const [file, expired] = [join(dir, 'valid'), join(dir, 'expired')]
    writeFileSync(file, valid)
    writeFileSync(expired, old)
    const ladder = async (paths: object, ...plan: Piece[][]): Promise<Outcome> => {
      const { server } = await serve(...plan)
      const args = { ...paths, ...(plan.length > 0 && { socket: server.path }), http: QUICK }
      return sage.send({ call: 'trat_ladder', args })
    }
    expect((await ladder({ file })).ok).toBe(valid)
    const fallback = await ladder({ file: expired }, [http(200, ` ${valid}\n`)])
    expect(fallback).toMatchObject({ ok: valid, events: [{ event: 'trat_expired_fallback' }] })
    expect((await ladder({ file: expired }, [http(200, old)])).raised?.exit_code).toBe(13)
    expect((await ladder({ file: expired }, [http(403, '')])).raised?.exit_code).toBe(12)
    expect((await ladder({ file: expired })).raised?.exit_code).toBe(13)
    expect((await ladder({ file: '/nonexistent' }, [http(200, valid)])).raised?.exit_code).toBe(12)
    expect((await ladder({})).raised?.exit_code).toBe(12)
  })
})
