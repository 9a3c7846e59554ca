/** Bodies that mean harm, and fields of every wrong kind. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type SecurityWorld, startSecurityWorld } from './security-world.ts'
import { type GatewayNode, type HttpAnswer, LETTER } from './world.ts'

let world: SecurityWorld
let node: GatewayNode
let agent: { id: string; token: string }

beforeAll(async () => {
  world = await startSecurityWorld()
  node = world.node
  agent = await node.caller({ scopes: ['*'] })
})
afterAll(() => world[Symbol.asyncDispose]())

const mintBody = (): Record<string, unknown> => ({
  agent_id: agent.id,
  tools: ['*'],
  permissions: ['read'],
  expires_at: new Date(Date.now() + 600_000).toISOString(),
})
const callBody = (): Record<string, unknown> => ({
  agent_token: agent.token,
  tool: 'crm',
  action: 'add',
  params: { note: 'a' },
})
const post = (path: string, body: unknown): Promise<HttpAnswer> => node.http('POST', path, body)

const VALUES: [kind: string, value: unknown][] = [
  ['null', null],
  ['true', true],
  ['a number', 7],
  ['a fraction', 0.5],
  ['text', 'x y'],
  ['empty text', ''],
  ['a list', ['a']],
  ['an empty list', []],
  ['a list of lists', [[]]],
  ['an object', { a: 1 }],
  ['an empty object', {}],
  ['long text', 'x'.repeat(100_000)],
  ['text with NUL', 'a\u0000b'],
  ['text with a direction mark', '\u202egnp.exe'],
  ['a query operator', { $ne: null }],
]

describe('a wrong kind in a field of a token request', () => {
  test.each(['agent_id', 'tools', 'permissions', 'expires_at'])('%s', async (field) => {
    for (const [kind, value] of VALUES) {
      const { status, json } = await post('/api/generate-token', { ...mintBody(), [field]: value })
      const fine =
        Array.isArray(value) && /tools|permissions/.test(field) && kind !== 'a list of lists'
      const unknown = field === 'agent_id' && typeof value === 'string'
      const expected = fine ? [201] : unknown ? [400, 404] : [400]
      expect(expected, `${field}: ${kind} ${JSON.stringify(json)}`).toContain(status)
      if (status !== 201) expect(json.error).toMatch(/./)
      expect(JSON.stringify(json).length).toBeLessThan(4_000)
    }
  })
})

describe('a wrong kind in a field of a call', () => {
  test.each([
    ['agent_token', [400, 401]],
    ['tool', [400]],
    ['action', [400]],
    ['params', [200, 400]],
    ['intent', [200, 400]],
    ['proof_payload', [200]],
    ['token_id', [200, 400, 403]],
    ['async', [200, 202, 400]],
    ['idempotency_key', [200, 400]],
  ])('%s', async (field, statuses) => {
    for (const [kind, value] of VALUES) {
      const { status, json } = await post('/api/proxy-request', { ...callBody(), [field]: value })
      expect(statuses, `${field}: ${kind} ${JSON.stringify(json)}`).toContain(status)
      if (status !== 200 && status !== 202) expect(json.error).toMatch(/./)
      expect(JSON.stringify(json).length).toBeLessThan(4_000)
    }
  })

  test.each<[`${string}:${string}`, string[], object]>([
    ['serpapi:search', ['q', 'engine', 'location', 'num', 'start', 'safe'], { q: 'a' }],
    ['http_fetch:get', ['url', 'timeout', 'maxSize', 'headers'], {}],
    [
      'openai:chat',
      ['messages', 'model', 'temperature', 'max_tokens', 'top_p', 'frequency_penalty'],
      { messages: [{ role: 'user', content: 'a' }] },
    ],
    ['openai:complete', ['prompt', 'model', 'max_tokens', 'temperature'], { prompt: 'a' }],
    ['gmail_send:send', ['to', 'subject', 'body', 'html', 'from', 'cc', 'bcc'], LETTER],
    ['crm:add', ['note'], {}],
  ])('any param of %s', async (called, fields, given) => {
    for (const field of fields) {
      for (const [kind, value] of VALUES) {
        const params = { url: world.at('/'), ...given, [field]: value }
        if (called !== 'http_fetch:get') delete (params as { url?: string }).url
        const { status, json } = await node.call(agent.token, called, params)
        expect([200, 400], `${field}: ${kind} ${JSON.stringify(json)}`).toContain(status)
      }
    }
  })
})

test.each([
  ['__proto__', '"params":{"__proto__":{"admin":true},"note":"a"}'],
  ['an escaped __proto__', '"params":{"\\u005f\\u005fproto__":{"admin":true}}'],
  ['constructor', '"params":{"constructor":{"prototype":{"admin":true}}}'],
  ['__proto__ beside the fields', '"params":{},"__proto__":{"admin":true}'],
  ['a key twice', '"params":{},"params":{"note":"b"}'],
  ['a key twice, escaped', '"params":{},"par\\u0061ms":{"note":"b"}'],
  ['a token twice', '"params":{},"agent_token":"x.y"'],
  ['half a surrogate pair', '"params":{"note":"\\ud800"}'],
  ['half a surrogate pair as a key', '"params":{"\\udfff":"a"}'],
  ['a number beyond all', '"params":{"note":1e999}'],
  ['depth', `"params":{"note":${'['.repeat(500)}${']'.repeat(500)}}`],
  ['depth in objects', `"params":${'{"a":'.repeat(500)}1${'}'.repeat(500)}`],
  ['a comment', '"params":{} /* x */'],
  ['single quotes', "'params':{}"],
  ['NaN', '"params":{"note":NaN}'],
  ['a control character in text', '"params":{"note":"\u0001"}'],
  ['nothing after a comma', '"params":{},'],
])('a body with %s is refused whole', async (_kind, member) => {
  const before = world.upstream.seen.length
  const text = `{"agent_token":${JSON.stringify(agent.token)},"tool":"crm","action":"add",${member}}`
  for (const path of ['/api/proxy-request', '/api/proxy']) {
    const { status, json } = await post(path, text)
    expect([status, json.code]).toEqual([400, 'BAD_REQUEST'])
  }
  expect(world.upstream.seen.length).toBe(before)
  expect(({} as { admin?: boolean }).admin).toBeUndefined()
})

test.each([
  ['UTF-16', Buffer.from('{"a":1}', 'utf16le')],
  ['a broken sequence', Buffer.from([0x7b, 0x22, 0xc3, 0x28, 0x22, 0x3a, 0x31, 0x7d])],
  ['an overlong sequence', Buffer.from([0x22, 0xc0, 0xaf, 0x22])],
  ['a coded surrogate', Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22])],
])('bytes that are no UTF-8 are refused: %s', async (_kind, body) => {
  const response = await fetch(`${node.url}/api/generate-token`, { method: 'POST', body })
  expect([response.status, ((await response.json()) as { code: string }).code]).toEqual([
    400,
    'BAD_REQUEST',
  ])
})

test('R-8: a mebibyte is taken, a byte more is not, said or unsaid', async () => {
  const limit = 1_048_576
  const frame = JSON.stringify({ ...callBody(), params: { note: '' } }).length
  const fitting = JSON.stringify({ ...callBody(), params: { note: 'x'.repeat(limit - frame) } })
  expect(fitting.length).toBe(limit)
  expect((await post('/api/proxy-request', fitting)).status).toBe(200)
  expect((await post('/api/proxy-request', `${fitting} `)).json.code).toBe('REQUEST_TOO_LARGE')
  const chunked = await fetch(`${node.url}/api/proxy-request`, {
    method: 'POST',
    body: new ReadableStream({
      start(controller) {
        for (let n = 0; n < 20; n += 1) controller.enqueue(Buffer.alloc(65_536, ' '))
        controller.close()
      },
    }),
    duplex: 'half',
  } as RequestInit)
  expect(chunked.status).toBe(413)
})

test('unknown fields are ignored, whatever they hold', async () => {
  const more = { debug: true, admin: { role: 'owner' }, agent_id: 'somebody else', role: 'owner' }
  const { status, json } = await post('/api/proxy-request', { ...callBody(), ...more })
  expect([status, json.metadata.agent_id]).toEqual([200, agent.id])
})

test.each([
  ['subject', 'Hi\r\nBcc: x@evil.example'],
  ['subject', 'Hi\nBcc: x@evil.example'],
  ['subject', 'Hi\rBcc: x@evil.example'],
  ['to', 'a@example.org\r\nBcc: x@evil.example'],
  ['to', ['a@example.org', 'b@example.org\nBcc: x@evil.example']],
  ['from', 'me\r\nReply-To: x@evil.example'],
  ['cc', ['a@example.org\r\nX: y']],
  ['bcc', ['a@example.org\n']],
])(
  'gateway §19.28: a line break in %s (%j) is refused, and nothing is sent',
  async (field, value) => {
    const before = world.upstream.seen.length
    for (const fields of [{}, { async: true }]) {
      const { status, json } = await node.call(
        agent.token,
        'gmail_send:send',
        { ...LETTER, [field]: value },
        fields,
      )
      expect([status, json.code]).toEqual([400, 'INVALID_PARAMS'])
      expect(JSON.stringify(json)).not.toContain('evil')
    }
    expect(world.upstream.seen.length).toBe(before)
  },
)
