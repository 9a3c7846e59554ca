import { sign } from 'node:crypto'
import { beforeEach, expect, it } from 'vitest'
import { eachStore } from '../store/test-store.ts'
import { ChallengeBook } from './challenge.ts'
import { systemClock } from './clock.ts'
import { login } from './login.ts'
import { acceptRole } from './operator.ts'
import { OperatorStore } from './operator-store.ts'
import { testGuard, testKeyring, testPair } from './test-keys.ts'

const guard = testGuard(testKeyring())
const failing = (code: string) => expect.objectContaining({ code })

eachStore('operators in the store', (at) => {
  let operators: OperatorStore
  const add = (name: string, n: number, role: 'owner' | 'admin' = 'owner') =>
    operators.add({ name, role, publicKey: testPair(n).raw })
  beforeEach(() => {
    operators = new OperatorStore({ store: at.store, guard, now: () => 1_900_000_000_000 })
  })

  it('are read back by name and id', async () => {
    const { value } = await add('ada', 1)
    expect(await operators.byName('ada')).toEqual(value)
    expect(await operators.byId(value.id)).toEqual(value)
    expect(await operators.list()).toEqual([value])
    expect(value.publicKey).toBe(testPair(1).hex)
    expect(await operators.byName("a' or 1=1\0")).toBeUndefined()
  })

  it('log in by the same challenge as agents', async () => {
    await add('ada', 1)
    const book = new ChallengeBook(systemClock)
    const deps = { book, lookup: operators.candidate.bind(operators), serverId: () => guardId }
    const attempt = (name: string, pair: number) => {
      const connection = {}
      const { bytes, sessionId } = book.open(connection, name)
      const signature = sign(null, bytes, testPair(pair).privateKey).toString('hex')
      return login(deps, connection, { sessionId, signature })
    }
    expect((await attempt('ada', 1)).subject.name).toBe('ada')
    await expect(attempt('ada', 2)).rejects.toEqual(failing('AUTH_FAILED'))
    await expect(attempt('eve', 1)).rejects.toEqual(failing('AUTH_FAILED'))
  })

  it('stay reachable: the last owner is not revoked, not even by two at once', async () => {
    await add('ada', 1)
    await add('max', 2, 'admin')
    await expect(operators.revoke('ada')).rejects.toThrow('last owner')
    await add('eve', 3)
    const both = await Promise.allSettled([operators.revoke('ada'), operators.revoke('eve')])
    expect(both.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    expect((await operators.list()).filter(({ role }) => role === 'owner')).toHaveLength(1)
    await operators.revoke('max')
  })

  it('lose access and free their name when revoked', async () => {
    await add('ada', 1)
    const { value: eve } = await add('eve', 2)
    await operators.revoke('eve')
    expect((await operators.candidate('eve')).subject).toBeUndefined()
    expect((await operators.byId(eve.id))?.status).toBe('revoked')
    expect((await add('eve', 3)).value.id).not.toBe(eve.id)
  })

  it('are refused with weak keys, bad names and taken names', async () => {
    const weak = Uint8Array.from([1, ...new Uint8Array(31)])
    expect(() => operators.add({ name: 'ada', role: 'admin', publicKey: weak })).toThrow('small')
    expect(() => add('a/b', 1)).toThrow('malformed')
    await add('ada', 1)
    await expect(add('ada', 2)).rejects.toEqual(failing('CONFLICT'))
  })

  it('whose role was raised in the database are refused', async () => {
    await add('ada', 1)
    await add('max', 2, 'admin')
    await at.store.write((trx) => trx.updateTable('operator').set({ role: 'owner' }).execute())
    await expect(operators.byName('max')).rejects.toEqual(failing('STORE_CORRUPT'))
    await expect(operators.candidate('max')).rejects.toEqual(failing('STORE_CORRUPT'))
  })
})

const guardId = new Uint8Array(32)

it('operator and administrator are other words for admin', () => {
  expect([acceptRole('operator'), acceptRole('administrator'), acceptRole('owner')]).toEqual([
    'admin',
    'admin',
    'owner',
  ])
  expect(() => acceptRole('root')).toThrow('Unknown operator role')
})
