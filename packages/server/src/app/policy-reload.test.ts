import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { PolicyEngine } from '../policy/engine.ts'
import { PolicyReload } from './policy-reload.ts'

/** Answers a list when told to; what it holds is what was stored when the list was asked for. */
function slowStore() {
  const asked: { answer: () => void; fail: () => void }[] = []
  const store = {
    list: () =>
      new Promise<[]>((resolve, reject) => {
        asked.push({ answer: () => resolve([]), fail: () => reject(new Error('away')) })
      }),
  }
  return { store, asked }
}

test('a load that is asked for during another reads again after it', async () => {
  const { store, asked } = slowStore()
  const reload = new PolicyReload(new PolicyEngine(), store)
  const first = reload.load()
  await sleep(1)
  const second = reload.load()
  const third = reload.load() // shares the second's reading, which has not begun
  await sleep(1)
  expect(asked).toHaveLength(1)
  asked[0]?.answer()
  await first
  await sleep(1)
  expect(asked).toHaveLength(2)
  asked[1]?.answer()
  await Promise.all([second, third, reload.settled()])
  expect(asked).toHaveLength(2)
})

test('a failed load closes the engine, says so, and is tried again by itself', async () => {
  const { store, asked } = slowStore()
  const engine = new PolicyEngine()
  const reload = new PolicyReload(engine, store)
  const loading = reload.load()
  await sleep(1)
  asked[0]?.fail()
  await expect(loading).rejects.toThrow('away')
  const question = {
    principal: { kind: 'agent', id: '1', name: 'a', role: 'agent', meta: {} },
    action: 'vault:retrieve',
    resource: { kind: 'credential', path: 'a/b', type: null, tags: [] },
    context: { nowMs: 0 },
  } as const
  expect(engine.decide(question)).toMatchObject({ allow: false, reasonCode: 'policy_error' })
  await expect.poll(() => asked.length, { timeout: 5_000 }).toBe(2)
  asked[1]?.answer()
  await expect.poll(() => engine.decide(question).reasonCode).toBe('no_matching_rule')
})

test('what is read after a stop does not come into force', async () => {
  const { store, asked } = slowStore()
  const engine = new PolicyEngine()
  const reload = new PolicyReload(engine, store)
  const loading = reload.load()
  await sleep(1)
  reload.stop('sealed')
  asked[0]?.answer()
  await loading
  const decision = engine.decide({
    principal: { kind: 'agent', id: '1', name: 'a', role: 'agent', meta: {} },
    action: 'vault:retrieve',
    resource: { kind: 'credential', path: 'a/b', type: null, tags: [] },
    context: { nowMs: 0 },
  })
  expect(decision).toMatchObject({ allow: false, reason: 'sealed' })
})
