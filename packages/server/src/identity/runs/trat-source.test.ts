import { expect, test } from 'vitest'
import { TratSource } from './trat-source.ts'

function source(lifeMs = 300_000) {
  const at = { nowMs: 1_000_000, issued: 0, fail: false }
  const trat = new TratSource({
    now: () => at.nowMs,
    issue: async () => {
      await Promise.resolve()
      if (at.fail) throw new Error('the service is away')
      at.issued += 1
      return { token: `t${at.issued}`, issuedAtMs: at.nowMs, expiresAtMs: at.nowMs + lifeMs }
    },
  })
  return { at, trat, token: async () => (await trat.get()).token }
}

test('sage §21.12: fifty requests at once cost one exchange', async () => {
  const { at, token } = source()
  const all = await Promise.all(Array.from({ length: 50 }, token))
  expect(new Set(all)).toEqual(new Set(['t1']))
  expect(at.issued).toBe(1)
})

test('sage §21.12: what is handed out has a minute left', async () => {
  const { at, token } = source()
  await token()
  at.nowMs += 240_001
  expect(await token()).toBe('t2')
})

test('from half of its life on a new token is fetched behind the scenes', async () => {
  const { at, token } = source()
  await token()
  at.nowMs += 150_000
  expect([await token(), at.issued]).toEqual(['t1', 1])
  at.nowMs += 1
  expect(await token()).toBe('t1')
  await Promise.resolve()
  expect(await token()).toBe('t2')
})

test.each([61_000, 90_000, 119_000])(
  'of a life of %i ms a minute is left as well',
  async (lifeMs) => {
    const { at, token } = source(lifeMs)
    await token()
    at.nowMs += lifeMs - 60_000
    expect(await token()).toBe('t1')
    at.nowMs += 1
    expect(await token()).toBe('t2')
  },
)

test('tokens that live less than a minute are handed out with their whole life, to the second they count in', async () => {
  const { at, token } = source(20_000)
  expect(await token()).toBe('t1')
  at.nowMs += 1_000
  expect(await token()).toBe('t1')
  at.nowMs += 1
  expect(await token()).toBe('t2')
})

test('while the service is away the old token serves as long as it is valid', async () => {
  const { at, trat, token } = source()
  await token()
  at.fail = true
  at.nowMs += 299_999
  expect(await token()).toBe('t1')
  at.nowMs += 1
  await expect(trat.get()).rejects.toThrow('away')
  at.fail = false
  expect(await token()).toBe('t2')
})
