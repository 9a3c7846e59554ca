import { afterAll, beforeAll, expect, test } from 'vitest'
import { BY_ITSELF } from './connect/process-record.ts'
import { type Remote, type RemoteScript, startRemote } from './testing/http-server.test-kit.ts'
import { type TestHub, testHub } from './testing/hub.test-kit.ts'

const failing = (code: string, message = '') =>
  expect.objectContaining({ code, message: expect.stringContaining(message) })
const TOKEN = 'tok-4f1e77c2b90d'

let hub: TestHub
beforeAll(async () => {
  hub = await testHub({ secrets: { 'mcp:remote secret://token': TOKEN } })
})
afterAll(() => hub[Symbol.asyncDispose]())

async function connected(script: RemoteScript, more: Record<string, unknown> = {}) {
  const remote = await startRemote(script)
  await hub.add({ name: 'remote', url: remote.url, timeout_seconds: 10, ...more })
  await hub.servers.connect('remote', { waitMs: 15_000, cause: BY_ITSELF })
  return remote
}

async function over(remote: Remote): Promise<void> {
  await hub.servers.disconnect('remote', BY_ITSELF)
  await remote[Symbol.asyncDispose]()
}

test.each(['json', 'sse'] as const)(
  'runtime §20.18: streamable HTTP with %s replies: session, revision, call, and a DELETE at the end',
  async (reply) => {
    const remote = await connected(
      { reply },
      { headers: { Authorization: 'Bearer secret://token' } },
    )
    expect(hub.servers.server('remote')).toMatchObject({
      status: 'connected',
      transport: 'streamable_http',
      pid: undefined,
      toolsCount: 1,
    })
    expect(await hub.call('remote', 'echo', { token: TOKEN })).toBe('{"token":"[REDACTED]"}')
    const [hello, ...later] = remote.seen
    expect(hello?.headers).toMatchObject({
      accept: 'application/json, text/event-stream',
      'content-type': 'application/json',
      authorization: `Bearer ${TOKEN}`,
    })
    expect(hello?.headers).not.toHaveProperty('mcp-session-id')
    for (const { headers } of later) {
      expect(headers).toMatchObject({
        'mcp-session-id': 'session-1',
        'mcp-protocol-version': '2025-11-25',
        authorization: `Bearer ${TOKEN}`,
      })
    }
    expect(remote.methods()).toEqual([
      'initialize',
      'notifications/initialized',
      'tools/list',
      'tools/call',
    ])
    await over(remote)
    expect(remote.ended()).toBe(1)
  },
)

test('runtime §20.18: a lost session is begun anew, once for all who meet it', async () => {
  const remote = await connected({})
  remote.forget()
  const answers = await Promise.all([1, 2, 3].map((at) => hub.call('remote', 'echo', { at })))
  expect(answers).toEqual(['{"at":1}', '{"at":2}', '{"at":3}'])
  expect(remote.begun()).toBe(2)
  expect(hub.servers.server('remote')?.status).toBe('connected')
  await over(remote)
})

test('whoever lost the session may have come back as another: a call is decided on again', async () => {
  const remote = await connected({})
  const expected = hub.servers.tool('remote', 'echo')
  if (expected === undefined) throw new Error('is not listed')
  remote.forget()
  remote.rename('Says it to somebody else')
  const given = { signal: AbortSignal.timeout(10_000), timeoutMs: 5_000, expected }
  await expect(hub.servers.call('remote', 'echo', {}, given)).rejects.toEqual(
    failing('TOOL_NOT_VERIFIED', 'changed "echo"'),
  )
  // Sent once, to who did not know the session.
  expect(remote.methods().filter((method) => method === 'tools/call')).toHaveLength(1)
  await over(remote)
})

test('a reply stream that stays open after its answer is closed', async () => {
  const remote = await connected({ reply: 'sse', lingers: true })
  for (let at = 0; at < 3; at += 1) await hub.call('remote', 'echo', { at })
  await expect.poll(() => remote.lingering()).toBe(0)
  await over(remote)
})

test('runtime §20.18: what the server says by itself comes over the GET stream', async () => {
  const remote = await connected({ withStream: true })
  await expect.poll(() => remote.streams()).toBe(1)
  remote.rename('Something else')
  remote.say({ method: 'notifications/tools/list_changed' })
  await expect
    .poll(() => hub.servers.tool('remote', 'echo')?.description, { timeout: 5_000 })
    .toBe('Something else')
  await over(remote)
})

test('runtime §20.18: a reply that breaks off is taken up where it ended', async () => {
  const remote = await connected({ reply: 'sse', breaks: true })
  expect(await hub.call('remote', 'echo', { a: 1 })).toBe('{"a":1}')
  expect(remote.seen.some(({ headers }) => /^e-\d+$/.test(String(headers['last-event-id'])))).toBe(
    true,
  )
  await over(remote)
})

test('runtime §20.18: the older transport is found out and spoken', async () => {
  const remote = await connected({ older: true })
  expect(hub.servers.server('remote')).toMatchObject({ status: 'connected', transport: 'sse' })
  expect(await hub.call('remote', 'echo', { b: 2 })).toBe('{"b":2}')
  await remote[Symbol.asyncDispose]()
  await expect.poll(() => hub.servers.server('remote')?.status).toBe('error')
  expect(hub.servers.server('remote')?.lastError).toMatch(/stream|broke off/)
})

test('messages are posted to the configured origin only', async () => {
  await expect(
    connected({ older: true, endpoint: 'http://127.0.0.2:9/elsewhere' }),
  ).rejects.toEqual(failing('MCP_PROTOCOL_ERROR', 'another origin'))
})

test.each([
  [401, 'refused our credentials'],
  [403, 'refused our credentials'],
  [307, 'is not followed'],
  [500, 'HTTP 500'],
])(
  'a server that answers %s is in error, and nobody is told that their own key is bad',
  async (status, reason) => {
    await expect(connected({ status })).rejects.toEqual(failing('MCP_PROTOCOL_ERROR', reason))
    expect(hub.servers.server('remote')).toMatchObject({
      status: 'error',
      lastError: expect.stringContaining(reason),
    })
  },
)

test('a server that has gone is in error as soon as a call cannot reach it', async () => {
  const remote = await connected({})
  await remote[Symbol.asyncDispose]()
  for (const _ of ['breaks off', 'is refused'])
    await expect(hub.call('remote', 'echo')).rejects.toEqual(
      expect.objectContaining({
        code: expect.stringMatching(/^MCP_(?:PROTOCOL_ERROR|NOT_CONNECTED)$/),
      }),
    )
  await expect.poll(() => hub.servers.server('remote')?.status).toBe('error')
})

test.each([
  ['http://10.0.0.8/mcp', 'not allowed'],
  ['http://169.254.169.254/latest/meta-data', 'not allowed'],
  ['http://[::1]:9/mcp', 'not allowed'],
])('addresses that nobody opened stay out of reach: %s', async (url, reason) => {
  await hub.add({ name: 'remote', url })
  await expect(hub.servers.connect('remote', { waitMs: 15_000, cause: BY_ITSELF })).rejects.toEqual(
    failing('MCP_PROTOCOL_ERROR', reason),
  )
})

test.each(['http://mcp.example.com/', 'http://127.example.com/'])(
  'secrets in headers go over https only, except on this machine: not to %s',
  async (url) => {
    await hub.add({
      name: 'remote',
      url,
      headers: { 'X-Key': 'secret://token' },
    })
    await expect(
      hub.servers.connect('remote', { waitMs: 15_000, cause: BY_ITSELF }),
    ).rejects.toEqual(failing('MCP_PROTOCOL_ERROR', 'https only'))
  },
)
