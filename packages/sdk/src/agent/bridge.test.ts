import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { ConfigurationError } from '../sage/errors.ts'
import {
  type Answer,
  type FakeServer,
  fakeServer,
  respond,
  svid,
  trat,
} from '../sage/fake-server.test-kit.ts'
import { configureLogging } from '../sage/log.ts'
import { type Bridge, type BridgeOptions, startBridge } from './bridge.ts'

let directory: string
let gateway: FakeServer | undefined
let bridge: Bridge | undefined
let lines: string[]

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'sage-'))
  lines = []
  configureLogging({ format: 'json', write: (line) => lines.push(line) })
  await writeFile(join(directory, 'svid'), svid(EXP, { n: 1 }))
  await writeFile(join(directory, 'trat'), trat(EXP, { n: 1 }))
})

afterEach(async () => {
  await bridge?.close()
  await gateway?.close()
  bridge = undefined
  gateway = undefined
  configureLogging()
  await rm(directory, { recursive: true, force: true })
})

const EXP = 4_000_000_000
const env = (extra: Readonly<Record<string, string>> = {}) => ({
  SPIFFE_JWT_PATH: join(directory, 'svid'),
  TRAT_FILE: join(directory, 'trat'),
  LLM_GATEWAY_SOCKET: gateway?.socketPath ?? join(directory, 'none.sock'),
  SAGE_BRIDGE_LISTEN: '127.0.0.1:0',
  ...extra,
})

async function start(
  answer: Answer | undefined,
  options: BridgeOptions = {},
  extra = {},
): Promise<Bridge> {
  if (answer !== undefined) gateway = await fakeServer(answer)
  bridge = await startBridge(env(extra), options)
  return bridge
}

interface Call {
  method?: string
  path?: string
  headers?: Record<string, string>
  body?: string
}

function send({
  method = 'POST',
  path = '/v1/messages',
  headers = {},
  body = '{}',
}: Call = {}): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const call = httpRequest(`${bridge?.url}${path}`, { method, headers, agent: false }, resolve)
    call.once('error', reject)
    call.end(body)
  })
}

async function textOf(answer: IncomingMessage): Promise<string> {
  let text = ''
  for await (const part of answer.setEncoding('utf8')) text += part
  return text
}

describe('sage §21.41: the bridge', () => {
  test('strips the tool’s credentials, adds the run’s, and passes the rest on', async () => {
    const { env: tool } = await start((request) =>
      respond(request, 200, { ok: 1 }, { 'Request-Id': 'r1' }),
    )
    expect(tool).toEqual({ ANTHROPIC_BASE_URL: bridge?.url, ANTHROPIC_API_KEY: 'gateway-injected' })
    const answer = await send({
      path: '/v1/messages?beta=true',
      headers: {
        'X-API-Key': 'own',
        AUTHORIZATION: 'Bearer own',
        'TXN-Token': 'own',
        'anthropic-version': '2023-06-01',
        Connection: 'X-Hop',
        'X-Hop': '1',
      },
      body: '{"a":1}',
    })
    expect(answer.statusCode).toBe(200)
    expect(answer.headers['request-id']).toBe('r1')
    expect(JSON.parse(await textOf(answer))).toEqual({ ok: 1 })
    const [request] = gateway?.requests ?? []
    expect(request).toMatchObject({
      method: 'POST',
      path: '/v1/messages?beta=true',
      body: '{"a":1}',
    })
    expect(request?.headers).toMatchObject({
      authorization: `Bearer ${svid(EXP, { n: 1 })}`,
      'txn-token': trat(EXP, { n: 1 }),
      'anthropic-version': '2023-06-01',
      'content-length': '7',
    })
    expect(request?.head).not.toMatch(/own|x-hop/i)
    expect(request?.head.match(/authorization/gi)).toHaveLength(1)
  })

  test('reads the files anew for every request; the sidecar steps in for an expired one', async () => {
    await start((request) => respond(request, 200, {}))
    await (await send()).resume()
    await writeFile(join(directory, 'svid'), svid(EXP, { n: 2 }))
    await writeFile(join(directory, 'trat'), trat(EXP, { n: 2 }))
    await (await send()).resume()
    expect(gateway?.requests.map(({ headers }) => headers['txn-token'])).toEqual([
      trat(EXP, { n: 1 }),
      trat(EXP, { n: 2 }),
    ])
    expect(gateway?.requests[1]?.headers['authorization']).toBe(`Bearer ${svid(EXP, { n: 2 })}`)
    await bridge?.close()
    const sidecar = await fakeServer((request) => respond(request, 200, trat(EXP, { n: 3 })))
    await writeFile(join(directory, 'trat'), trat(1000))
    bridge = await startBridge(env({ AUTH_SIDECAR_SOCKET: sidecar.socketPath }))
    await (await send()).resume()
    expect(gateway?.requests[2]?.headers['txn-token']).toBe(trat(EXP, { n: 3 }))
    await sidecar.close()
  })

  test('hands on a stream as it comes, and its end', async () => {
    let more: (() => void) | undefined
    await start(({ socket }) => {
      socket.write(
        'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\ndata: 1\n\n',
      )
      more = () => void socket.end('data: 2\n\n')
    })
    const answer = await send()
    const parts = answer[Symbol.asyncIterator]()
    expect(String((await parts.next()).value)).toBe('data: 1\n\n')
    more?.()
    expect(String((await parts.next()).value)).toBe('data: 2\n\n')
    expect((await parts.next()).done).toBe(true)
  })

  test('a tool that hangs up ends the gateway’s call', async () => {
    let ended: (() => void) | undefined
    const isEnded = new Promise<void>((resolve) => {
      ended = resolve
    })
    await start(({ socket }) => {
      socket.once('end', () => ended?.())
      socket.write('HTTP/1.1 200 OK\r\n\r\ndata: 1\n\n')
    })
    ;(await send()).destroy()
    await isEnded
  })

  test('passes on the gateway’s refusal', async () => {
    await start((request) => respond(request, 403, { type: 'error' }))
    const answer = await send()
    expect([answer.statusCode, await textOf(answer)]).toEqual([403, '{"type":"error"}'])
  })

  test('a dead socket is 502, credentials that cannot be read are 503, both in Anthropic’s shape', async () => {
    await start(undefined)
    const dead = await send()
    expect(dead.statusCode).toBe(502)
    expect(JSON.parse(await textOf(dead))).toEqual({
      type: 'error',
      error: { type: 'api_error', message: expect.any(String) },
    })
    await rm(join(directory, 'svid'))
    const unreadable = await send()
    expect(unreadable.statusCode).toBe(503)
    expect(JSON.parse(await textOf(unreadable))).toMatchObject({ type: 'error' })
    expect(lines.join('')).not.toContain('eyJ')
  })

  test.each([
    '0.0.0.0:0',
    '::1:0',
    '[::1]:0',
    '192.168.1.1:80',
    '127.0.0.1',
    ':80',
    '127.0.0.1:99999',
    'example.com:80',
    '127.0.0.2:0',
  ])('refuses to listen on %s: 43', async (listen) => {
    await expect(startBridge(env({ SAGE_BRIDGE_LISTEN: listen }))).rejects.toBeInstanceOf(
      ConfigurationError,
    )
  })

  test('says which variable is missing; a port in use is 43', async () => {
    for (const name of ['SPIFFE_JWT_PATH', 'LLM_GATEWAY_SOCKET']) {
      await expect(startBridge(env({ [name]: '' }))).rejects.toThrow(name)
    }
    await expect(startBridge(env({ TRAT_FILE: '' }))).rejects.toThrow(/TRAT_FILE/)
    await start(undefined)
    const taken = bridge?.url.slice('http://'.length) ?? ''
    await expect(startBridge(env({ SAGE_BRIDGE_LISTEN: taken }))).rejects.toBeInstanceOf(
      ConfigurationError,
    )
  })

  test.each([
    [{ Host: 'evil.example' }],
    [{ Host: '127.0.0.1.evil.example' }],
    [{ Origin: 'http://localhost' }],
    [{ Origin: 'null' }],
  ])('refuses %j', async (headers) => {
    await start((request) => respond(request, 200, {}))
    expect((await send({ headers })).statusCode).toBe(403)
    expect(gateway?.requests).toEqual([])
  })

  test('with a key of its own, only who presents it is let through', async () => {
    const { env: tool } = await start((request) => respond(request, 200, {}), { key: 'random' })
    const key = tool.ANTHROPIC_API_KEY
    expect(key).not.toBe('gateway-injected')
    expect((await send({ headers: { 'x-api-key': 'gateway-injected' } })).statusCode).toBe(401)
    expect((await send()).statusCode).toBe(401)
    expect((await send({ headers: { 'x-api-key': key } })).statusCode).toBe(200)
    expect((await send({ headers: { Authorization: `Bearer ${key}` } })).statusCode).toBe(200)
    expect(gateway?.requests.map(({ head }) => head).join('')).not.toContain(key)
  })

  test('a body that is too large is 413', async () => {
    await start((request) => respond(request, 200, {}), { maxBodyBytes: 100 })
    expect((await send({ body: 'x'.repeat(101) })).statusCode).toBe(413)
    expect(gateway?.requests).toEqual([])
  })

  test('a gateway that answers with an upgrade is 502', async () => {
    await start(({ socket }) => {
      socket.write('HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n')
    })
    expect((await send()).statusCode).toBe(502)
  })

  test('an upgrade or a tunnel is not passed on', async () => {
    await start((request) => respond(request, 200, {}))
    for (const head of [
      'GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket',
      'CONNECT evil:80 HTTP/1.1\r\nHost: localhost',
    ]) {
      const socket = connect({ port: Number(new URL(bridge?.url ?? '').port), host: '127.0.0.1' })
      socket.on('error', () => {})
      socket.write(`${head}\r\n\r\n`)
      await new Promise((resolve) => socket.once('close', resolve))
    }
    expect(gateway?.requests).toEqual([])
  })
})
