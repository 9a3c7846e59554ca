import { generateKeyPairSync } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { signJws } from '../../packages/server/src/identity/runs/jws.ts'
import { AUDIENCE, type LlmWorld, type RunHeaders, startLlmWorld, tokens } from './llm-world.ts'
import type { RawReply } from './raw-http.ts'

const CHAT = '/v1/chat/completions'
const EMBEDDINGS = '/v1/embeddings'

let world: LlmWorld
let run: RunHeaders
beforeAll(async () => {
  world = await startLlmWorld({
    llm: {
      requests_per_run_minute: 10_000,
      requests_per_model_minute: 10_000,
      requests_per_org_minute: 10_000,
    },
  })
  run = await world.run()
})
afterAll(() => world[Symbol.asyncDispose]())

function codeOf({ body }: RawReply): unknown {
  return (JSON.parse(body) as { error: { code: unknown } }).error.code
}

const ask = (model: string, headers: Record<string, string>, path = CHAT) => {
  const body =
    path === EMBEDDINGS
      ? { model, input: ['a'] }
      : { model, messages: [{ role: 'user', content: 'hi' }] }
  return world.post(path, body, headers)
}

const base64url = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
const foreign = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
const foreignEd = generateKeyPairSync('ed25519').privateKey

/** Tokens that differ from good ones in one thing. */
function forged(): Record<
  string,
  { headers: Record<string, string>; code: string; status?: number }
> {
  const good = tokens(run)
  const seconds = Math.floor(Date.now() / 1_000)
  const svidKey = world.runKeys.signing('svid')
  const tratKey = world.runKeys.signing('trat')
  const svidClaims = { sub: run.run.spiffeId, aud: [AUDIENCE], iat: seconds, exp: seconds + 600 }
  const tratClaims = {
    txn: run.run.id,
    sub: run.run.sub,
    scope: 'scan.execute',
    req_wl: run.run.spiffeId,
    iat: seconds,
    exp: seconds + 300,
    aud: 'sage-sanctum.local',
    iss: 'https://tts.sage-sanctum.local',
    tctx: run.run.tctx,
    rctx: {},
  }
  const svid = (claims: object, header: object = {}, key = svidKey.privateKey) => ({
    ...good,
    Authorization: `Bearer ${signJws('ES256', key, { kid: svidKey.kid, ...header }, { ...svidClaims, ...claims })}`,
  })
  const trat = (claims: object, header: object = {}, key = tratKey.privateKey) => ({
    ...good,
    'Txn-Token': signJws(
      'EdDSA',
      key,
      { typ: 'txntoken+jwt', kid: tratKey.kid, ...header },
      { ...tratClaims, ...claims },
    ),
  })
  const unsigned = (alg: string) => ({
    ...good,
    Authorization: `Bearer ${base64url({ alg })}.${base64url(svidClaims)}.c2ln`,
  })
  const withoutTxn: Record<string, unknown> = { ...tratClaims }
  delete withoutTxn['txn']
  return {
    'no identity': { headers: { 'Txn-Token': good['Txn-Token'] ?? '' }, code: 'identity_missing' },
    'no transaction': {
      headers: { Authorization: good['Authorization'] ?? '' },
      code: 'txn_missing',
    },
    'an identity without algorithm': { headers: unsigned('none'), code: 'identity_invalid' },
    'an identity with a shared key': { headers: unsigned('HS256'), code: 'identity_invalid' },
    'an identity with EdDSA': { headers: unsigned('EdDSA'), code: 'identity_invalid' },
    'an identity of another key': { headers: svid({}, {}, foreign), code: 'identity_invalid' },
    'an identity for others': {
      headers: svid({ aud: ['spiffe://sage-sanctum.local/other'] }),
      code: 'identity_invalid',
    },
    'an identity of another domain': {
      headers: svid({ sub: 'spiffe://elsewhere.example/scanner/x' }),
      code: 'identity_invalid',
    },
    'an identity with one more header member': {
      headers: svid({}, { x: 1 }),
      code: 'identity_invalid',
    },
    'an expired identity': { headers: svid({ exp: seconds - 60 }), code: 'identity_expired' },
    'a transaction of another type': { headers: trat({}, { typ: 'JWT' }), code: 'txn_invalid' },
    'a transaction of another key': { headers: trat({}, {}, foreignEd), code: 'txn_invalid' },
    'a transaction for others': {
      headers: trat({ aud: 'elsewhere.example' }),
      code: 'txn_invalid',
    },
    'a transaction without its id': { headers: trat({ txn: '' }), code: 'txn_invalid' },
    'an expired transaction': {
      headers: trat({ iat: seconds - 400, exp: seconds - 100 }),
      code: 'txn_expired',
    },
    'a transaction that lives too long': {
      headers: trat({ exp: seconds + 1_000 }),
      code: 'txn_invalid',
    },
    'a transaction of another workload': {
      headers: trat({ req_wl: 'spiffe://sage-sanctum.local/scanner/x' }),
      code: 'identity_txn_mismatch',
      status: 403,
    },
    'tokens in each other’s place': {
      headers: {
        Authorization: `Bearer ${good['Txn-Token']}`,
        'Txn-Token': (good['Authorization'] ?? '').replace('Bearer ', ''),
      },
      code: 'identity_invalid',
    },
  }
}

test('sage §21.14: each flaw of a token is refused with its own code, and recorded', async () => {
  for (const [name, { headers, code, status = 401 }] of Object.entries(forged())) {
    const before = (await world.audit()).length
    const reply = await ask('gpt-4o', { ...headers, 'X-Provider': 'openai' })
    expect([name, reply.status, codeOf(reply)]).toEqual([name, status, code])
    expect(reply.headers['www-authenticate'], name).toBe(
      status === 401 ? 'Bearer error="invalid_token"' : undefined,
    )
    const added = (await world.audit()).slice(before)
    expect(added, name).toHaveLength(1)
    expect(added[0], name).toMatchObject({
      action: 'llm.chat',
      phase: 'single',
      success: false,
      actor: 'anonymous',
      outcome: { code: code.toUpperCase(), status },
      data: { route: CHAT },
    })
  }
  expect(world.fakes.openai.requests).toEqual([])
})

test('sage §21.15: a run that was closed is refused at once', async () => {
  const other = await world.run()
  expect((await ask('gpt-4o', tokens(other))).status).toBe(200)
  await world.runs.close(other.run.id)
  const reply = await ask('gpt-4o', tokens(other))
  expect([reply.status, codeOf(reply)]).toEqual([403, 'run_closed'])
})

describe('models', () => {
  test.each([
    ['openai', 'gpt-4o-mini'],
    ['openai', 'gpt-4o'],
    ['openai', 'o3'],
    ['anthropic', 'claude-sonnet-4-5'],
    ['google', 'gemini-2.5-flash'],
  ])(
    'sage §21.17: %s:%s is permitted to a client that names no category',
    async (provider, model) => {
      expect((await ask(model, { ...tokens(run), 'X-Provider': provider })).status).toBe(200)
    },
  )

  test.each([
    ['another model', CHAT, 'gpt-4.1', { 'X-Provider': 'openai' }, 'model_not_allowed'],
    [
      'an embeddings model for chat',
      CHAT,
      'text-embedding-3-small',
      { 'X-Provider': 'openai' },
      'model_not_allowed',
    ],
    [
      'a chat model for embeddings',
      EMBEDDINGS,
      'gpt-4o',
      { 'X-Provider': 'openai' },
      'model_not_allowed',
    ],
  ])(
    'sage §21.17: %s is refused, and the refusal says which',
    async (_name, path, model, headers, code) => {
      const reply = await ask(model, { ...tokens(run), ...headers }, path)
      expect([reply.status, codeOf(reply)]).toEqual([403, code])
      expect(reply.body).toContain(`Model openai:${model} is not permitted for this run`)
      const last = (await world.audit()).at(-1)
      expect(last).toMatchObject({
        success: false,
        decision: { allow: false },
        data: { provider: 'openai', model },
      })
    },
  )

  test.each([
    ['triage', 'gpt-4o-mini', 200, undefined],
    ['triage', 'gpt-4o', 403, 'model_not_allowed'],
    ['analysis', 'gpt-4o', 200, undefined],
    ['reasoning', 'gpt-4o', 403, 'model_not_allowed'],
    ['embeddings', 'text-embedding-3-small', 403, 'category_not_allowed'],
    ['Analysis', 'gpt-4o', 403, 'category_not_allowed'],
    ['everything', 'gpt-4o', 403, 'category_not_allowed'],
  ])('sage §21.18: category %s with %s is answered %i', async (category, model, status, code) => {
    const reply = await ask(model, {
      ...tokens(run),
      'X-Provider': 'openai',
      'X-Sage-Category': category,
    })
    expect(reply.status).toBe(status)
    if (code !== undefined) expect(codeOf(reply)).toBe(code)
    const last = (await world.audit()).at(-1)
    expect(last?.data?.['category']).toBe(
      /^[a-z]+$/.test(category) && category !== 'everything' ? category : 'unknown',
    )
  })

  test('sage §21.18: a token without the scope is refused, for the list of models too', async () => {
    const other = await world.run({ scope: 'scan.upload' })
    const chat = await ask('gpt-4o', tokens(other))
    expect([chat.status, codeOf(chat)]).toEqual([403, 'scope_not_allowed'])
    const list = await world.get('/v1/models', tokens(other))
    expect([list.status, codeOf(list)]).toEqual([403, 'scope_not_allowed'])
  })

  test.each([
    ['a Claude model under the name of OpenAI', 'claude-sonnet-4-5', 'openai', 'model_not_allowed'],
    ['a model of OpenAI under the name of Anthropic', 'gpt-4o', 'anthropic', 'model_not_allowed'],
    [
      'a reference where the header names the provider',
      'openai:gpt-4o',
      'openai',
      'model_not_allowed',
    ],
    ['another provider’s prefix', 'anthropic/gpt-4o', 'openai', 'model_not_allowed'],
    ['a prefix twice', 'openai/openai/gpt-4o', 'openai', 'model_not_allowed'],
    ['another case', 'GPT-4o', 'openai', 'model_not_allowed'],
    ['a blank in front', ' gpt-4o', 'openai', 'invalid_request'],
    ['a blank after it', 'gpt-4o ', 'openai', 'invalid_request'],
    ['a path', '../gpt-4o', 'openai', 'model_not_allowed'],
    ['a wildcard', '*', 'openai', 'model_not_allowed'],
    ['a model that only begins alike', 'gpt-4o-2024-08-06', 'openai', 'model_not_allowed'],
    ['an unknown provider', 'gpt-4o', 'acme', 'unknown_provider'],
    ['no provider at all', 'gpt-4o', '', 'unknown_provider'],
  ])('sage §21.19: %s opens nothing', async (_name, model, provider, code) => {
    const seen = world.fakes.openai.requests.length
    const reply = await ask(model, { ...tokens(run), 'X-Provider': provider })
    expect(codeOf(reply)).toBe(code)
    expect(world.fakes.openai.requests.length).toBe(seen)
  })

  test.each([
    ['openai/gpt-4o', 'OpenAI', 'gpt-4o'],
    ['models/gpt-4o', ' openai ', 'gpt-4o'],
    ['openai:gpt-4o', undefined, 'gpt-4o'],
    ['gpt-4o', undefined, 'gpt-4o'],
  ])(
    'sage §21.19: %s under %s is the permitted %s, and is sent so',
    async (model, provider, sent) => {
      const headers = { ...tokens(run), ...(provider !== undefined && { 'X-Provider': provider }) }
      expect((await ask(model, headers)).status).toBe(200)
      expect(world.fakes.openai.requests.at(-1)?.body['model']).toBe(sent)
    },
  )

  test('sage §21.19: a body that names two models is refused', async () => {
    const text = '{"model":"gpt-4o","messages":[{"role":"user","content":"x"}],"model":"gpt-4.1"}'
    const reply = await world.post(CHAT, text, { ...tokens(run), 'X-Provider': 'openai' })
    expect([reply.status, codeOf(reply)]).toEqual([400, 'invalid_json'])
  })

  test('a provider that the token leaves out is refused', async () => {
    const other = await world.run({
      allowed_models: { analysis: ['openai:gpt-4o'] },
      allowed_providers: ['openai'],
    })
    const reply = await ask('claude-sonnet-4-5', { ...tokens(other), 'X-Provider': 'anthropic' })
    expect([reply.status, codeOf(reply)]).toEqual([403, 'provider_not_allowed'])
  })

  test('sage §21.20: a token without models permits none', async () => {
    const other = await world.run({ allowed_models: {} })
    const reply = await ask('gpt-4o', { ...tokens(other), 'X-Provider': 'openai' })
    expect([reply.status, codeOf(reply)]).toEqual([403, 'model_not_allowed'])
    expect(JSON.parse((await world.get('/v1/models', tokens(other))).body)).toMatchObject({
      data: [],
    })
  })

  test('the list of models is that of the run', async () => {
    const { object, data } = JSON.parse((await world.get('/v1/models', tokens(run))).body)
    expect(object).toBe('list')
    expect(data).toContainEqual({
      id: 'o3',
      object: 'model',
      created: expect.any(Number),
      owned_by: 'openai',
    })
    expect(data).toHaveLength(7)
  })
})

test('sage §21.39: no answer and no record repeats a token or a key', async () => {
  const { Authorization = '', 'Txn-Token': trat = '' } = tokens(run)
  world.fakes.openai.script({
    status: 401,
    body: {
      error: { message: 'Incorrect API key provided: sk-proj-fakeOpenAiKey0123456789abcdef' },
    },
  })
  const replies = [
    await ask('gpt-4o', tokens(run)),
    await ask('gpt-4.1', tokens(run)),
    await ask('gpt-4o', { Authorization, 'Txn-Token': `${trat}x` }),
    await ask('gpt-4o', { Authorization: `${Authorization}x`, 'Txn-Token': trat }),
  ]
  const text =
    (await world.auditText()) +
    replies.map(({ bytes }) => bytes.toString()).join() +
    world.warnings.join()
  for (const secret of [Authorization.slice(7), trat, 'fakeOpenAiKey', 'fakeAnthropicKey']) {
    for (const part of secret.split('.')) expect(text.includes(part), part.slice(0, 8)).toBe(false)
  }
})
