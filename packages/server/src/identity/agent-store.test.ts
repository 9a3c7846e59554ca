import { sign } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openStore } from '../store/store.ts'
import { eachStore, sqliteUrl } from '../store/test-store.ts'
import { acceptKey } from './agent-key.ts'
import { AgentStore } from './agent-store.ts'
import { Authenticator } from './authenticate.ts'
import { ChallengeBook } from './challenge.ts'
import { systemClock } from './clock.ts'
import type { LoginRefused } from './login.ts'
import { SessionBook } from './session.ts'
import { recheckSessions } from './session-check.ts'
import { testGuard, testKeyring, testPair } from './test-keys.ts'

const keyring = testKeyring()
const guard = testGuard(keyring)
let nowMs: number
const now = () => nowMs
const key = (n: number) => acceptKey(testPair(n).hex, nowMs)
const failing = (code: string) => expect.objectContaining({ code })
beforeEach(() => {
  nowMs = Date.now()
})

eachStore('agents in the store', (at) => {
  let agents: AgentStore
  const newStore = (store = at.store) =>
    new AgentStore({ store, guard, now, trustDomain: 'example.org' })
  beforeEach(() => {
    agents = newStore()
  })
  afterEach(() => agents[Symbol.dispose]())

  it('are read back as they were written, by name and by id, cached or not', async () => {
    const input = {
      name: 'scout',
      displayName: 'Scout, 調査',
      role: 'scraper',
      keys: [key(1)],
      meta: { team: 'a "b"\n' },
      requireSigV2: true,
    }
    const { value: added, generation } = await agents.add(input)
    expect(generation).toBe(await at.store.generation())
    expect(await agents.byName('scout')).toEqual(added)
    expect(await agents.byName('scout')).toEqual(added)
    expect(await agents.byId(added.id)).toEqual(added)
    expect(await newStore().list()).toEqual([added])
    expect(added).toMatchObject(input)
  })

  it('have unique names, also when two are added at once', async () => {
    const attempts = Array.from({ length: 5 }, () => agents.add({ name: 'scout' }))
    const done = await Promise.allSettled(attempts)
    expect(done.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    for (const result of done)
      if (result.status === 'rejected') expect(result.reason).toEqual(failing('CONFLICT'))
  })

  it('a refused change raises no generation', async () => {
    await agents.add({ name: 'scout' })
    const before = await at.store.generation()
    await expect(agents.add({ name: 'scout' })).rejects.toThrow('exists')
    await expect(agents.revoke('nobody')).rejects.toEqual(failing('NOT_FOUND'))
    expect(await at.store.generation()).toBe(before)
  })

  it('free their name when revoked and stay on record', async () => {
    const { value: first } = await agents.add({ name: 'scout', keys: [key(1)] })
    await agents.revoke('scout')
    expect(await agents.byName('scout')).toBeUndefined()
    expect(await agents.byId(first.id)).toMatchObject({ name: 'scout', status: 'revoked' })
    const { value: second } = await agents.add({ name: 'scout', keys: [key(2)] })
    expect(second.id).not.toBe(first.id)
    expect(await agents.byName('scout')).toEqual(second)
    await agents.revoke('scout')
    expect(await agents.list()).toEqual([])
    expect(await agents.list({ revoked: true })).toHaveLength(2)
    await expect(agents.enable('scout')).rejects.toEqual(failing('NOT_FOUND'))
  })

  it('rotate keys with an overlap that ends by itself', async () => {
    const { value } = await agents.add({ name: 'scout', keys: [key(1)] })
    const prints = async () =>
      (await agents.candidate('scout')).keys.map(({ fingerprint }) => fingerprint)
    const [old] = await prints()
    await agents.rotate('scout', key(2), 60)
    expect(await prints()).toHaveLength(2)
    expect((await prints())[1]).toBe(old)
    nowMs += 60_000
    expect(await prints()).toHaveLength(1)
    expect(await agents.verificationKeys(value.id, 'ed25519')).toHaveLength(1)
    expect(await agents.verificationKeys(value.id, 'rsa')).toEqual([])
  })

  it('lose no change that is made at the same time', async () => {
    await agents.add({ name: 'scout', keys: [key(1)] })
    const changes = Array.from({ length: 6 }, (_, n) => agents.rotate('scout', key(n + 2)))
    await Promise.all(changes)
    const after = await newStore().byName('scout')
    expect(new Set(after?.keys.map(({ publicKey }) => publicKey)).size).toBe(7)
  })

  it('are nobody at login when disabled, revoked, unknown, malformed or not in vault grammar', async () => {
    await agents.add({ name: 'off', keys: [key(1)] })
    await agents.disable('off')
    await agents.add({ name: 'gone', keys: [key(2)] })
    await agents.revoke('gone')
    await agents.add({ name: 'team:bot', keys: [key(3)] })
    for (const name of ['off', 'gone', 'team:bot', 'unknown', 'decoy', '', 'a\0b', 'x'.repeat(1e5)])
      expect(await agents.candidate(name), name).toEqual({
        subject: undefined,
        keys: [],
        requireSigV2: false,
      })
    await agents.enable('off')
    expect((await agents.candidate('off')).subject?.name).toBe('off')
  })

  it('that were altered in the database are refused, not believed', async () => {
    await agents.add({ name: 'scout', keys: [key(1)] })
    const stolen = JSON.stringify([key(2)])
    await at.store.write((trx) => trx.updateTable('agent').set({ keys_json: stolen }).execute())
    agents.drop()
    await expect(agents.candidate('scout')).rejects.toEqual(failing('STORE_CORRUPT'))
    await expect(agents.list()).rejects.toEqual(failing('STORE_CORRUPT'))
    await expect(agents.disable('scout')).rejects.toEqual(failing('STORE_CORRUPT'))
  })

  it('cannot trade rows: a record moved under another id is refused', async () => {
    const { value: low } = await agents.add({ name: 'low', role: 'guest' })
    const { value: high } = await agents.add({ name: 'high', role: 'admin' })
    await at.store.write(async (trx) => {
      const row = await trx
        .selectFrom('agent')
        .selectAll()
        .where('id', '=', high.id)
        .executeTakeFirstOrThrow()
      await trx.deleteFrom('agent').where('id', '=', high.id).execute()
      const { id: _, spiffe_id: __, ...rest } = row
      await trx.updateTable('agent').set(rest).where('id', '=', low.id).execute()
    })
    agents.drop()
    await expect(agents.byId(low.id)).rejects.toEqual(failing('STORE_CORRUPT'))
  })

  it('change on every node', async () => {
    using elsewhere = newStore(await at.open())
    await agents.add({ name: 'scout', keys: [key(1)] })
    expect((await elsewhere.candidate('scout')).subject?.name).toBe('scout')
    await agents.disable('scout')
    if (at.engine === 'sqlite') elsewhere.drop() // one process; there is nobody to be told
    await expect
      .poll(async () => (await elsewhere.candidate('scout')).subject, { timeout: 5000 })
      .toBeUndefined()
  })
})

describe('the cache', () => {
  it('asks the store once per name, whether it exists or not, and forgets the oldest', async () => {
    await using store = await openStore(await sqliteUrl())
    let opened = 0
    const counting = {
      ...guard,
      check: (...args: Parameters<typeof guard.check>) => {
        opened += 1
        guard.check(...args)
      },
    }
    const deps = { store, guard: counting, now, trustDomain: 'example.org', cacheLimit: 2 }
    using agents = new AgentStore(deps)
    await agents.add({ name: 'scout', keys: [key(1)] })
    const cost = async (name: string) => {
      const before = opened
      await agents.candidate(name)
      return opened - before
    }
    expect([await cost('scout'), await cost('scout')]).toEqual([1, 0])
    // The same work for a name that is not there: it parses the decoy.
    expect([await cost('nobody'), await cost('nobody')]).toEqual([1, 0])
    expect([await cost('third'), await cost('scout')]).toEqual([1, 1])
  })

  it('does not keep what was read before a change', async () => {
    await using store = await openStore(await sqliteUrl())
    using agents = new AgentStore({ store, guard, now, trustDomain: 'example.org' })
    await agents.add({ name: 'scout', keys: [key(1)] })
    for (let n = 0; n < 20; n += 1) {
      const reading = agents.byName('scout')
      const change = n % 2 === 0 ? agents.disable('scout') : agents.enable('scout')
      await Promise.all([reading, change])
      expect((await agents.byName('scout'))?.status).toBe(n % 2 === 0 ? 'disabled' : 'enabled')
    }
  })
})

describe('logging in', () => {
  const cleanUp: AsyncDisposable[] = []
  afterEach(async () => {
    for (const store of cleanUp.splice(0)) await store[Symbol.asyncDispose]()
  })

  async function daemon() {
    const store = await openStore(await sqliteUrl())
    cleanUp.push(store)
    const agents = new AgentStore({ store, guard, now, trustDomain: 'example.org' })
    const ended: string[] = []
    const sessions = new SessionBook({
      clock: systemClock,
      onEnd: (_, reason) => ended.push(reason),
    })
    const authenticator = new Authenticator({
      book: new ChallengeBook(systemClock),
      sessions,
      lookup: (name) => agents.candidate(name),
      principal: (agent) => ({ kind: 'agent', agent }),
      serverKey: () => keyring.serverKey,
    })
    const logIn = (connection: object, name: string, pair: number) => {
      const { session_id, challenge } = authenticator.begin(connection, name)
      const signature = sign(null, Buffer.from(challenge, 'hex'), testPair(pair).privateKey)
      const answer = { sessionId: session_id, signature: signature.toString('hex') }
      return authenticator.answer(connection, { transport: 'unix' }, answer)
    }
    return { agents, sessions, ended, authenticator, logIn }
  }

  it('vault §28.25: opens the session whose id was issued, on this connection only', async () => {
    const { agents, sessions, logIn } = await daemon()
    await agents.add({ name: 'scout', keys: [key(1)] })
    const connection = {}
    const session = await logIn(connection, 'scout', 1)
    expect(sessions.current(connection, session.id)).toBe(session)
    expect(() => sessions.current({}, session.id)).toThrow(failing('SESSION_EXPIRED'))
  })

  it('vault §28.23: replies to authenticate have the same members for every name', async () => {
    const { agents, authenticator } = await daemon()
    await agents.add({ name: 'scout', keys: [key(1)] })
    const nonce = 'ab'.repeat(32)
    const shape = (name: string) =>
      Object.entries(authenticator.begin({}, name, nonce)).map(([member, value]) => [
        member,
        Array.isArray(value) || typeof value === 'number' ? value : String(value).length,
      ])
    const expected = shape('scout')
    for (const name of ['nobody', '', '../x', 'x'.repeat(100_000)])
      expect(shape(name)).toEqual(expected)
    for (const bad of ['', 'ab', 'zz'.repeat(32), `${nonce}ab`, `${nonce.slice(2)}g1`])
      expect(() => authenticator.begin({}, 'scout', bad)).toThrow('client_nonce')
  })

  it('vault §28.23: disabled, revoked and unknown agents are refused alike', async () => {
    const { agents, logIn } = await daemon()
    await agents.add({ name: 'off', keys: [key(1)] })
    await agents.disable('off')
    await agents.add({ name: 'gone', keys: [key(1)] })
    await agents.revoke('gone')
    await agents.add({ name: 'scout', keys: [key(2)] })
    for (const name of ['off', 'gone', 'unknown', 'scout']) {
      const error: LoginRefused = await logIn({}, name, 1).then(
        () => expect.unreachable(),
        (reason) => reason,
      )
      expect({ ...error, message: error.message }).toEqual({
        name: 'LoginRefused',
        code: 'AUTH_FAILED',
        message: 'Authentication failed',
        hint: expect.any(String),
        context: { attempts_left: 2 },
      })
    }
  })

  it('says VAULT_LOCKED before anything else while sealed', async () => {
    const { agents, sessions } = await daemon()
    const sealed = testKeyring()
    sealed.wipe()
    const authenticator = new Authenticator({
      book: new ChallengeBook(systemClock),
      sessions,
      lookup: (name) => agents.candidate(name),
      principal: (agent) => ({ kind: 'agent', agent }),
      serverKey: () => sealed.serverKey,
    })
    expect(() => authenticator.begin({}, 'scout')).toThrow(failing('VAULT_LOCKED'))
    await expect(
      authenticator.answer({}, { transport: 'unix' }, { sessionId: 'x' }),
    ).rejects.toEqual(failing('VAULT_LOCKED'))
  })

  it('ends sessions of revoked and disabled agents and of keys that were rotated away', async () => {
    const { agents, sessions, logIn, ended } = await daemon()
    for (const [n, name] of ['a', 'b', 'c', 'd', 'e'].entries())
      await agents.add({ name, keys: [key(n + 1)] })
    const [a, b, c, d, e] = [{}, {}, {}, {}, {}]
    for (const [n, connection] of [a, b, c, d, e].entries())
      await logIn(connection, 'abcde'[n]!, n + 1)
    await agents.revoke('a')
    await agents.disable('b')
    await agents.rotate('c', key(11))
    await agents.rotate('d', key(12), 60)
    await agents.amend('e', { role: 'lead' })
    const result = await recheckSessions(sessions, agents)
    expect(result.map(({ reason }) => reason)).toEqual(['revoked', 'disabled', 'key_rotated'])
    expect(ended).toEqual(['revoked', 'disabled', 'key_rotated'])
    expect(sessions.current(d).expiresAt).toBe(nowMs + 60_000)
    expect(sessions.current(e).principal).toMatchObject({ agent: { role: 'lead' } })
    expect(await recheckSessions(sessions, agents)).toEqual([])
  })

  it('leaves nothing behind after many connections came and went', async () => {
    const { agents, sessions, logIn } = await daemon()
    await agents.add({ name: 'scout', keys: [key(1)] })
    for (let n = 0; n < 200; n += 1) {
      const connection = {}
      await logIn(connection, 'scout', 1)
      sessions.endConnection(connection)
    }
    expect(sessions.size).toBe(0)
  })
})
