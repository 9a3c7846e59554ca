import { expect, test } from 'vitest'
import { codeOf, putText, signal, textOf } from '../testing/conformance.test-kit.ts'
import { MemoryKeychain } from '../testing/memory-keychain.test-kit.ts'
import { KeychainBackend } from './keychain-backend.ts'
import { nativeKeychain } from './native-keychain.ts'

const PLACE = { agent: 'scout', name: 'db/password' }

test('a secret is the account <agent>/<name> of its own, as text', async () => {
  const keychain = new MemoryKeychain()
  await putText(new KeychainBackend(keychain, Date.now), PLACE, 'v')
  expect([...keychain.entries.keys()].sort()).toEqual([
    '.index',
    '.index/scout',
    'scout/db/password',
  ])
  expect(keychain.entries.get('scout/db/password')).toBe('v')
  expect(keychain.entries.get('.index/scout')).not.toContain('"v"')
})

test('runtime §20.15: killed between any two steps, what is listed is there and what is there can be read', async () => {
  let finished = 0
  for (let calls = 0; finished < 3; calls += 1) {
    const keychain = new MemoryKeychain()
    const before = new KeychainBackend(keychain, Date.now)
    await putText(before, PLACE, 'old')
    await putText(before, { ...PLACE, name: 'other' }, 'kept')
    finished = 0
    for (const change of [
      (backend: KeychainBackend) => putText(backend, PLACE, 'new'),
      (backend: KeychainBackend) => putText(backend, { ...PLACE, name: 'added' }, 'new'),
      (backend: KeychainBackend) => backend.delete(PLACE, signal),
    ]) {
      const copy = new MemoryKeychain()
      for (const [account, text] of keychain.entries) copy.entries.set(account, text)
      copy.callsLeft = calls
      finished += await change(new KeychainBackend(copy, Date.now)).then(
        () => 1,
        () => 0,
      )
      copy.callsLeft = Number.POSITIVE_INFINITY
      const after = new KeychainBackend(copy, Date.now)
      const names = await after.list(PLACE.agent, signal)
      expect(names).toContain('other')
      for (const name of names)
        expect(await textOf(after, { ...PLACE, name })).toMatch(/^(?:old|new|kept)$/)
      for (const name of ['db/password', 'added'])
        expect(names.includes(name)).toBe((await textOf(after, { ...PLACE, name })) !== undefined)
      await putText(after, PLACE, 'again')
      expect(await textOf(after, PLACE)).toBe('again')
    }
  }
})

test('a damaged index is told, and not taken for an empty one', async () => {
  const keychain = new MemoryKeychain()
  keychain.entries.set('.index/scout', '{')
  const backend = new KeychainBackend(keychain, Date.now)
  expect(await codeOf(putText(backend, PLACE, 'v'))).toBe('BACKEND_ERROR')
  expect(await codeOf(backend.list('scout', signal))).toBe('BACKEND_ERROR')
})

// A session with a Secret Service would be somebody's own: nothing is to be written there.
test.skipIf(process.env['DBUS_SESSION_BUS_ADDRESS'] !== undefined || process.platform !== 'linux')(
  'vault §28.56, runtime §20.14: on a host without a keychain the real one says so, as 503',
  async () => {
    const backend = new KeychainBackend(nativeKeychain(), Date.now)
    const error: unknown = await backend
      .probe(signal, { create: true })
      .catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({
      code: 'BACKEND_UNAVAILABLE',
      status: 503,
      hint: expect.stringContaining('Secret Service'),
    })
  },
)
