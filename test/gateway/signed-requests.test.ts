import {
  createHash,
  createPrivateKey,
  generateKeyPairSync,
  type KeyObject,
  randomUUID,
  sign,
} from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { temporaryHome } from '../harness/boot.ts'
import { advance } from '../harness/clock.ts'
import { type GatewayNode, startNode } from './world.ts'

const home = temporaryHome()
let node: GatewayNode
beforeAll(async () => {
  node = await startNode(home, { gateway: { agent_auth_mode: 'signed' } })
})
afterAll(async () => {
  await node[Symbol.asyncDispose]()
  home[Symbol.dispose]()
})

interface Signed {
  readonly timestamp?: number
  readonly nonce?: string
  /** Signed instead of what is sent. */
  readonly body?: string
  readonly method?: string
  readonly path?: string
}

const PATH = '/api/generate-token'

/** Gateway §5.5, line by line. */
function headersFor(key: KeyObject, sent: string, signed: Signed = {}): Record<string, string> {
  const { timestamp = Date.now(), nonce = randomUUID(), body = sent } = signed
  const lines = [
    '4RUNR-AGENT-SIG-1',
    signed.method ?? 'POST',
    signed.path ?? PATH,
    String(timestamp),
    nonce,
    createHash('sha256').update(body).digest('hex'),
  ]
  const algorithm = key.asymmetricKeyType === 'rsa' ? 'sha256' : null
  const signature = sign(algorithm, Buffer.from(lines.join('\n')), key).toString('base64')
  return {
    'x-agent-timestamp': String(timestamp),
    'x-agent-nonce': nonce,
    'x-agent-signature': `v1=${signature}`,
  }
}

function bodyFor(agentId: string, tools = ['serpapi']): string {
  const expires_at = new Date(Date.now() + 600_000).toISOString()
  return JSON.stringify({ agent_id: agentId, tools, permissions: ['read'], expires_at })
}

const pair = generateKeyPairSync('ed25519')
const newAgent = () =>
  node.createAgent('scraper', {
    public_key: pair.publicKey.export({ type: 'spki', format: 'pem' }).toString(),
  })
const mint = (body: string, headers: Record<string, string>, path = PATH) =>
  node.http('POST', path, body, headers)
const refused = { status: 401, json: { code: 'AGENT_PROOF_INVALID' } }

describe('gateway §19.15: signed token requests', () => {
  test('a valid signature of either kind of key is accepted', async () => {
    const id = await newAgent()
    const body = bodyFor(id)
    expect((await mint(body, headersFor(pair.privateKey, body))).status).toBe(201)
    const generated = await node.asAdmin('POST', '/api/create-agent', {
      name: 'rsa',
      created_by: 'tests',
      role: 'scraper',
    })
    const rsa = createPrivateKey(generated.private_key)
    const other = bodyFor(generated.agent_id)
    expect((await mint(other, headersFor(rsa, other))).status).toBe(201)
    // A query is not part of what is signed.
    expect((await mint(body, headersFor(pair.privateKey, body), `${PATH}?a=1`)).status).toBe(201)
  })

  test('a missing one is refused', async () => {
    expect(await mint(bodyFor(await newAgent()), {})).toMatchObject({
      status: 401,
      json: { code: 'AGENT_PROOF_REQUIRED' },
    })
  })

  test('a replayed nonce is refused, also once the daemon has restarted', async () => {
    const id = await newAgent()
    const body = bodyFor(id)
    const headers = headersFor(pair.privateKey, body)
    expect((await mint(body, headers)).status).toBe(201)
    expect(await mint(body, headers)).toMatchObject(refused)
    await node[Symbol.asyncDispose]()
    node = await startNode(home, { gateway: { agent_auth_mode: 'signed' } })
    expect(await mint(body, headers)).toMatchObject(refused)
    // The nonce is one agent's: another may use the same.
    const second = bodyFor(await newAgent())
    const nonce = headers['x-agent-nonce'] ?? ''
    expect((await mint(second, headersFor(pair.privateKey, second, { nonce }))).status).toBe(201)
  })

  test('a nonce that comes twice at once is spent once', async () => {
    const body = bodyFor(await newAgent())
    const headers = headersFor(pair.privateKey, body)
    const answers = await Promise.all(Array.from({ length: 8 }, () => mint(body, headers)))
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(1)
  })

  test.each([-301_000, 301_000])('a timestamp %i ms off is refused', async (offMs) => {
    const body = bodyFor(await newAgent())
    const stale = headersFor(pair.privateKey, body, { timestamp: Date.now() + offMs })
    expect(await mint(body, stale)).toMatchObject(refused)
    const near = headersFor(pair.privateKey, body, { timestamp: Date.now() + offMs * 0.99 })
    expect((await mint(body, near)).status).toBe(201)
  })

  test('a request that was recorded is of no use five minutes later', async () => {
    const body = bodyFor(await newAgent())
    const headers = headersFor(pair.privateKey, body)
    advance(301_000)
    expect(await mint(body, headers)).toMatchObject(refused)
  })

  test('an altered body, method, path, key, time, nonce or text is refused', async () => {
    const id = await newAgent()
    const body = bodyFor(id)
    const good = headersFor(pair.privateKey, body)
    const wider = bodyFor(id, ['*'])
    const foreign = generateKeyPairSync('ed25519').privateKey
    const attempts: [string, Record<string, string>][] = [
      [wider, good],
      [`${body} `, good],
      [body, headersFor(pair.privateKey, body, { method: 'GET' })],
      [body, headersFor(pair.privateKey, body, { path: '/api/proxy-request' })],
      [body, headersFor(foreign, body)],
      [body, { ...good, 'x-agent-timestamp': String(Number(good['x-agent-timestamp']) + 1) }],
      [body, { ...good, 'x-agent-nonce': randomUUID() }],
      [body, { ...good, 'x-agent-signature': 'v1=' }],
      [body, { ...good, 'x-agent-signature': 'v2=AAAA' }],
      [body, { ...good, 'x-agent-signature': good['x-agent-signature']?.slice(3) ?? '' }],
    ]
    for (const [sent, headers] of attempts) expect(await mint(sent, headers)).toMatchObject(refused)
    // None of them used the nonce up.
    expect((await mint(body, good)).status).toBe(201)
  })
})

test('a wrong signature never falls back to none, where none would do', async () => {
  using legacyHome = temporaryHome()
  await using legacy = await startNode(legacyHome)
  const public_key = pair.publicKey.export({ type: 'spki', format: 'pem' }).toString()
  const body = bodyFor(await legacy.createAgent('scraper', { public_key }))
  const wrong = headersFor(generateKeyPairSync('ed25519').privateKey, body)
  expect(await legacy.http('POST', PATH, body, wrong)).toMatchObject(refused)
  expect((await legacy.http('POST', PATH, body)).status).toBe(201)
  const strict = bodyFor(
    await legacy.createAgent('scraper', { public_key, require_signature: true }),
  )
  expect(await legacy.http('POST', PATH, strict)).toMatchObject({
    status: 401,
    json: { code: 'AGENT_PROOF_REQUIRED' },
  })
  expect(
    (await legacy.http('POST', PATH, strict, headersFor(pair.privateKey, strict))).status,
  ).toBe(201)
})

test('a signature beside a token is verified, too, though none is needed', async () => {
  const id = await newAgent()
  await node.allow(id, { scopes: ['serpapi:search'] })
  const mintBody = bodyFor(id)
  const { json } = await mint(mintBody, headersFor(pair.privateKey, mintBody))
  const body = JSON.stringify({
    agent_token: json.agent_token,
    tool: 'serpapi',
    action: 'search',
    params: { q: 'a' },
  })
  const path = '/api/proxy-request'
  const call = (headers: Record<string, string>) => node.http('POST', path, body, headers)
  const good = headersFor(pair.privateKey, body, { path })
  expect((await call({})).status).toBe(200)
  expect((await call(good)).status).toBe(200)
  expect(await call(good)).toMatchObject(refused) // its nonce is spent
  const foreign = generateKeyPairSync('ed25519').privateKey
  expect(await call(headersFor(foreign, body, { path }))).toMatchObject(refused)
  expect(await call(headersFor(pair.privateKey, body))).toMatchObject(refused)
})
