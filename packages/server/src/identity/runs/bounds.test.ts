/** What issuing and verifying may cost at most, counted and not timed. */
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { openStore, type Store } from '../../store/store.ts'
import { sqliteUrl } from '../../store/test-store.ts'
import { p256, RunWorld, unsigned } from './runs.test-kit.ts'
import { TratSource } from './trat-source.ts'
import { VerifiedTokens } from './verified-tokens.ts'

let store: Store
beforeAll(async () => {
  store = await openStore(await sqliteUrl())
})
afterAll(() => store.close())

const codeOf = (work: Promise<unknown>) =>
  work.then(
    () => 'ok',
    ({ code }) => code,
  )

test('keys that nobody made are looked for once a second, and cost nobody what was remembered', async () => {
  using world = await RunWorld.open(store)
  const run = await world.run(await world.agent())
  const headers = await world.headers(run)
  await world.gate.verify(headers)
  const before = world.keys.version
  const reads = vi.spyOn(world.keys, 'reload')
  const { privateKey } = p256()
  for (let at = 0; at < 300; at += 1) {
    const kid = `svid-${String(at).padStart(12, '0')}`
    const forged = world.forge('svid', world.svidClaims(run), { kid }, { alg: 'ES256', privateKey })
    expect(await codeOf(world.svids.verify(forged, 'x'))).toBe('IDENTITY_INVALID')
    const trat = unsigned(
      { alg: 'EdDSA', typ: 'txntoken+jwt', kid: kid.replace('svid', 'trat') },
      {},
    )
    expect(await codeOf(world.trats.verify(trat))).toBe('TXN_INVALID')
    world.nowMs += 10
  }
  expect(reads.mock.calls.length).toBeLessThanOrEqual(4)
  expect(world.keys.version).toBe(before)
})

test('what is remembered has a bound, and so has what is read', async () => {
  const known = new VerifiedTokens<number>()
  known.get('', 'v', 0)
  for (let at = 0; at < 20_000; at += 1) known.keep('token', String(at), 'v', at, Infinity)
  const kept = Array.from({ length: 20_000 }, (_, at) => known.get(String(at), 'v', 0))
  expect(kept.filter((value) => value !== undefined).length).toBeLessThanOrEqual(4_096)
  known.keep('x'.repeat(8_193), 'long', 'v', 1, Infinity)
  expect(known.get('long', 'v', 0)).toBeUndefined()
  using world = await RunWorld.open(store)
  for (const size of [16_385, 1_000_000]) {
    const token = `e30.e30.${'A'.repeat(size)}`
    expect(await codeOf(world.svids.verify(token, 'x'))).toBe('IDENTITY_INVALID')
    expect(await codeOf(world.trats.verify(token + token))).toBe('TXN_INVALID')
  }
})

test('however short its tokens live, a run costs one of them a second', async () => {
  const at = { nowMs: 0, issued: 0 }
  const source = new TratSource({
    now: () => at.nowMs,
    issue: async () => {
      at.issued += 1
      const iat = Math.floor(at.nowMs / 1_000) * 1_000
      return { token: `t${at.issued}`, issuedAtMs: iat, expiresAtMs: iat + 5_000 }
    },
  })
  for (let step = 0; step < 1_000; step += 1) {
    await Promise.all([source.get(), source.get(), source.renew()])
    at.nowMs += 10
  }
  expect(at.issued).toBeLessThanOrEqual(11)
})
