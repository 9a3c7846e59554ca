import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openStore, type Store } from '../../store/store.ts'
import { sqliteUrl } from '../../store/test-store.ts'
import { readBundle } from './external-bundle.ts'
import type { JwsAlgorithm } from './jws.ts'
import { LLM, p256, RunWorld, START } from './runs.test-kit.ts'

let store: Store
beforeAll(async () => {
  store = await openStore(await sqliteUrl())
})
afterAll(() => store.close())

const claims = {
  sub: 'spiffe://sage-sanctum.local/spire/workload',
  aud: LLM,
  exp: START / 1_000 + 10_000,
}

function issuer() {
  let keys: Record<string, unknown>[] = []
  let up = true
  const state = {
    reads: 0,
    set(list: Record<string, unknown>[]) {
      keys = list
    },
    fail() {
      up = false
    },
    load: async () => {
      state.reads += 1
      if (!up) throw new Error('unreachable')
      return JSON.stringify({ spiffe_refresh_hint: 300, keys })
    },
  }
  return state
}

const jwk = (key: KeyObject, more: object = {}) => ({
  ...key.export({ format: 'jwk' }),
  use: 'jwt-svid',
  ...more,
})

test.each(['RS256', 'PS384', 'ES384'] as const)(
  'SVIDs of another issuer count, %s too',
  async (alg) => {
    const pair =
      alg === 'ES384'
        ? generateKeyPairSync('ec', { namedCurve: 'P-384' })
        : generateKeyPairSync('rsa', { modulusLength: 2_048 })
    const spire = issuer()
    spire.set([jwk(pair.publicKey, { kid: 'one' })])
    using world = await RunWorld.open(store, { load: spire.load })
    const key = { alg: alg as JwsAlgorithm, privateKey: pair.privateKey }
    for (const kid of ['one', undefined]) {
      const token = world.forge('svid', { ...claims, jti: kid ?? '' }, { kid }, key)
      expect((await world.svids.verify(token, LLM)).spiffeId).toBe(claims.sub)
    }
    const lying = world.forge('svid', claims, { kid: 'two' }, key)
    await expect(world.svids.verify(lying, LLM)).rejects.toMatchObject({ code: 'IDENTITY_INVALID' })
  },
)

test('an unknown kid makes us look again, once in ten seconds', async () => {
  const spire = issuer()
  using world = await RunWorld.open(store, { load: spire.load })
  const { publicKey, privateKey } = p256()
  const token = world.forge('svid', claims, { kid: 'new' }, { alg: 'ES256', privateKey })
  const verdict = () =>
    world.svids.verify(token, LLM).then(
      () => 'ok',
      ({ code }) => code,
    )
  expect(await verdict()).toBe('IDENTITY_INVALID')
  spire.set([jwk(publicKey, { kid: 'new' })])
  await Promise.all(Array.from({ length: 20 }, verdict))
  expect(spire.reads).toBe(1)
  world.nowMs += 10_000
  expect(await Promise.all([verdict(), verdict()])).toEqual(['ok', 'ok'])
  expect(spire.reads).toBe(2)
})

test('an old bundle counts for an hour, and then nothing does', async () => {
  const spire = issuer()
  const { publicKey, privateKey } = p256()
  spire.set([jwk(publicKey, { kid: 'k' })])
  using world = await RunWorld.open(store, { load: spire.load })
  const verdict = (jti: number) => {
    const token = world.forge(
      'svid',
      { ...claims, jti },
      { kid: 'k' },
      { alg: 'ES256', privateKey },
    )
    return world.svids.verify(token, LLM).then(
      () => 'ok',
      ({ code }) => code,
    )
  }
  expect(await verdict(1)).toBe('ok')
  spire.fail()
  world.nowMs = START + 300_000 + 3_599_000
  expect(await verdict(2)).toBe('ok')
  world.nowMs += 1_000
  expect(await verdict(3)).toBe('IDENTITY_INVALID')
})

test('what was verified with a bundle counts no longer than the bundle', async () => {
  const spire = issuer()
  const { publicKey, privateKey } = p256()
  spire.set([jwk(publicKey, { kid: 'k' })])
  using world = await RunWorld.open(store, { load: spire.load })
  const token = world.forge('svid', claims, { kid: 'k' }, { alg: 'ES256', privateKey })
  const verdict = () =>
    world.svids.verify(token, LLM).then(
      () => 'ok',
      ({ code }) => code,
    )
  for (let time = 0; time < 3; time += 1) expect(await verdict()).toBe('ok')
  spire.fail()
  world.nowMs = START + 300_000 + 3_600_000
  expect(await verdict()).toBe('IDENTITY_INVALID')
})

test('a key that its issuer took back verifies nothing once the bundle is due, remembered tokens included', async () => {
  const spire = issuer()
  const { publicKey, privateKey } = p256()
  spire.set([jwk(publicKey, { kid: 'k' })])
  using world = await RunWorld.open(store, { load: spire.load })
  const token = world.forge('svid', claims, { kid: 'k' }, { alg: 'ES256', privateKey })
  for (let time = 0; time < 3; time += 1) await world.svids.verify(token, LLM)
  spire.set([])
  world.nowMs = START + 300_000
  await world.svids.verify(token, LLM) // and the bundle is read behind the scenes
  await expect
    .poll(() =>
      world.svids.verify(token, LLM).then(
        () => 'ok',
        ({ code }) => code,
      ),
    )
    .toBe('IDENTITY_INVALID')
  expect(spire.reads).toBe(2)
})

test('keys that cannot be used are skipped, and private members are left out', () => {
  const { publicKey, privateKey } = p256()
  const { keys, hintMs } = readBundle(
    JSON.stringify({
      keys: [
        jwk(privateKey, { kid: 'a' }),
        jwk(publicKey, { kid: 'b', use: 'x509-svid' }),
        jwk(publicKey, { kid: 'c', alg: 'HS256' }),
        { kty: 'OKP', crv: 'Ed25519', x: 'AAAA', use: 'jwt-svid', kid: 'd' },
        { kty: 'unheard-of', use: 'jwt-svid' },
        42,
      ],
    }),
  )
  expect(keys.map(({ kid, key }) => [kid, key.type])).toEqual([['a', 'public']])
  expect(hintMs).toBe(300_000)
  expect(() => readBundle('{}')).toThrow()
})
