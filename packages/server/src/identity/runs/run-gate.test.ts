import { createHmac } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { openStore, type Store } from '../../store/store.ts'
import { eachStore, sqliteUrl } from '../../store/test-store.ts'
import { parseJws } from './jws.ts'
import {
  DOMAIN,
  ed25519,
  LLM,
  MODELS,
  p256,
  RunWorld,
  START,
  TTS,
  unsigned,
} from './runs.test-kit.ts'

eachStore('the gate of runs', (at) => {
  test('accepts the two tokens of a run and says whose they are', async () => {
    using world = await RunWorld.open(at.store)
    const agent = await world.agent()
    const run = await world.run(agent, { run_id: 'run_7f3c', rctx: { pr_number: 42 } })
    const proof = await world.gate.verify(await world.headers(run))
    expect(proof).toMatchObject({
      agent: { id: agent.id },
      run: { id: 'run_7f3c' },
      spiffeId: agent.spiffeId,
      claims: {
        txn: 'run_7f3c',
        sub: 'github|org-90210',
        scope: 'scan.execute scan.upload',
        req_wl: agent.spiffeId,
        tctx: { run_id: 'run_7f3c', org_id: '90210', allowed_models: MODELS },
        rctx: { pr_number: 42 },
      },
      expiresAtMs: START + 300_000,
    })
    expect(proof.tokenHash).toMatch(/^[0-9a-f]{16}$/)
  })

  test('one token serves many calls', async () => {
    using world = await RunWorld.open(at.store)
    const headers = await world.headers(await world.run(await world.agent()))
    const first = await world.gate.verify(headers)
    expect(await world.gate.verify(headers)).toEqual(first)
  })

  test('sage §21.15: a closed run is refused from its next call on, also on another node', async () => {
    using world = await RunWorld.open(at.store)
    const other = at.engine === 'postgres' ? await at.open() : at.store
    using there = await RunWorld.open(other)
    const run = await world.run(await world.agent())
    const headers = await world.headers(run)
    await there.gate.verify(headers)
    await world.runs.close(run.id)
    await expect(world.gate.verify(headers)).rejects.toMatchObject({ code: 'RUN_CLOSED' })
    await expect
      .poll(
        () =>
          there.gate.verify(headers).then(
            () => 'open',
            (error) => error.code,
          ),
        {
          timeout: 1_000,
          interval: 10,
        },
      )
      .toBe('RUN_CLOSED')
  })

  test('sage §21.15: a node that misses the news of a closing trusts its memory for a second only', async () => {
    using world = await RunWorld.open(at.store)
    using deaf = await RunWorld.open({ ...at.store, onChange: () => () => undefined })
    const run = await world.run(await world.agent())
    const headers = await world.headers(run)
    await deaf.gate.verify(headers)
    await world.runs.close(run.id)
    deaf.nowMs += 1_000
    await expect(deaf.gate.verify(headers)).rejects.toMatchObject({ code: 'RUN_CLOSED' })
  })

  test('sage §21.15: keys are rotated without a failed request', async () => {
    using world = await RunWorld.open(at.store)
    const run = await world.run(await world.agent())
    const before = await world.headers(run)
    await world.keys.rotate()
    const [overlap] = [await world.headers(run)]
    expect(kidOf(overlap.txnToken[0])).toBe(kidOf(before.txnToken[0]))
    world.nowMs += 299_000
    await world.gate.verify(before)
    const late = await world.headers(run)
    world.nowMs += 1_000
    const after = await world.headers(run)
    expect(kidOf(after.txnToken[0])).not.toBe(kidOf(before.txnToken[0]))
    for (const headers of [late, after]) await world.gate.verify(headers)
    expect(kids(world, 'jwks')).toHaveLength(2)
    world.nowMs += 3_700_000
    await world.keys.maintain()
    expect(kids(world, 'jwks')).toEqual([kidOf(after.txnToken[0])])
    await world.gate.verify(await world.headers(run))
  })

  test('keys that leaked end at once', async () => {
    using world = await RunWorld.open(at.store)
    const run = await world.run(await world.agent())
    const before = await world.headers(run)
    await world.gate.verify(before)
    await world.keys.rotate({ immediately: true })
    await expect(world.gate.verify(before)).rejects.toMatchObject({ code: 'IDENTITY_INVALID' })
    await world.gate.verify(await world.headers(run))
  })

  test('keys of another node count before its news has come', async () => {
    using world = await RunWorld.open(at.store)
    using there = await RunWorld.open(at.store)
    const run = await world.run(await world.agent())
    await world.keys.rotate({ immediately: true })
    const trat = world.forge('trat', world.tratClaims(run))
    expect((await there.trats.verify(trat)).claims.txn).toBe(run.id)
  })

  test('so do keys for identities of another node', async () => {
    using world = await RunWorld.open(at.store)
    using there = await RunWorld.open(at.store)
    const run = await world.run(await world.agent())
    await world.keys.rotate({ immediately: true })
    const { token } = world.svids.issue(run.spiffeId, LLM, 600)
    expect((await there.svids.verify(token, LLM)).spiffeId).toBe(run.spiffeId)
  })

  test('a token of one run never opens another that has its id', async () => {
    using world = await RunWorld.open(at.store)
    const thief = await world.agent('thief')
    const run = await world.run(await world.agent(), { run_id: 'run_again' })
    // As if it were of a run that a restored store has forgotten, whose id was given away again.
    const claims = { ...world.tratClaims(run), req_wl: thief.spiffeId }
    const { token } = world.svids.issue(thief.spiffeId, LLM, 600)
    const headers = {
      authorization: [`Bearer ${token}`],
      txnToken: [world.forge('trat', claims)],
    }
    await expect(world.gate.verify(headers)).rejects.toMatchObject({ code: 'TXN_INVALID' })
  })

  test('a SPIFFE ID goes to another agent only when no identity of its last one is alive', async () => {
    using world = await RunWorld.open(at.store)
    const body = { spiffe_id: `spiffe://${DOMAIN}/shared/worker`, expires_at: START / 1_000 + 600 }
    const later = { ...body, expires_at: START / 1_000 + 80_000 }
    const first = await world.run(await world.agent('first'), body)
    const second = await world.agent('second')
    const taken = async () =>
      world.run(second, later).then(
        () => 'registered',
        ({ code }) => code,
      )
    expect(await taken()).toBe('CONFLICT')
    // What the first agent was given lives on, and would pass for the second's.
    await world.runs.close(first.id)
    expect(await taken()).toBe('CONFLICT')
    world.nowMs += 3_660_000
    expect(await taken()).toBe('registered')
  })

  test('an end that nobody wrote down holds no SPIFFE ID', async () => {
    using world = await RunWorld.open(at.store)
    const body = { spiffe_id: `spiffe://${DOMAIN}/left/behind`, expires_at: START / 1_000 + 600 }
    await world.run(await world.agent('first'), body)
    world.nowMs += 600_000 + 3_660_000
    const { agentId } = await world.run(await world.agent('second'), {
      ...body,
      expires_at: START / 1_000 + 80_000,
    })
    expect(agentId).toBeDefined()
  })

  test('an agent that is disabled or revoked has no identity', async () => {
    using world = await RunWorld.open(at.store)
    const agent = await world.agent()
    const headers = await world.headers(await world.run(agent))
    await world.agents.disable(agent.name)
    await expect(world.gate.verify(headers)).rejects.toMatchObject({ code: 'IDENTITY_INVALID' })
    await world.agents.enable(agent.name)
    await world.gate.verify(headers)
    await world.agents.revoke(agent.name)
    await expect(world.gate.verify(headers)).rejects.toMatchObject({ code: 'IDENTITY_INVALID' })
  })

  test('a run is over when its time is, whatever its tokens say', async () => {
    using world = await RunWorld.open(at.store)
    const run = await world.run(await world.agent(), { expires_at: START / 1_000 + 60 })
    const headers = await world.headers(run)
    world.nowMs += 59_999
    await world.gate.verify(headers)
    world.nowMs += 1
    await expect(world.gate.verify(headers)).rejects.toMatchObject({ code: 'RUN_CLOSED' })
  })

  test('keys and runs whose rows were altered are not used', async () => {
    using world = await RunWorld.open(at.store)
    const run = await world.run(await world.agent())
    const headers = await world.headers(run)
    await at.store.write((trx) =>
      trx
        .updateTable('run')
        .set({ expires_at: run.expiresAt + 1 })
        .where('id', '=', run.id)
        .execute(),
    )
    world.runs.drop()
    await expect(world.gate.verify(headers)).rejects.toMatchObject({ code: 'STORE_CORRUPT' })
    await at.store.write((trx) => trx.updateTable('run_key').set({ created_at: 1 }).execute())
    await expect(world.keys.reload()).rejects.toMatchObject({ code: 'STORE_CORRUPT' })
  })
})

type World = Awaited<ReturnType<typeof RunWorld.open>>
type Case = [
  name: string,
  code: string,
  headers: (world: World, run: Awaited<ReturnType<World['run']>>) => Partial<Headers>,
]
interface Headers {
  authorization: string[]
  txnToken: string[]
}

const svid =
  (
    over: Record<string, unknown>,
    header: Record<string, unknown> = {},
    key?: Parameters<World['forge']>[3],
  ) =>
  (world: World, run: Awaited<ReturnType<World['run']>>) => ({
    authorization: [`Bearer ${world.forge('svid', world.svidClaims(run, over), header, key)}`],
  })
const trat =
  (
    over: Record<string, unknown>,
    header: Record<string, unknown> = {},
    key?: Parameters<World['forge']>[3],
  ) =>
  (world: World, run: Awaited<ReturnType<World['run']>>) => ({
    txnToken: [world.forge('trat', world.tratClaims(run, over), header, key)],
  })
const nowS = START / 1_000

const CASES: Case[] = [
  ['no identity', 'IDENTITY_MISSING', () => ({ authorization: [] })],
  ['an empty bearer token', 'IDENTITY_MISSING', () => ({ authorization: ['Bearer '] })],
  ['another scheme', 'IDENTITY_MISSING', () => ({ authorization: ['Basic YTpi'] })],
  [
    'two identities',
    'IDENTITY_INVALID',
    () => ({ authorization: ['Bearer a.b.c', 'Bearer a.b.c'] }),
  ],
  ['no token at all', 'IDENTITY_INVALID', () => ({ authorization: ['Bearer nonsense'] })],
  ['a token over 16 KiB', 'IDENTITY_INVALID', svid({ pad: 'x'.repeat(16_384) })],
  [
    'an identity of alg none',
    'IDENTITY_INVALID',
    (world, run) => ({
      authorization: [`Bearer ${unsigned({ alg: 'none' }, world.svidClaims(run))}`],
    }),
  ],
  [
    'an identity signed with our public key as an HMAC secret',
    'IDENTITY_INVALID',
    (world, run) => {
      const key =
        world.keys.verification('svid')[0]?.key.export({ format: 'pem', type: 'spki' }) ?? ''
      const head = unsigned({ alg: 'HS256' }, world.svidClaims(run)).replace(/\.[^.]*$/, '')
      const mac = createHmac('sha256', key).update(head).digest('base64url')
      return { authorization: [`Bearer ${head}.${mac}`] }
    },
  ],
  [
    'an identity of alg EdDSA',
    'IDENTITY_INVALID',
    svid({}, {}, { alg: 'EdDSA', privateKey: ed25519().privateKey }),
  ],
  [
    'an identity of a foreign key',
    'IDENTITY_INVALID',
    svid({}, {}, { alg: 'ES256', privateKey: p256().privateKey }),
  ],
  ['an unknown kid', 'IDENTITY_INVALID', svid({}, { kid: 'svid-000000000000' })],
  ['an extra header member', 'IDENTITY_INVALID', svid({}, { cty: 'JWT' })],
  [
    'a key that came along',
    'IDENTITY_INVALID',
    svid({}, { jwk: p256().publicKey.export({ format: 'jwk' }) }),
  ],
  ['a critical extension', 'IDENTITY_INVALID', svid({}, { crit: ['exp'] })],
  ['another audience', 'IDENTITY_INVALID', svid({ aud: TTS })],
  ['no audience', 'IDENTITY_INVALID', svid({ aud: undefined })],
  ['another trust domain', 'IDENTITY_INVALID', svid({ sub: 'spiffe://elsewhere.local/agent/x' })],
  ['a subject that is no SPIFFE ID', 'IDENTITY_INVALID', svid({ sub: 'https://example.org/x' })],
  ['no end', 'IDENTITY_INVALID', svid({ exp: undefined })],
  ['an end that is text', 'IDENTITY_INVALID', svid({ exp: '9999999999' })],
  ['an expired identity', 'IDENTITY_EXPIRED', svid({ exp: nowS - 30 })],
  ['an identity not valid yet', 'IDENTITY_INVALID', svid({ nbf: nowS + 31 })],
  ['an identity issued in the future', 'IDENTITY_INVALID', svid({ iat: nowS + 31 })],
  ['no transaction', 'TXN_MISSING', () => ({ txnToken: [] })],
  ['an empty transaction', 'TXN_MISSING', () => ({ txnToken: [''] })],
  [
    'two transaction headers',
    'TXN_INVALID',
    (world, run) => {
      const token = world.forge('trat', world.tratClaims(run))
      return { txnToken: [token, token] }
    },
  ],
  [
    'two tokens in one header',
    'TXN_INVALID',
    (world, run) => {
      const token = world.forge('trat', world.tratClaims(run))
      return { txnToken: [`${token}, ${token}`] }
    },
  ],
  ['a transaction over 32 KiB', 'TXN_INVALID', trat({ pad: 'x'.repeat(32_768) })],
  ['a transaction of typ JWT', 'TXN_INVALID', trat({}, { typ: 'JWT' })],
  ['a typ in other letters', 'TXN_INVALID', trat({}, { typ: 'TXNTOKEN+JWT' })],
  [
    'a foreign key',
    'TXN_INVALID',
    trat({}, {}, { alg: 'EdDSA', privateKey: ed25519().privateKey }),
  ],
  [
    'another algorithm than its key’s',
    'TXN_INVALID',
    trat({}, {}, { alg: 'ES256', privateKey: p256().privateKey }),
  ],
  [
    'a transaction of alg none',
    'TXN_INVALID',
    (world, run) => ({
      txnToken: [
        unsigned(
          { alg: 'none', typ: 'txntoken+jwt', kid: world.keys.signing('trat').kid },
          world.tratClaims(run),
        ),
      ],
    }),
  ],
  ['no kid', 'TXN_INVALID', trat({}, { kid: undefined })],
  ['another domain', 'TXN_INVALID', trat({ aud: 'elsewhere.local' })],
  ['another issuer', 'TXN_INVALID', trat({ iss: 'https://tts.elsewhere.local' })],
  ['no txn', 'TXN_INVALID', trat({ txn: undefined })],
  ['an empty sub', 'TXN_INVALID', trat({ sub: '' })],
  ['no scope', 'TXN_INVALID', trat({ scope: undefined })],
  ['no req_wl', 'TXN_INVALID', trat({ req_wl: undefined })],
  ['no tctx', 'TXN_INVALID', trat({ tctx: undefined })],
  ['a tctx that is a list', 'TXN_INVALID', trat({ tctx: [] })],
  ['models that are null', 'TXN_INVALID', trat({ tctx: { allowed_models: null } })],
  ['an expired transaction', 'TXN_EXPIRED', trat({ iat: nowS - 330, exp: nowS - 30 })],
  ['a transaction of the future', 'TXN_INVALID', trat({ iat: nowS + 31, exp: nowS + 300 })],
  ['a lifetime over 900 s', 'TXN_INVALID', trat({ iat: nowS - 1, exp: nowS + 900 })],
  ['an unknown run', 'TXN_INVALID', trat({ txn: 'run_elsewhere' })],
  [
    'a req_wl of another agent',
    'IDENTITY_TXN_MISMATCH',
    trat({ req_wl: `spiffe://${DOMAIN}/agent/x` }),
  ],
  [
    'an identity of another agent',
    'IDENTITY_TXN_MISMATCH',
    svid({ sub: `spiffe://${DOMAIN}/agent/x` }),
  ],
  [
    'a transaction in place of the identity',
    'IDENTITY_INVALID',
    (world, run) => ({ authorization: [`Bearer ${world.forge('trat', world.tratClaims(run))}`] }),
  ],
  [
    'an identity in place of the transaction',
    'TXN_INVALID',
    (world, run) => ({ txnToken: [world.forge('svid', world.svidClaims(run))] }),
  ],
]

describe('sage §21.14: the gate refuses', () => {
  const open = oneWorld()
  test.each(CASES)('%s with %s', async (_name, code, change) => {
    const { world, run, good } = open()
    await expect(world.gate.verify({ ...good, ...change(world, run) })).rejects.toMatchObject({
      code,
    })
  })

  test('nothing of a token in the words of a refusal', async () => {
    const { world, run, good } = open()
    for (const [, , change] of CASES) {
      const given = { ...good, ...change(world, run) }
      const error = await world.gate.verify(given).catch((thrown: Error) => thrown)
      const text = JSON.stringify({ ...(error as object), message: (error as Error).message })
      expect(text).not.toContain('eyJ')
    }
  })

  test('a signature that was cut off or altered', async () => {
    const { world, good } = open()
    const [token = ''] = good.txnToken
    for (const broken of [
      token.slice(0, -4),
      `${token.slice(0, -4)}${token.endsWith('AAAA') ? 'BBBB' : 'AAAA'}`,
      token.replace(/\.[^.]*$/, '.'),
      `${token}.x`,
    ]) {
      await expect(world.gate.verify({ ...good, txnToken: [broken] })).rejects.toMatchObject({
        code: 'TXN_INVALID',
      })
    }
  })

  test('a run path that names another run', async () => {
    const { world } = open()
    const agent = await world.agent(`path-${Math.random().toString(36).slice(2)}`)
    const sub = `spiffe://${DOMAIN}/scanner/run_a`
    const run = await world.run(agent, { run_id: 'run_a', spiffe_id: sub })
    const authorization = [`Bearer ${world.forge('svid', world.svidClaims(run))}`]
    const token = (tctx: object) => [world.forge('trat', world.tratClaims(run, { tctx }))]
    await world.gate.verify({ authorization, txnToken: token(run.tctx) })
    await expect(
      world.gate.verify({ authorization, txnToken: token({ ...run.tctx, run_id: 'run_b' }) }),
    ).rejects.toMatchObject({ code: 'IDENTITY_TXN_MISMATCH' })
  })
})

describe('sage §21.16: leeway', () => {
  const open = oneWorld()
  test.each([
    ['svid', { exp: nowS - 29 }, undefined],
    ['svid', { exp: nowS - 30 }, 'IDENTITY_EXPIRED'],
    ['svid', { exp: nowS - 31 }, 'IDENTITY_EXPIRED'],
    ['svid', { nbf: nowS + 30 }, undefined],
    ['svid', { nbf: nowS + 31 }, 'IDENTITY_INVALID'],
    ['trat', { iat: nowS - 329, exp: nowS - 29 }, undefined],
    ['trat', { iat: nowS - 330, exp: nowS - 30 }, 'TXN_EXPIRED'],
    ['trat', { iat: nowS - 331, exp: nowS - 31 }, 'TXN_EXPIRED'],
    ['trat', { iat: nowS + 30, exp: nowS + 330 }, undefined],
    ['trat', { iat: nowS + 31, exp: nowS + 331 }, 'TXN_INVALID'],
  ] as const)('%s %o', async (use, over, code) => {
    const { world, run, good } = open()
    const change = use === 'svid' ? svid(over) : trat(over)
    const done = world.gate.verify({ ...good, ...change(world, run) })
    if (code === undefined) await done
    else await expect(done).rejects.toMatchObject({ code })
  })

  test('also for a token that was remembered', async () => {
    const { world, run, good } = open()
    const token = trat({ exp: nowS + 1 })(world, run)
    await world.gate.verify({ ...good, ...token })
    world.nowMs = START + 30_999
    await world.gate.verify({ ...good, ...token })
    world.nowMs = START + 31_000
    await expect(world.gate.verify({ ...good, ...token })).rejects.toMatchObject({
      code: 'TXN_EXPIRED',
    })
  })
})

describe('an SVID of every algorithm of the standard', () => {
  const open = oneWorld()
  test('is written and read by ours alone', async () => {
    const { world, run } = open()
    expect(world.svids.issue(run.spiffeId, LLM, 60).token.split('.')).toHaveLength(3)
    expect(parseJws(world.svids.issue(run.spiffeId, LLM, 60).token)?.header).toEqual({
      alg: 'ES256',
      kid: world.keys.signing('svid').kid,
      typ: 'JWT',
    })
  })
})

function kidOf(token: string | undefined): unknown {
  return parseJws(token ?? '')?.header['kid']
}

function kids(world: World, which: 'jwks' | 'bundle'): unknown[] {
  return (world.keys.published()[which]['keys'] as { kid: string }[]).map(({ kid }) => kid)
}

/** Where only the verdict matters, one engine will do. */
function oneWorld(): () => { world: World; run: Awaited<ReturnType<World['run']>>; good: Headers } {
  let made: { store: Store; world: World; run: Awaited<ReturnType<World['run']>> } | undefined
  let good: Headers | undefined
  beforeAll(async () => {
    const store = await openStore(await sqliteUrl())
    const world = await RunWorld.open(store)
    const run = await world.run(await world.agent())
    good = await world.headers(run)
    made = { store, world, run }
  })
  beforeEach(() => {
    if (made !== undefined) made.world.nowMs = START
  })
  afterAll(() => made?.store.close())
  return () => {
    if (made === undefined || good === undefined) throw new Error('only inside tests')
    return { ...made, good }
  }
}
