import { existsSync, readFileSync, statSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parseJws } from '../../packages/server/src/identity/runs/jws.ts'
import { startTestDaemon, type TestDaemon } from '../harness/daemon.ts'
import { RawClient } from '../harness/raw-client.ts'
import { type RawReply, rawRequest, requestBytes } from './raw-http.ts'

const DOMAIN = 'sage-sanctum.local'
const TYPE = 'urn:ietf:params:oauth:token-type:'
const BODY = {
  org_id: '90210',
  sub: 'github|org-90210',
  scope: 'scan.execute scan.upload',
  repo_url: 'https://git.example/acme/robot-arm',
  repo_ref: 'main',
  allowed_models: { analysis: ['gpt-4o', 'anthropic:claude-sonnet-4-5'] },
  allowed_providers: ['openai', 'anthropic'],
}

let vestry: TestDaemon
beforeAll(async () => {
  vestry = await startTestDaemon()
})
afterAll(() => vestry.stop())

let agents = 0
async function newRun(body: Record<string, unknown> = {}) {
  agents += 1
  const keys = await vestry.addAgent(`scanner-${agents}`)
  const run = await vestry.admin.call('admin.run.register', { ...BODY, agent: keys.name, ...body })
  return { ...run, keys } as typeof run & { keys: typeof keys; env: Record<string, string> }
}

// biome-ignore lint/suspicious/noExplicitAny: tests assert on whatever came
type Whatever = Record<string, any>

function claimsOf(token: string): Whatever {
  const jws = parseJws(token.trim())
  if (jws === undefined) throw new Error(`no token: ${token}`)
  return jws.payload as Whatever
}

const get = (path: string, headers: Record<string, string> = {}) =>
  requestBytes('GET', path, headers)
const post = (path: string, body: string, headers: Record<string, string> = {}) =>
  requestBytes('POST', path, headers, body)
const trat = (socket: string | undefined): Promise<RawReply> =>
  rawRequest({ path: socket ?? '' }, get('/trat'))

function expectFramed({ headers, body, bytes }: RawReply): void {
  expect(headers['content-length']).toBe(String(Buffer.byteLength(body)))
  expect(headers['connection']).toBe('close')
  expect(headers).not.toHaveProperty('transfer-encoding')
  expect(headers).not.toHaveProperty('content-encoding')
  expect(bytes.toString('latin1').match(/^HTTP\/1\.1 /gm)).toHaveLength(1)
}

const port = () => Number(new URL(vestry.daemon.ready.http).port)
const httpRaw = (bytes: Buffer) => rawRequest({ port: port(), host: '127.0.0.1' }, bytes)
const adminKey = () => readFileSync(vestry.home.adminKey, 'utf8').trim()

function records(action: string): Whatever[] {
  return vestry
    .auditLines()
    .map((line) => JSON.parse(line))
    .filter((record) => record.action === action)
}

describe('registration', () => {
  test('gives the complete environment of the run’s process', async () => {
    const { env, run_id, txn, spiffe_id } = await newRun({ run_id: 'run_env' })
    expect([run_id, txn]).toEqual(['run_env', 'run_env'])
    expect(env).toEqual({
      RUN_ID: 'run_env',
      ORG_ID: '90210',
      WORK_DIR: `${vestry.home.dir}/runs/run_env/work`,
      OUTPUT_PATH: `${vestry.home.dir}/runs/run_env/output`,
      SPIFFE_JWT_PATH: `${vestry.home.dir}/runs/run_env/svid.jwt`,
      TRAT_FILE: `${vestry.home.dir}/runs/run_env/trat.jwt`,
      AUTH_SIDECAR_SOCKET: expect.stringMatching(/\/run\/s\/[0-9a-f]{8}\.sock$/),
      LLM_GATEWAY_SOCKET: `${vestry.home.dir}/run/llm.sock`,
      REPO_URL: BODY.repo_url,
      REPO_REF: 'main',
    })
    expect(existsSync(env['OUTPUT_PATH'] ?? '')).toBe(true)
    for (const name of ['SPIFFE_JWT_PATH', 'TRAT_FILE', 'AUTH_SIDECAR_SOCKET'])
      expect(statSync(env[name] ?? '').mode & 0o777, name).toBe(0o600)
    expect(claimsOf(readFileSync(env['SPIFFE_JWT_PATH'] ?? '', 'utf8'))).toMatchObject({
      sub: spiffe_id,
      aud: [`spiffe://${DOMAIN}/llm-gateway`],
    })
    expect(claimsOf(readFileSync(env['TRAT_FILE'] ?? '', 'utf8'))).toMatchObject({
      txn: 'run_env',
      aud: DOMAIN,
      iss: `https://tts.${DOMAIN}`,
      req_wl: spiffe_id,
      tctx: { allowed_models: { analysis: ['openai:gpt-4o', 'anthropic:claude-sonnet-4-5'] } },
    })
    expect(records('run.register').at(-1)).toMatchObject({
      success: true,
      data: { run_id: 'run_env' },
    })
  })

  test('an id is used once', async () => {
    const { run_id, keys } = await newRun()
    await expect(
      vestry.admin.call('admin.run.register', { ...BODY, agent: keys.name, run_id }),
    ).rejects.toThrow(/CONFLICT/)
  })

  test('over HTTP it takes the key of an operator, and answers in the wire’s envelope', async () => {
    const { name } = await vestry.addAgent('http-scanner')
    const body = JSON.stringify({ ...BODY, agent: name, run_id: 'run_http' })
    const bearer = { Authorization: `Bearer ${adminKey()}` }
    const refused = await httpRaw(post('/runs', body))
    expectFramed(refused)
    expect(refused.status).toBe(401)
    expect(JSON.parse(refused.body)).toMatchObject({
      error: { type: 'authentication_error', code: 'auth_failed', request_id: expect.any(String) },
    })
    const made = await httpRaw(post('/runs', body, bearer))
    expectFramed(made)
    expect(made.status).toBe(201)
    expect((await trat(JSON.parse(made.body).env.AUTH_SIDECAR_SOCKET)).status).toBe(200)
    const wild = JSON.stringify({ ...BODY, agent: name, allowed_models: { triage: ['openai:*'] } })
    const bad = await httpRaw(post('/runs', wild, bearer))
    expect([bad.status, JSON.parse(bad.body).error.code]).toEqual([400, 'invalid_request'])
    const list = await httpRaw(get(`/runs?agent=${name}`, bearer))
    expect(JSON.parse(list.body).runs).toMatchObject([{ run_id: 'run_http', state: 'open' }])
    const closed = await httpRaw(requestBytes('DELETE', '/runs/run_http', bearer))
    expect(JSON.parse(closed.body)).toMatchObject({ run_id: 'run_http', state: 'closed' })
  })
})

describe('sage §21.12: the sidecar', () => {
  test('answers with the bare token, sixty seconds or more of life in it, fifty at once', async () => {
    const { env, run_id } = await newRun()
    const before = records('trat.issue').length
    const replies = await Promise.all(
      Array.from({ length: 50 }, () => trat(env['AUTH_SIDECAR_SOCKET'])),
    )
    for (const reply of replies) {
      expectFramed(reply)
      expect(reply.status).toBe(200)
      expect(reply.headers).toMatchObject({
        'content-type': 'application/jwt',
        'cache-control': 'no-store',
      })
      expect(reply.body).toBe(replies[0]?.body)
    }
    const { exp, txn } = claimsOf(replies[0]?.body ?? '')
    expect(txn).toBe(run_id)
    expect(exp * 1_000 - Date.now()).toBeGreaterThan(60_000)
    // The one that the token file holds, too.
    expect(records('trat.issue')).toHaveLength(before)
    expect(vestry.auditLines().join('\n')).not.toContain('eyJ')
  })

  test('answers everything else in the envelope, framed alike', async () => {
    const { env } = await newRun()
    const path = env['AUTH_SIDECAR_SOCKET'] ?? ''
    const ask = async (bytes: Buffer | string) => {
      const reply = await rawRequest({ path }, Buffer.from(bytes as string))
      expectFramed(reply)
      return reply
    }
    expect(await ask(get('/health'))).toMatchObject({ status: 200, body: '{"status":"ok"}' })
    for (const [bytes, status, code] of [
      [get('/trat/'), 404, 'route_not_found'],
      [get('/'), 404, 'route_not_found'],
      [post('/trat', '{}'), 405, 'method_not_allowed'],
      [post('/health', 'x'.repeat(500_000)), 405, 'method_not_allowed'],
      [get('/svid'), 400, 'invalid_request'],
      [get('/trat', { 'Txn-Token': 'a', 'txn-token': 'b' }), 400, 'invalid_request'],
      [
        `GET /trat HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n`,
        400,
        'invalid_request',
      ],
      [
        `GET /trat HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n`,
        400,
        'invalid_request',
      ],
      [`GET /trat HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n\r\n`, 400, 'invalid_request'],
      [
        `GET /trat HTTP/1.1\r\nHost: x\r\nX: ${'y'.repeat(70_000)}\r\n\r\n`,
        431,
        'headers_too_large',
      ],
      ['nonsense\r\n\r\n', 400, 'invalid_request'],
    ] as const) {
      const reply = await ask(bytes)
      expect(
        [reply.status, JSON.parse(reply.body).error.code],
        bytes.toString().slice(0, 60),
      ).toEqual([status, code])
    }
    const expecting = get('/trat', { Expect: '100-continue' })
    expect((await ask(expecting)).status).toBe(200)
    expect((await ask(get('/trat', { A: 'a'.repeat(60_000) }))).status).toBe(200)
  })

  test('reads a request that comes byte by byte', async () => {
    const { env } = await newRun()
    const path = env['AUTH_SIDECAR_SOCKET'] ?? ''
    const reply = await rawRequest({ path }, get('/trat'), { pieceBytes: 1 })
    expect(reply.status).toBe(200)
  })

  test('gives the run identities for other audiences', async () => {
    const { env, spiffe_id } = await newRun()
    const audience = `spiffe://${DOMAIN}/tts`
    const reply = await rawRequest(
      { path: env['AUTH_SIDECAR_SOCKET'] ?? '' },
      get(`/svid?audience=${encodeURIComponent(audience)}`),
    )
    expect(claimsOf(reply.body)).toMatchObject({ sub: spiffe_id, aud: [audience] })
    expect(records('svid.issue').at(-1)).toMatchObject({ data: { spiffe_id, audience } })
  })

  test('says that a closed run is closed, and has its files no more', async () => {
    const { env, run_id } = await newRun()
    await vestry.admin.call('admin.run.close', { id: run_id })
    const reply = await trat(env['AUTH_SIDECAR_SOCKET'])
    expectFramed(reply)
    expect(reply.status).toBe(403)
    expect(JSON.parse(reply.body).error).toMatchObject({
      type: 'permission_error',
      code: 'run_closed',
    })
    expect(existsSync(env['TRAT_FILE'] ?? '')).toBe(false)
    expect(existsSync(env['SPIFFE_JWT_PATH'] ?? '')).toBe(false)
    expect(
      (await rawRequest({ path: env['AUTH_SIDECAR_SOCKET'] ?? '' }, get('/svid?audience=x')))
        .status,
    ).toBe(403)
  })

  test('refuses the socket to another user', async () => {
    const { env } = await newRun({ uid: 12_345 })
    // Root may; anybody else would need to be that user.
    expect((await trat(env['AUTH_SIDECAR_SOCKET'])).status).toBe(
      process.getuid?.() === 0 ? 200 : 403,
    )
  })
})

describe('sage §21.13: the token service', () => {
  const form = (fields: Record<string, string>) => new URLSearchParams(fields).toString()
  const FORM = { 'Content-Type': 'application/x-www-form-urlencoded' }
  const fields = (svid: string) => ({
    grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
    requested_token_type: `${TYPE}txn_token`,
    audience: DOMAIN,
    scope: 'scan.execute',
    subject_token: svid,
    subject_token_type: `${TYPE}jwt`,
  })

  test('exchanges an SVID, framed for clients that read by hand', async () => {
    const { run_id, keys } = await newRun()
    const { svid } = await vestry.admin.call('admin.token.svid', {
      agent: keys.name,
      audience: `spiffe://${DOMAIN}/tts`,
    })
    const details = { request_details: JSON.stringify({ run_id, agent_mode: 'standard' }) }
    const reply = await httpRaw(
      post('/token', form({ ...fields(svid), ...details }), {
        ...FORM,
        Authorization: `Bearer ${svid}`,
      }),
    )
    expectFramed(reply)
    expect(reply.headers).toMatchObject({
      'content-type': 'application/json',
      'cache-control': 'no-store',
    })
    const { access_token, ...rest } = JSON.parse(reply.body)
    expect(rest).toEqual({
      token_type: 'N_A',
      issued_token_type: `${TYPE}txn_token`,
      expires_in: 300,
    })
    expect(claimsOf(access_token)).toMatchObject({ txn: run_id, scope: 'scan.execute' })
    expect(records('trat.issue').at(-1)).toMatchObject({ success: true, txn: run_id })
  })

  test('refuses in the words of OAuth', async () => {
    const { keys } = await newRun()
    const { svid } = await vestry.admin.call('admin.token.svid', {
      agent: keys.name,
      audience: `spiffe://${DOMAIN}/tts`,
    })
    const bearer = { ...FORM, Authorization: `Bearer ${svid}` }
    for (const [body, headers, status, error] of [
      [form(fields(svid)), FORM, 401, 'invalid_client'],
      [form({ ...fields(svid), scope: 'admin' }), bearer, 400, 'invalid_scope'],
      [form({ ...fields(svid), audience: 'x' }), bearer, 400, 'invalid_target'],
      [form({ ...fields(svid), grant_type: 'x' }), bearer, 400, 'unsupported_grant_type'],
      [form({ ...fields(svid), subject_token: 'x' }), bearer, 400, 'invalid_grant'],
      ['{}', { ...bearer, 'Content-Type': 'application/json' }, 400, 'invalid_request'],
      [`x=${'y'.repeat(2_000_000)}`, bearer, 413, 'invalid_request'],
      [form(fields(svid)), { ...bearer, authorization: 'Bearer x' }, 400, 'invalid_request'],
    ] as const) {
      const reply = await httpRaw(post('/token', body, headers))
      expectFramed(reply)
      expect([reply.status, JSON.parse(reply.body).error]).toEqual([status, error])
      expect(reply.body).not.toContain('eyJ')
      if (status === 401) expect(reply.headers['www-authenticate']).toMatch(/^Bearer /)
    }
  })

  test('publishes two disjoint sets of public keys', async () => {
    const jwks = JSON.parse((await httpRaw(get('/.well-known/jwks.json'))).body)
    const bundle = JSON.parse((await httpRaw(get('/.well-known/spiffe-bundle.json'))).body)
    expect(jwks.keys).toMatchObject([{ kty: 'OKP', crv: 'Ed25519', alg: 'EdDSA', use: 'sig' }])
    expect(bundle).toMatchObject({
      spiffe_sequence: expect.any(Number),
      spiffe_refresh_hint: 300,
      keys: [{ kty: 'EC', crv: 'P-256', use: 'jwt-svid' }],
    })
    expect(JSON.stringify([jwks, bundle])).not.toContain('"d"')
  })
})

describe('sage §21.15: what was taken under a run ends with it', () => {
  const rules = {
    version: 1,
    policies: [
      { name: 'all', principals: ['agent:*'], resources: ['**'], actions: ['list', 'retrieve'] },
    ],
  }

  test('vault sessions and leases', async () => {
    await vestry.addPolicy(rules)
    await vestry.addCredential('run/key', 'secret')
    const { env, run_id, keys } = await newRun()
    const { body: token } = await trat(env['AUTH_SIDECAR_SOCKET'])
    const client = await RawClient.connect({ path: vestry.home.vaultSocket })
    const opened = await client.login(keys, 'agent_name', { txn_token: token })
    expect(opened).toMatchObject({ txn: run_id })
    await client.call('retrieve', { path: 'run/key' })
    expect(await vestry.admin.call('admin.lease.list')).toMatchObject({ total: 1 })
    await vestry.admin.call('admin.run.close', { id: run_id })
    expect(await vestry.admin.call('admin.lease.list')).toMatchObject({ total: 0 })
    await expect(client.call('retrieve', { path: 'run/key' })).rejects.toThrow(/SESSION_EXPIRED/)
    await expect(client.login(keys, 'agent_name', { txn_token: token })).rejects.toThrow(
      /RUN_CLOSED/,
    )
    client.destroy()
  })

  test('another agent’s run is not joined, and a bad token opens no session', async () => {
    const { env } = await newRun()
    const { body: token } = await trat(env['AUTH_SIDECAR_SOCKET'])
    const thief = await vestry.addAgent('thief')
    const client = await RawClient.connect({ path: vestry.home.vaultSocket })
    await expect(client.login(thief, 'agent_name', { txn_token: token })).rejects.toThrow(
      /IDENTITY_TXN_MISMATCH/,
    )
    await expect(client.login(thief, 'agent_name', { txn_token: 'x' })).rejects.toThrow(
      /TXN_INVALID/,
    )
    await expect(client.call('whoami')).rejects.toThrow(/SESSION_EXPIRED/)
    client.destroy()
  })

  test('gateway tokens', async () => {
    const { env, run_id, keys } = await newRun()
    const { body: token } = await trat(env['AUTH_SIDECAR_SOCKET'])
    const { id: agent_id } = await vestry.admin.call('admin.agent.show', { name: keys.name })
    const mint = (headers: Record<string, string>) =>
      fetch(`${vestry.daemon.ready.http}/api/generate-token`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: JSON.stringify({
          agent_id,
          tools: ['http_fetch'],
          permissions: ['read'],
          expires_at: new Date(Date.now() + 600_000).toISOString(),
        }),
      })
    const minted = (await (await mint({ 'txn-token': token })).json()) as Record<string, string>
    const use = async () => {
      const reply = await fetch(`${vestry.daemon.ready.http}/api/proxy-request`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({
          agent_token: minted['agent_token'],
          tool: 'http_fetch',
          action: 'get',
          params: { url: 'https://example.org/' },
        }),
      })
      return (await reply.json()) as { code?: string }
    }
    expect((await use()).code).not.toBe('RUN_CLOSED')
    expect(records('token.mint').at(-1)).toMatchObject({ txn: run_id })
    await vestry.admin.call('admin.run.close', { id: run_id })
    expect(['RUN_CLOSED', 'TOKEN_REVOKED']).toContain((await use()).code)
    expect((await mint({ 'txn-token': token })).status).toBe(403)
  })
})

test('an agent that is revoked takes its runs along; one that is disabled gets no token', async () => {
  const { env, run_id, keys } = await newRun()
  const ask = async () => (await trat(env['AUTH_SIDECAR_SOCKET'])).status
  const svid = async () =>
    (await rawRequest({ path: env['AUTH_SIDECAR_SOCKET'] ?? '' }, get('/svid?audience=x'))).status
  await vestry.admin.call('admin.agent.disable', { name: keys.name })
  expect(await svid()).toBe(401)
  await vestry.admin.call('admin.agent.enable', { name: keys.name })
  expect(await svid()).toBe(200)
  await vestry.admin.call('admin.agent.revoke', { name: keys.name })
  await expect.poll(ask, { timeout: 1_000, interval: 20 }).toBe(403)
  expect(existsSync(env['TRAT_FILE'] ?? '')).toBe(false)
  await expect.poll(() => records('run.close').at(-1)).toMatchObject({ txn: run_id })
})

describe('life of the daemon', () => {
  test('sealed, the socket says so; unsealed, it serves on; public keys are always there', async () => {
    const { env, run_id } = await newRun()
    const before = await httpRaw(get('/.well-known/jwks.json'))
    await vestry.seal()
    const reply = await trat(env['AUTH_SIDECAR_SOCKET'])
    expectFramed(reply)
    expect([reply.status, JSON.parse(reply.body).error.code]).toEqual([503, 'gateway_overloaded'])
    expect((await httpRaw(get('/.well-known/jwks.json'))).body).toBe(before.body)
    const refused = await httpRaw(post('/token', 'grant_type=x'))
    expectFramed(refused)
    expect([refused.status, JSON.parse(refused.body)]).toEqual([
      503,
      { error: 'temporarily_unavailable' },
    ])
    expect((await httpRaw(get('/runs'))).status).toBe(503)
    await vestry.unseal()
    const after = await trat(env['AUTH_SIDECAR_SOCKET'])
    expect(claimsOf(after.body)).toMatchObject({ txn: run_id })
  })

  test('after a restart the sockets are where they were, also of closed runs', async () => {
    const open = await newRun()
    const closed = await newRun()
    await vestry.admin.call('admin.run.close', { id: closed.run_id })
    const { body: token } = await trat(open.env['AUTH_SIDECAR_SOCKET'])
    await vestry.restart()
    expect((await trat(open.env['AUTH_SIDECAR_SOCKET'])).status).toBe(200)
    expect((await trat(closed.env['AUTH_SIDECAR_SOCKET'])).status).toBe(403)
    // Keys survive, so do tokens.
    const client = await RawClient.connect({ path: vestry.home.vaultSocket })
    expect(await client.login(open.keys, 'agent_name', { txn_token: token })).toMatchObject({
      txn: open.run_id,
    })
    client.destroy()
  })
})
