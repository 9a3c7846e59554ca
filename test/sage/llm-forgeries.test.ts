/** Tokens as attackers would send them to the gateway: made up, taken from elsewhere, altered, or just too late. */

import { createHmac, generateKeyPairSync } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type JsonObject, signJws } from '../../packages/server/src/identity/runs/jws.ts'
import { advance } from '../harness/clock.ts'
import { AUDIENCE, type LlmWorld, type RunHeaders, startLlmWorld, tokens } from './llm-world.ts'
import { type RawReply, rawRequest, requestBytes } from './raw-http.ts'

const CHAT = '/v1/chat/completions'
const BODY = { model: 'gpt-4o', messages: [{ role: 'user', content: 'hi' }] }

let world: LlmWorld
let run: RunHeaders
let victim: RunHeaders
beforeAll(async () => {
  world = await startLlmWorld()
  run = await world.run({
    allowed_models: { analysis: ['openai:gpt-4o'], triage: ['openai:gpt-4o-mini'] },
  })
  victim = await world.run()
})
afterAll(() => world[Symbol.asyncDispose]())

type Headers = Record<string, string>

function codeOf({ body }: RawReply): unknown {
  return (JSON.parse(body) as { error: { code: unknown } }).error.code
}

const ask = (headers: Headers) => world.post(CHAT, BODY, { ...headers, 'X-Provider': 'openai' })
const nowSeconds = () => Math.floor(Date.now() / 1_000)
const encoded = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
const decoded = (part = '') =>
  JSON.parse(Buffer.from(part, 'base64url').toString()) as Record<string, unknown>
const without = (value: object, name: string) =>
  Object.fromEntries(Object.entries(value).filter(([key]) => key !== name))

function svidClaims(owner = run): JsonObject {
  const iat = nowSeconds()
  return { sub: owner.run.spiffeId, aud: [AUDIENCE], iat, exp: iat + 600 }
}

function tratClaims(owner = run): JsonObject {
  const iat = nowSeconds()
  return {
    txn: owner.run.id,
    sub: owner.run.sub,
    scope: 'scan.execute',
    req_wl: owner.run.spiffeId,
    iat,
    exp: iat + 300,
    aud: 'sage-sanctum.local',
    iss: 'https://tts.sage-sanctum.local',
    tctx: owner.run.tctx,
    rctx: {},
  }
}

/** Signed by the key that is in use, whatever it says. */
function svid(claims: JsonObject, header: JsonObject = {}): Headers {
  const { kid, privateKey } = world.runKeys.signing('svid')
  const token = signJws('ES256', privateKey, { kid, ...header }, { ...svidClaims(), ...claims })
  return { ...tokens(run), Authorization: `Bearer ${token}` }
}

function trat(claims: JsonObject, header: JsonObject = {}): Headers {
  const { kid, privateKey } = world.runKeys.signing('trat')
  const token = signJws(
    'EdDSA',
    privateKey,
    { typ: 'txntoken+jwt', kid, ...header },
    { ...tratClaims(), ...claims },
  )
  return { ...tokens(run), 'Txn-Token': token }
}

/** A MAC whose secret is what everybody can fetch. */
function macOf(use: 'svid' | 'trat', header: JsonObject, claims: JsonObject): string {
  const key = world.runKeys.verification(use)[0]?.key.export({ format: 'pem', type: 'spki' }) ?? ''
  const signed = `${encoded({ alg: 'HS256', ...header })}.${encoded(claims)}`
  return `${signed}.${createHmac('sha256', key).update(signed).digest('base64url')}`
}

const bearer = (token: string): Headers => ({ ...tokens(run), Authorization: `Bearer ${token}` })
const txn = (token: string): Headers => ({ ...tokens(run), 'Txn-Token': token })

/** The run's own token with another payload under the same signature. */
function altered(change: (claims: Record<string, unknown>) => void): Headers {
  const [head, payload, signature] = (tokens(run)['Txn-Token'] ?? '').split('.')
  const claims = decoded(payload)
  change(claims)
  return txn(`${head}.${encoded(claims)}.${signature}`)
}

const stranger = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const longAgo = () => ({ iat: nowSeconds() - 400, exp: nowSeconds() - 100 })
const kidOf = (use: 'svid' | 'trat') => world.runKeys.signing(use).kid

const FORGERIES: [name: string, code: string, headers: () => Headers][] = [
  ['no identity', 'identity_missing', () => without(tokens(run), 'Authorization') as Headers],
  [
    'a name and a password',
    'identity_missing',
    () => ({ ...tokens(run), Authorization: 'Basic YTpi' }),
  ],
  [
    'alg none',
    'identity_invalid',
    () => bearer(`${encoded({ alg: 'none' })}.${encoded(svidClaims())}.`),
  ],
  [
    'a MAC by our public key',
    'identity_invalid',
    () => bearer(macOf('svid', { kid: kidOf('svid') }, svidClaims())),
  ],
  [
    'EdDSA by our other key',
    'identity_invalid',
    () =>
      bearer(
        signJws(
          'EdDSA',
          world.runKeys.signing('trat').privateKey,
          { kid: kidOf('trat') },
          svidClaims(),
        ),
      ),
  ],
  [
    'a foreign key under our name',
    'identity_invalid',
    () => bearer(signJws('ES256', stranger.privateKey, { kid: kidOf('svid') }, svidClaims())),
  ],
  [
    'a key that came along',
    'identity_invalid',
    () =>
      bearer(
        signJws(
          'ES256',
          stranger.privateKey,
          { jwk: stranger.publicKey.export({ format: 'jwk' }) as JsonObject },
          svidClaims(),
        ),
      ),
  ],
  ['an address of keys', 'identity_invalid', () => svid({}, { jku: 'https://keys.example/' })],
  ['a critical extension', 'identity_invalid', () => svid({}, { crit: ['b64'] })],
  ['an unknown kid', 'identity_invalid', () => svid({}, { kid: 'svid-unknown' })],
  [
    'another audience',
    'identity_invalid',
    () => svid({ aud: ['spiffe://sage-sanctum.local/tts'] }),
  ],
  ['no audience', 'identity_invalid', () => svid({ aud: [] })],
  [
    'another domain',
    'identity_invalid',
    () => svid({ sub: 'spiffe://elsewhere.example/scanner/x' }),
  ],
  [
    'a domain in other letters',
    'identity_invalid',
    () => svid({ sub: run.run.spiffeId.replace('sage', 'SAGE') }),
  ],
  ['a path that climbs', 'identity_invalid', () => svid({ sub: `${run.run.spiffeId}/../x` })],
  ['an identity that is over', 'identity_expired', () => svid(longAgo())],
  ['an identity of tomorrow', 'identity_invalid', () => svid({ nbf: nowSeconds() + 86_400 })],
  ['an identity without an end', 'identity_invalid', () => svid({ exp: 'never' })],
  ['no transaction', 'txn_missing', () => without(tokens(run), 'Txn-Token') as Headers],
  [
    'a transaction of alg none',
    'txn_invalid',
    () =>
      txn(
        `${encoded({ alg: 'none', typ: 'txntoken+jwt', kid: kidOf('trat') })}.${encoded(tratClaims())}.`,
      ),
  ],
  [
    'a transaction with a MAC by our public key',
    'txn_invalid',
    () => txn(macOf('trat', { typ: 'txntoken+jwt', kid: kidOf('trat') }, tratClaims())),
  ],
  ['a transaction of typ JWT', 'txn_invalid', () => trat({}, { typ: 'JWT' })],
  [
    'a transaction of the type’s other spelling',
    'txn_invalid',
    () => trat({}, { typ: 'application/txntoken+jwt' }),
  ],
  [
    'a transaction by the key of identities',
    'txn_invalid',
    () =>
      txn(
        signJws(
          'ES256',
          world.runKeys.signing('svid').privateKey,
          { typ: 'txntoken+jwt', kid: kidOf('svid') },
          tratClaims(),
        ),
      ),
  ],
  ['a transaction for another domain', 'txn_invalid', () => trat({ aud: 'elsewhere.example' })],
  [
    'a transaction of another issuer',
    'txn_invalid',
    () => trat({ iss: 'https://tts.elsewhere.example' }),
  ],
  [
    'a transaction without a txn',
    'txn_invalid',
    () => {
      const { kid, privateKey } = world.runKeys.signing('trat')
      return txn(
        signJws('EdDSA', privateKey, { typ: 'txntoken+jwt', kid }, without(tratClaims(), 'txn')),
      )
    },
  ],
  ['a transaction that is over', 'txn_expired', () => trat(longAgo())],
  [
    'a transaction of tomorrow',
    'txn_invalid',
    () => trat({ iat: nowSeconds() + 86_400, exp: nowSeconds() + 86_700 }),
  ],
  ['a life of 901 s', 'txn_invalid', () => trat({ exp: nowSeconds() + 901 })],
  ['a run nobody registered', 'txn_invalid', () => trat({ txn: 'run_nobody' })],
  [
    'models added to a signed token',
    'txn_invalid',
    () =>
      altered((claims) => {
        claims['tctx'] = {
          ...(claims['tctx'] as object),
          allowed_models: { analysis: ['openai:o3'] },
        }
      }),
  ],
  [
    'a longer life of a signed token',
    'txn_invalid',
    () =>
      altered((claims) => {
        claims['exp'] = nowSeconds() + 800
      }),
  ],
  [
    'another workload',
    'identity_txn_mismatch',
    () => trat({ req_wl: 'spiffe://sage-sanctum.local/scanner/x' }),
  ],
  [
    'a stolen transaction, replayed',
    'identity_txn_mismatch',
    () => {
      const sub = 'spiffe://sage-sanctum.local/agent/thief'
      return { ...svid({ sub }), 'Txn-Token': tokens(victim)['Txn-Token'] ?? '' }
    },
  ],
  [
    'each token in the other’s place',
    'identity_invalid',
    () => ({
      Authorization: `Bearer ${tokens(run)['Txn-Token']}`,
      'Txn-Token': (tokens(run)['Authorization'] ?? '').slice(7),
    }),
  ],
  [
    'an identity in the transaction’s place',
    'txn_invalid',
    () => txn((tokens(run)['Authorization'] ?? '').slice(7)),
  ],
  [
    'two transactions in one header',
    'txn_invalid',
    () => txn(`${tokens(run)['Txn-Token']}, ${tokens(run)['Txn-Token']}`),
  ],
]

test.each(FORGERIES)('sage §21.14: %s is %s, and recorded', async (_name, code, headers) => {
  const before = (await world.audit()).length
  const given = headers()
  const reply = await ask(given)
  const status = code === 'identity_txn_mismatch' ? 403 : 401
  expect([reply.status, codeOf(reply)]).toEqual([status, code])
  expect(reply.headers['www-authenticate']).toBe(
    status === 401 ? 'Bearer error="invalid_token"' : undefined,
  )
  const added = (await world.audit()).slice(before)
  expect(added).toMatchObject([
    { phase: 'single', success: false, outcome: { code: code.toUpperCase(), status } },
  ])
  const told = reply.bytes.toString() + JSON.stringify(added)
  for (const value of Object.values(given))
    for (const part of value.split('.').filter((each) => each.length > 16))
      expect(told).not.toContain(part)
  expect(world.fakes.openai.requests).toEqual([])
})

test.each(['Authorization', 'Txn-Token'])(
  'sage §21.14: a second %s header is refused, and recorded',
  async (name) => {
    const before = (await world.audit()).length
    const text = requestBytes('POST', CHAT, tokens(run), BODY).toString('latin1')
    const again = `\r\n${name}: ${tokens(run)[name]}\r\n\r\n`
    const reply = await rawRequest(
      { path: world.socket },
      Buffer.from(text.replace('\r\n\r\n', again), 'latin1'),
    )
    expect([reply.status, codeOf(reply)]).toEqual([400, 'invalid_request'])
    expect((await world.audit()).slice(before)).toMatchObject([
      { success: false, outcome: { status: 400 } },
    ])
    expect(world.fakes.openai.requests).toEqual([])
  },
)

test('a token that was good is not good for what its run may not do, and ends with its run', async () => {
  const mine = await world.run({ allowed_models: { analysis: ['openai:gpt-4o'] } })
  expect((await ask(tokens(mine))).status).toBe(200)
  expect((await ask(tokens(mine))).status).toBe(200)
  const other = { ...BODY, model: 'o3' }
  expect(codeOf(await world.post(CHAT, other, { ...tokens(mine), 'X-Provider': 'openai' }))).toBe(
    'model_not_allowed',
  )
  await world.runs.close(mine.run.id)
  expect(codeOf(await ask(tokens(mine)))).toBe('run_closed')
  expect((await world.audit()).at(-1)).toMatchObject({
    txn: mine.run.id,
    success: false,
    outcome: { code: 'RUN_CLOSED' },
  })
})

test.each([
  ['another model', { allowed_models: { triage: ['openai:gpt-4o-mini'] } }, 'model_not_allowed'],
  ['no model', { allowed_models: {} }, 'model_not_allowed'],
  ['another provider', { allowed_providers: ['google'] }, 'provider_not_allowed'],
])('a good token that was narrowed to %s permits no more than that', async (_name, less, code) => {
  const narrowed = { tctx: { ...run.run.tctx, ...less } }
  const reply = await ask(trat(narrowed))
  expect([reply.status, codeOf(reply)]).toEqual([403, code])
})

test.each([
  ['models', { tctx: { allowed_models: { analysis: ['openai:gpt-4o', 'openai:o3-pro'] } } }],
  [
    'models of another category',
    { tctx: { allowed_models: { analysis: ['openai:gpt-4o-mini'] } } },
  ],
  ['scope', { scope: 'scan.execute runs.admin' }],
])(
  'RULINGS 10: a token with more %s than its run was granted is refused, though our key signed it',
  async (_name, more) => {
    const tctx = { ...run.run.tctx, ...('tctx' in more ? more.tctx : {}) }
    const reply = await ask(trat({ ...more, tctx }))
    expect([reply.status, codeOf(reply)]).toEqual([401, 'txn_invalid'])
  },
)

test('a good token that was narrowed to another scope permits no call', async () => {
  const reply = await ask(trat({ scope: 'scan.upload' }))
  expect([reply.status, codeOf(reply)]).toEqual([403, 'scope_not_allowed'])
})

describe('sage §21.16: over the wire', () => {
  /** To the beginning of a second, so that no token grows a second older on its way. */
  const aligned = () => advance(1_000 - (Date.now() % 1_000))

  test.each([
    ['an identity that ended 29 s ago', 200, () => svid({ exp: nowSeconds() - 29 })],
    ['an identity that ended 30 s ago', 401, () => svid({ exp: nowSeconds() - 30 })],
    ['an identity that ended 31 s ago', 401, () => svid({ exp: nowSeconds() - 31 })],
    ['an identity that begins in 29 s', 200, () => svid({ nbf: nowSeconds() + 29 })],
    ['an identity that begins in 31 s', 401, () => svid({ nbf: nowSeconds() + 31 })],
    [
      'a transaction that ended 29 s ago',
      200,
      () => trat({ iat: nowSeconds() - 300, exp: nowSeconds() - 29 }),
    ],
    [
      'a transaction that ended 31 s ago',
      401,
      () => trat({ iat: nowSeconds() - 300, exp: nowSeconds() - 31 }),
    ],
    ['a transaction issued in 29 s', 200, () => trat({ iat: nowSeconds() + 29 })],
    ['a transaction issued in 31 s', 401, () => trat({ iat: nowSeconds() + 31 })],
    ['a life of 900 s', 200, () => trat({ exp: nowSeconds() + 900 })],
  ] as const)('%s: %i', async (_name, status, headers) => {
    aligned()
    expect((await ask(headers())).status).toBe(status)
  })
})
