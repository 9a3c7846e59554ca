/** The token service as its callers meet it: RFC 8693 over a real daemon's port, and everything it must not hand out. */

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parseJws } from '../../packages/server/src/identity/runs/jws.ts'
import { advance } from '../harness/clock.ts'
import { startTestDaemon, type TestDaemon } from '../harness/daemon.ts'
import { type RawReply, rawRequest, requestBytes } from './raw-http.ts'

const DOMAIN = 'sage-sanctum.local'
const TTS = `spiffe://${DOMAIN}/tts`
const TYPE = 'urn:ietf:params:oauth:token-type:'
const FORM = 'application/x-www-form-urlencoded'
const MODELS = {
  triage: ['openai:gpt-4o-mini'],
  analysis: ['openai:gpt-4o', 'anthropic:claude-sonnet-4-5'],
}

let vestry: TestDaemon
let port: number
beforeAll(async () => {
  vestry = await startTestDaemon()
  port = Number(new URL(vestry.daemon.ready.http).port)
})
afterAll(() => vestry.stop())

interface Caller {
  readonly run_id: string
  readonly svid: string
}

let callers = 0
/** An agent with one open run, and its identity for the token service. */
async function newCaller(run: object = {}): Promise<Caller> {
  callers += 1
  const agent = `caller-${callers}`
  await vestry.addAgent(agent)
  const { run_id } = await vestry.admin.call('admin.run.register', {
    agent,
    org_id: '90210',
    sub: 'github|org-90210',
    scope: 'scan.execute scan.upload',
    allowed_models: MODELS,
    allowed_providers: ['openai', 'anthropic'],
    ...run,
  })
  return { run_id, svid: await identity(agent) }
}

async function identity(agent: string, audience = TTS): Promise<string> {
  return (await vestry.admin.call('admin.token.svid', { agent, audience })).svid
}

type Fields = Readonly<Record<string, string | undefined>>

function ask(svid: string, over: Fields = {}, headers: Record<string, string> = {}) {
  const fields = {
    grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
    requested_token_type: `${TYPE}txn_token`,
    audience: DOMAIN,
    scope: 'scan.execute',
    subject_token: svid,
    subject_token_type: `${TYPE}jwt`,
    ...over,
  }
  const given = Object.entries(fields).filter(
    (field): field is [string, string] => field[1] !== undefined,
  )
  const body = new URLSearchParams(given).toString()
  const sent = { 'Content-Type': FORM, Authorization: `Bearer ${svid}`, ...headers }
  const used = Object.fromEntries(Object.entries(sent).filter(([, value]) => value !== ''))
  return rawRequest({ port, host: '127.0.0.1' }, requestBytes('POST', '/token', used, body))
}

function refused(reply: RawReply): readonly [status: number, error: unknown] {
  expect(reply.headers).toMatchObject({
    'content-length': String(Buffer.byteLength(reply.body)),
    connection: 'close',
  })
  expect(reply.headers).not.toHaveProperty('transfer-encoding')
  expect(reply.body).not.toContain('eyJ')
  const body = JSON.parse(reply.body)
  expect(Object.keys(body).filter((name) => !/^error(?:_description)?$/.test(name))).toEqual([])
  return [reply.status, body.error]
}

// biome-ignore lint/suspicious/noExplicitAny: tests assert on whatever came
const claimsOf = (token: string): any => parseJws(token)?.payload
const issued = (): Record<string, unknown>[] =>
  vestry
    .auditLines()
    .map((line) => JSON.parse(line))
    .filter(({ action }) => action === 'trat.issue')

const details = (value: object) => ({ request_details: JSON.stringify(value) })

test('sage §21.13: the request of the contract gets the answer of the contract', async () => {
  const { run_id, svid } = await newCaller()
  const reply = await ask(svid, details({ run_id }))
  expect(reply.status).toBe(200)
  const { access_token, ...rest } = JSON.parse(reply.body)
  expect(rest).toEqual({
    token_type: 'N_A',
    issued_token_type: `${TYPE}txn_token`,
    expires_in: 300,
  })
  expect(claimsOf(access_token)).toMatchObject({ txn: run_id, aud: DOMAIN, scope: 'scan.execute' })
  expect(access_token).not.toContain(svid.split('.')[1])
})

const REFUSALS: [name: string, status: number, error: string, over: Fields][] = [
  ['another grant', 400, 'unsupported_grant_type', { grant_type: 'client_credentials' }],
  ['no grant', 400, 'invalid_request', { grant_type: undefined }],
  [
    'an access token wanted',
    400,
    'invalid_request',
    { requested_token_type: `${TYPE}access_token` },
  ],
  ['no type of token wanted', 400, 'invalid_request', { requested_token_type: undefined }],
  [
    'a refresh token as subject',
    400,
    'invalid_request',
    { subject_token_type: `${TYPE}refresh_token` },
  ],
  [
    'a subject of a type of its own',
    400,
    'invalid_request',
    { subject_token_type: `${TYPE}saml2` },
  ],
  [
    'unsigned JSON as subject',
    400,
    'invalid_request',
    { subject_token_type: `${TYPE}unsigned_json`, subject_token: '{"sub":"root"}' },
  ],
  ['no subject', 400, 'invalid_request', { subject_token: undefined }],
  ['a subject that is no token', 400, 'invalid_grant', { subject_token: 'x' }],
  ['a foreign audience', 400, 'invalid_target', { audience: 'elsewhere.example' }],
  ['no audience', 400, 'invalid_request', { audience: undefined }],
  ['no scope', 400, 'invalid_request', { scope: undefined }],
  ['a scope more', 400, 'invalid_scope', { scope: 'scan.execute admin' }],
  ['a scope alone that is not granted', 400, 'invalid_scope', { scope: 'scan.*' }],
  ['a model more', 400, 'invalid_scope', details({ allowed_models: { triage: ['openai:o3'] } })],
  [
    'a model of another category',
    400,
    'invalid_scope',
    details({ allowed_models: { triage: ['openai:gpt-4o'] } }),
  ],
  [
    'a category more',
    400,
    'invalid_scope',
    details({ allowed_models: { reasoning: ['openai:gpt-4o'] } }),
  ],
  ['a wildcard', 400, 'invalid_request', details({ allowed_models: { triage: ['openai:*'] } })],
  ['a provider more', 400, 'invalid_scope', details({ allowed_providers: ['google'] })],
  ['every provider', 400, 'invalid_scope', details({ allowed_providers: [] })],
  ['a tool', 400, 'invalid_scope', details({ allowed_tools: { fs: ['read'] } })],
  ['a run that is not there', 400, 'invalid_grant', details({ run_id: 'run_nobody' })],
  ['another organisation', 400, 'invalid_grant', details({ org_id: '1' })],
  ['details nobody knows', 400, 'invalid_request', details({ is_admin: true })],
  ['details that are no JSON', 400, 'invalid_request', { request_details: '{' }],
]

describe('sage §21.13: refused is', () => {
  let caller: Caller
  beforeAll(async () => {
    caller = await newCaller()
  })

  test.each(REFUSALS)('%s: %i %s, and recorded', async (_name, status, error, over) => {
    expect(refused(await ask(caller.svid, over))).toEqual([status, error])
    expect(issued().at(-1)).toMatchObject({
      success: false,
      outcome: { code: error.toUpperCase() },
    })
  })

  test('the run of somebody else, as if it were not there', async () => {
    const other = await newCaller()
    expect(refused(await ask(caller.svid, details({ run_id: other.run_id })))).toEqual([
      400,
      'invalid_grant',
    ])
  })

  test('the identity of somebody else as subject', async () => {
    const other = await newCaller()
    expect(refused(await ask(caller.svid, { subject_token: other.svid }))).toEqual([
      400,
      'invalid_grant',
    ])
  })

  test('who proves nothing, proves it twice, or logs in with something else', async () => {
    const { svid, run_id } = caller
    const { access_token } = JSON.parse((await ask(svid, details({ run_id }))).body)
    const gateway = await identity(`caller-1`, `spiffe://${DOMAIN}/llm-gateway`)
    const asserted = {
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
      client_assertion: svid,
    }
    expect(refused(await ask(svid, {}, { Authorization: '' }))).toEqual([401, 'invalid_client'])
    expect(refused(await ask(svid, asserted))).toEqual([400, 'invalid_request'])
    expect((await ask(svid, asserted, { Authorization: '' })).status).toBe(200)
    for (const token of [access_token, gateway, `${svid}x`])
      expect(refused(await ask(svid, {}, { Authorization: `Bearer ${token}` }))).toEqual([
        401,
        'invalid_client',
      ])
  })
})

test('details that two readers could read differently are refused', async () => {
  const { svid, run_id } = await newCaller()
  for (const request_details of [
    `{"run_id":"${run_id}","run_id":"another"}`,
    `{"allowed_providers":["openai"],"allowed_provider\\u0073":["openai"]}`,
    '{"__proto__":{"run_id":"x"}}',
    `{"allowed_tools":{"a":{"constructor":[]}}}`,
    '[]',
    'null',
    '1',
    `${'{"a":'.repeat(100)}1${'}'.repeat(100)}`,
  ])
    expect(refused(await ask(svid, { request_details })), request_details).toEqual([
      400,
      'invalid_request',
    ])
  const pr_number = await ask(svid, { request_context: '{"pr_number":1,"pr_number":2}' })
  expect(refused(pr_number)).toEqual([400, 'invalid_request'])
})

test('no interim answer is ever sent', async () => {
  const { svid } = await newCaller()
  const expecting = { Expect: '100-continue' }
  const replies = [await ask(svid, {}, expecting)]
  for (const [method, path, body] of [
    ['POST', '/runs', '{}'],
    ['GET', '/runs', undefined],
    ['GET', '/.well-known/jwks.json', undefined],
    ['GET', '/.well-known/spiffe-bundle.json?x', undefined],
    ['POST', '/token?x', 'a=b'],
    ['POST', '/v1/chat/completions', '{}'],
  ] as const) {
    const bytes = requestBytes(method, path, expecting, body)
    replies.push(await rawRequest({ port, host: '127.0.0.1' }, bytes))
  }
  for (const { bytes } of replies)
    expect(bytes.toString('latin1').match(/^HTTP\/1\.1 \d+/gm)).toHaveLength(1)
  expect(replies[0]?.status).toBe(200)
  // Others wait for it.
  const other = requestBytes(
    'POST',
    '/api/generate-token',
    { ...expecting, Connection: 'close' },
    '{}',
  )
  const { bytes } = await rawRequest({ port, host: '127.0.0.1' }, other)
  expect(bytes.toString('latin1')).toMatch(/^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 4/)
})

test('sage §21.13: what was narrowed is never widened again, nor made to last', async () => {
  const { run_id, svid } = await newCaller()
  const narrowing = (token: string, value: object, scope = 'scan.execute') =>
    ask(svid, {
      subject_token: token,
      subject_token_type: `${TYPE}txn_token`,
      scope,
      ...details(value),
    })
  const { access_token: whole } = JSON.parse((await ask(svid, details({ run_id }))).body)
  advance(60_000)
  const analysis = {
    allowed_models: { analysis: ['openai:gpt-4o'] },
    allowed_providers: ['openai'],
  }
  const reply = JSON.parse((await narrowing(whole, analysis)).body)
  expect(reply.expires_in).toBeLessThanOrEqual(240)
  const narrow = reply.access_token
  expect(claimsOf(narrow).tctx.allowed_models.analysis).toEqual(['openai:gpt-4o'])
  expect(claimsOf(narrow).exp).toBe(claimsOf(whole).exp)
  for (const [value, scope] of [
    [{ allowed_models: MODELS }, 'scan.execute'],
    [{ allowed_models: { analysis: MODELS.analysis } }, 'scan.execute'],
    [{ allowed_providers: ['openai', 'anthropic'] }, 'scan.execute'],
    [{ allowed_providers: [] }, 'scan.execute'],
    [{}, 'scan.execute scan.upload'],
  ] as const)
    expect(refused(await narrowing(narrow, value, scope))).toEqual([400, 'invalid_scope'])
  // Nothing asked for is what the input had, not what the run has.
  const same = JSON.parse((await narrowing(narrow, {})).body)
  expect(claimsOf(same.access_token).tctx).toEqual(claimsOf(narrow).tctx)
  expect(claimsOf(same.access_token).scope).toBe('scan.execute')
  const chain = issued().filter(({ data }) => (data as Record<string, unknown>)['replaces'])
  expect(chain.length).toBeGreaterThanOrEqual(2)
  const thief = await newCaller()
  const stolen = { subject_token: whole, subject_token_type: `${TYPE}txn_token` }
  expect(refused(await ask(thief.svid, stolen))).toEqual([400, 'invalid_grant'])
  advance(240_000)
  expect(refused(await narrowing(narrow, {}))).toEqual([400, 'invalid_grant'])
})

test('sage §21.13: an expired subject is refused to the second, and a closed run at once', async () => {
  const { run_id, svid } = await newCaller()
  const fresh = await identity(`caller-${callers}`)
  expect((await ask(fresh, { subject_token: svid })).status).toBe(200)
  const { exp } = claimsOf(svid)
  advance(exp * 1_000 - Date.now() + 1)
  const later = await identity(`caller-${callers}`)
  expect(refused(await ask(later, { subject_token: svid }))).toEqual([400, 'invalid_grant'])
  expect((await ask(later)).status).toBe(200)
  await vestry.relogin()
  await vestry.admin.call('admin.run.close', { id: run_id })
  expect(refused(await ask(later))).toEqual([400, 'invalid_grant'])
})
