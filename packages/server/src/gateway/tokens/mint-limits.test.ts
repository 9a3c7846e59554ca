import { beforeEach, expect, test } from 'vitest'
import { Limits } from '../../limits/limits.ts'
import { openStore } from '../../store/store.ts'
import { sqliteUrl } from '../../store/test-store.ts'
import { type MintLimitSettings, MintLimits } from './mint-limits.ts'

const failing = (code: string) => expect.objectContaining({ code })
const store = await openStore(await sqliteUrl())
let nowMs = 0
beforeEach(() => {
  nowMs = 0
})

function limits(over: Partial<MintLimitSettings> = {}): MintLimits {
  const settings = { mintsPerMinute: 30, rejectionsPerMinute: 60, issueCidrs: [], ...over }
  const now = () => nowMs
  return new MintLimits({ limits: new Limits({ store, now, monotonic: now }), settings })
}

function times(count: number, act: () => void): void {
  for (let done = 0; done < count; done += 1) act()
}

test('thirty token requests a minute pass, per agent and per address each', () => {
  const mints = limits()
  times(30, () => mints.admitPeer('192.0.2.1'))
  const full = expect.objectContaining({
    code: 'RATE_LIMITED',
    status: 429,
    context: expect.objectContaining({ retry_after_ms: 2000 }),
  })
  expect(() => mints.admitPeer('192.0.2.1')).toThrow(full)
  mints.admitPeer('192.0.2.2')
  times(30, () => mints.admitAgent('a'))
  expect(() => mints.admitAgent('a')).toThrow(full)
  mints.admitAgent('b')
  nowMs = 2000
  mints.admitAgent('a')
  expect(() => mints.admitAgent('a')).toThrow(full)
})

test('a refusal names neither the agent nor the address', () => {
  const mints = limits({ mintsPerMinute: 1 })
  mints.admitAgent('3f0c8f0e')
  mints.admitPeer('192.0.2.1')
  for (const act of [() => mints.admitAgent('3f0c8f0e'), () => mints.admitPeer('192.0.2.1')]) {
    try {
      act()
      expect.unreachable()
    } catch (error) {
      expect(JSON.stringify(error) + String(error)).not.toMatch(/3f0c8f0e|192/)
    }
  }
})

test('the rate of token requests can be lifted, that of rejected tokens cannot', () => {
  const mints = limits({ mintsPerMinute: undefined })
  times(1000, () => mints.admitPeer('192.0.2.1'))
  times(1000, () => mints.admitAgent('a'))
  times(60, () => mints.countRejection('192.0.2.1'))
  expect(() => mints.countRejection('192.0.2.1')).toThrow(failing('RATE_LIMITED'))
  mints.countRejection('192.0.2.2')
  mints.countRejection(undefined)
  nowMs = 1000
  mints.countRejection('192.0.2.1')
})

test('tokens are issued inside the listed blocks only', () => {
  const mints = limits({ issueCidrs: ['10.20.0.0/16', '127.0.0.1/32', '2001:db8::/32'] })
  for (const address of ['10.20.3.4', '127.0.0.1', '::ffff:10.20.3.4', '2001:db8::7']) {
    expect(() => mints.admitPeer(address), address).not.toThrow()
  }
  const outside = ['10.21.0.1', '127.0.0.2', '::1', '::ffff:10.21.0.1', '2001:db9::1', 'x', '']
  for (const address of [...outside, undefined]) {
    expect(() => mints.admitPeer(address), address).toThrow(failing('ACCESS_DENIED'))
  }
})

test('an empty list lets everyone ask, a malformed block lets nobody start', () => {
  expect(() => limits().admitPeer(undefined)).not.toThrow()
  for (const block of ['10.0.0.0', '10.0.0.0/33', '0.0.0.0/0', 'host/8']) {
    expect(() => limits({ issueCidrs: [block] }), block).toThrow(failing('CONFIG_INVALID'))
  }
})
