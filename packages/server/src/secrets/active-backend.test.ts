import { expect, test } from 'vitest'
import { ActiveBackend } from './active-backend.ts'
import type { SecretBackend } from './backend.ts'
import type { BackendSetting, LoadedState } from './backend-setting.ts'

test('who asks after a switch gets the new back end, also while an earlier look at the store is still under way', async () => {
  const states = (version: number): LoadedState => ({
    version,
    state: {
      active: { type: version === 1 ? 'vestry' : 'os_keychain' },
      configuredAtMs: 0,
      migration: undefined,
    },
  })
  let version = 1
  const slow = Promise.withResolvers<void>()
  let loads = 0
  const setting = {
    version: async () => version,
    load: async () => {
      loads += 1
      const seen = states(version)
      if (loads === 1) await slow.promise
      return seen
    },
  } as unknown as BackendSetting
  const open = ({ type }: { type: string }) =>
    ({ type, identity: type, close: async () => {} }) as unknown as SecretBackend
  const active = new ActiveBackend({ setting, open, node: 'n1', now: Date.now }, () => {})
  const before = active.inUse()
  await expect.poll(() => loads).toBe(1)
  version = 2
  const after = active.inUse()
  slow.resolve()
  await before
  expect((await after).held.backend.type).toBe('os_keychain')
})
