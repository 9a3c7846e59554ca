import { expect, test } from 'vitest'
import { eachStore } from '../../store/test-store.ts'
import type { Run } from './run.ts'
import { DOMAIN, form, LLM, MODELS, RunWorld, START, TTS } from './runs.test-kit.ts'
import { sha256 } from './verified-tokens.ts'

const TYPE = 'urn:ietf:params:oauth:token-type:'
const GRANT = 'urn:ietf:params:oauth:grant-type:token-exchange'
const ASSERTION = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'

type World = Awaited<ReturnType<typeof RunWorld.open>>

function fields(
  svid: string,
  over: Record<string, string | undefined> = {},
): Record<string, string> {
  const all = {
    grant_type: GRANT,
    requested_token_type: `${TYPE}txn_token`,
    audience: DOMAIN,
    scope: 'scan.execute scan.upload',
    subject_token: svid,
    subject_token_type: `${TYPE}jwt`,
    ...over,
  }
  return Object.fromEntries(
    Object.entries(all).filter((entry): entry is [string, string] => entry[1] !== undefined),
  )
}

function svidOf(world: World, run: { spiffeId: string }, audience = TTS): string {
  return world.svids.issue(run.spiffeId, audience, 600).token
}

async function exchange(world: World, run: Run, over: Record<string, string | undefined> = {}) {
  const svid = svidOf(world, run)
  return world.service.exchange({
    form: form(fields(svid, over)),
    authorization: [`Bearer ${svid}`],
    requestId: 'r-1',
  })
}

const narrowing = (token: string, details: object = {}, scope = 'scan.execute') => ({
  subject_token: token,
  subject_token_type: `${TYPE}txn_token`,
  request_details: JSON.stringify(details),
  scope,
})

eachStore('the token service', (at) => {
  test('sage §21.13: exchanges an SVID for the token of its run', async () => {
    using world = await RunWorld.open(at.store)
    const agent = await world.agent()
    const run = await world.run(agent, { run_id: 'run_7f3c', rctx: { trigger: 'pull_request' } })
    const context = JSON.stringify({ trigger: 'mine', actor: 'renovate[bot]' })
    const { token, expiresIn } = await exchange(world, run, { request_context: context })
    expect(expiresIn).toBe(300)
    const { claims } = await world.trats.verify(token)
    expect(claims).toEqual({
      txn: 'run_7f3c',
      sub: 'github|org-90210',
      scope: 'scan.execute scan.upload',
      req_wl: agent.spiffeId,
      iat: START / 1_000,
      exp: START / 1_000 + 300,
      tctx: run.tctx,
      rctx: { trigger: 'pull_request', actor: 'renovate[bot]' },
    })
    const record = world.records.at(-1)
    expect(record).toMatchObject({
      action: 'trat.issue',
      success: true,
      actor: 'agent:scanner',
      txn: 'run_7f3c',
      data: { caller: agent.spiffeId, token_sha256: sha256(token) },
    })
    expect(JSON.stringify(world.records)).not.toContain('eyJ')
  })

  test('an SVID may come as a client assertion instead of a header', async () => {
    using world = await RunWorld.open(at.store)
    const run = await world.run(await world.agent())
    const svid = svidOf(world, run)
    const asserted = { client_assertion_type: ASSERTION, client_assertion: svid }
    const ask = (authorization: string[]) =>
      world.service.exchange({ form: form(fields(svid, asserted)), authorization, requestId: 'r' })
    expect((await ask([])).expiresIn).toBe(300)
    await expect(ask([`Bearer ${svid}`])).rejects.toMatchObject({ code: 'INVALID_REQUEST' })
  })

  test.each([
    ['another grant', { grant_type: 'client_credentials' }, 'UNSUPPORTED_GRANT_TYPE'],
    ['no grant', { grant_type: undefined }, 'INVALID_REQUEST'],
    ['another token', { requested_token_type: `${TYPE}access_token` }, 'INVALID_REQUEST'],
    ['a refresh token', { subject_token_type: `${TYPE}refresh_token` }, 'INVALID_REQUEST'],
    [
      'unsigned JSON',
      { subject_token_type: `${TYPE}unsigned_json`, subject_token: '{"sub":"x"}' },
      'INVALID_REQUEST',
    ],
    ['a foreign audience', { audience: 'elsewhere.local' }, 'INVALID_TARGET'],
    ['no scope', { scope: '' }, 'INVALID_REQUEST'],
    ['a wider scope', { scope: 'scan.execute admin' }, 'INVALID_SCOPE'],
    ['a subject that is no token', { subject_token: 'x' }, 'INVALID_GRANT'],
    ['details that are no JSON', { request_details: '{' }, 'INVALID_REQUEST'],
    ['details nobody knows', { request_details: '{"is_admin":true}' }, 'INVALID_REQUEST'],
    ['a wider scope in the details', { request_details: '{"scope":"admin"}' }, 'INVALID_REQUEST'],
    [
      'a model more',
      { request_details: '{"allowed_models":{"triage":["openai:gpt-4o"]}}' },
      'INVALID_SCOPE',
    ],
    [
      'a wildcard',
      { request_details: '{"allowed_models":{"triage":["openai:*"]}}' },
      'INVALID_REQUEST',
    ],
    ['a provider more', { request_details: '{"allowed_providers":["google"]}' }, 'INVALID_SCOPE'],
    ['any provider', { request_details: '{"allowed_providers":[]}' }, 'INVALID_SCOPE'],
    ['a tool', { request_details: '{"allowed_tools":{"fs":[]}}' }, 'INVALID_SCOPE'],
    ['a run that is not there', { request_details: '{"run_id":"run_other"}' }, 'INVALID_GRANT'],
    ['another organisation', { request_details: '{"org_id":"1"}' }, 'INVALID_GRANT'],
  ])('sage §21.13: refuses %s', async (_what, over, code) => {
    using world = await RunWorld.open(at.store)
    const run = await world.run(await world.agent())
    await expect(exchange(world, run, over)).rejects.toMatchObject({ code })
    expect(world.records.at(-1)).toMatchObject({
      action: 'trat.issue',
      success: false,
      outcome: { code },
    })
  })

  test('sage §21.13: refuses an expired subject, and callers that prove nothing', async () => {
    using world = await RunWorld.open(at.store)
    const run = await world.run(await world.agent())
    const svid = svidOf(world, run)
    const ask = (authorization: string[], subject = svid) =>
      world.service.exchange({ form: form(fields(subject)), authorization, requestId: 'r' })
    const expired = world.forge('svid', { ...world.svidClaims(run), aud: TTS, exp: START / 1_000 })
    await expect(ask([`Bearer ${svid}`], expired)).rejects.toMatchObject({ code: 'INVALID_GRANT' })
    await expect(ask([])).rejects.toMatchObject({ code: 'INVALID_CLIENT', status: 401 })
    const { token: trat } = await world.service.issueFor(run.id, 'sidecar')
    await expect(ask([`Bearer ${trat}`])).rejects.toMatchObject({ code: 'INVALID_CLIENT' })
    await expect(ask([`Bearer ${svidOf(world, run, LLM)}`])).rejects.toMatchObject({
      code: 'INVALID_CLIENT',
    })
  })

  test('an identity without a run, or with several, gets no token by chance', async () => {
    using world = await RunWorld.open(at.store)
    const agent = await world.agent()
    const other = await world.run(await world.agent('other'), { run_id: 'run_theirs' })
    const me = { ...other, spiffeId: agent.spiffeId }
    await expect(exchange(world, me)).rejects.toMatchObject({ code: 'INVALID_GRANT' })
    const foreign = { request_details: '{"run_id":"run_theirs"}' }
    await expect(exchange(world, me, foreign)).rejects.toMatchObject({ code: 'INVALID_GRANT' })
    const one = await world.run(agent, { run_id: 'run_1' })
    await world.run(agent, { run_id: 'run_2' })
    await expect(exchange(world, one)).rejects.toMatchObject({ code: 'INVALID_GRANT' })
    const { token } = await exchange(world, one, { request_details: '{"run_id":"run_1"}' })
    expect((await world.trats.verify(token)).claims.txn).toBe('run_1')
    await world.runs.close('run_1')
    await expect(
      exchange(world, one, { request_details: '{"run_id":"run_1"}' }),
    ).rejects.toMatchObject({ code: 'INVALID_GRANT' })
  })

  test('a token is narrowed and never widened again, nor made to last', async () => {
    using world = await RunWorld.open(at.store)
    const run = await world.run(await world.agent())
    const { token } = await exchange(world, run)
    world.nowMs += 100_000
    const models = { analysis: ['openai:gpt-4o'] }
    const narrow = await exchange(
      world,
      run,
      narrowing(token, { allowed_models: models, allowed_providers: ['openai'] }),
    )
    const { claims } = await world.trats.verify(narrow.token)
    expect(claims).toMatchObject({ txn: run.id, sub: run.sub, scope: 'scan.execute' })
    expect(claims.tctx.allowed_models).toEqual({
      triage: [],
      reasoning: [],
      embeddings: [],
      ...models,
    })
    expect(narrow.expiresIn).toBe(200)
    for (const [details, scope] of [
      [{ allowed_models: MODELS }, 'scan.execute'],
      [{ allowed_providers: ['anthropic'] }, 'scan.execute'],
      [{}, 'scan.execute scan.upload'],
    ] as const) {
      await expect(
        exchange(world, run, narrowing(narrow.token, details, scope)),
      ).rejects.toMatchObject({ code: 'INVALID_SCOPE' })
    }
    expect((await exchange(world, run, narrowing(narrow.token))).expiresIn).toBe(200)
    world.nowMs += 200_000
    await expect(exchange(world, run, narrowing(narrow.token))).rejects.toMatchObject({
      code: 'INVALID_GRANT',
    })
  })

  test('another agent’s token is not for narrowing', async () => {
    using world = await RunWorld.open(at.store)
    const run = await world.run(await world.agent())
    const thief = await world.run(await world.agent('thief'))
    const { token } = await exchange(world, run)
    await expect(exchange(world, thief, narrowing(token))).rejects.toMatchObject({
      code: 'INVALID_GRANT',
    })
  })

  test('a run replaces its tokens so often and no more, however many ask at once', async () => {
    using world = await RunWorld.open(at.store, { maxReplacements: 3 })
    const run = await world.run(await world.agent())
    const { token } = await exchange(world, run)
    const asked = await Promise.allSettled(
      Array.from({ length: 6 }, () => exchange(world, run, narrowing(token))),
    )
    expect(asked.filter(({ status }) => status === 'fulfilled')).toHaveLength(3)
    const chained = world.records.filter(
      ({ data }) => data?.['replaces'] === sha256(token).slice(0, 16),
    )
    expect(chained).toHaveLength(3)
  })

  test('no token outlives its run', async () => {
    using world = await RunWorld.open(at.store)
    const run = await world.run(await world.agent(), { expires_at: '2030-01-01T00:01:40.400Z' })
    expect((await exchange(world, run)).expiresIn).toBe(100)
    world.nowMs += 100_100
    await expect(world.service.issueFor(run.id, 'sidecar')).rejects.toMatchObject({
      code: 'RUN_CLOSED',
    })
  })

  test('nothing goes out that could not be recorded', async () => {
    using world = await RunWorld.open(at.store)
    const run = await world.run(await world.agent())
    world.records.push = () => {
      throw Object.assign(new Error('disk full'), { code: 'AUDIT_UNAVAILABLE' })
    }
    await expect(world.service.issueFor(run.id, 'sidecar')).rejects.toThrow('disk full')
  })
})
