import { createSecretKey } from 'node:crypto'
import { VestryError } from '@vestry/contract/errors'
import { expect, test } from 'vitest'
import { testJournal } from '../../journal/test-journal.ts'
import { Buckets } from '../../limits/bucket.ts'
import { eachStore } from '../../store/test-store.ts'
import type { Outgoing } from './outgoing.ts'
import { type KeyedRequest, StoredReplies } from './stored-replies.ts'

const code = (value: string) => expect.objectContaining({ code: value })
const HASH_KEY = createSecretKey(Buffer.alloc(32, 7))
const SIGNAL = new AbortController().signal
const made = (text: string): Outgoing => ({ status: 201, headers: {}, text })

const asked = (over: Partial<KeyedRequest> = {}): KeyedRequest => ({
  keyId: 'key_1',
  idempotencyKey: 'one',
  method: 'POST',
  url: '/agents?',
  route: 'agents',
  raw: Buffer.from('{"id":"a"}'),
  requestId: 'r-1',
  ...over,
})

eachStore('repeated requests', (at) => {
  const setUp = () => {
    const journal = testJournal({ store: at.store })
    const replies = new StoredReplies({
      journal,
      buckets: new Buckets({ now: () => 0 }),
      hashKey: () => HASH_KEY,
    })
    let done = 0
    const work = async () => {
      done += 1
      return made(`{"n":${done}.0}`)
    }
    const once = (over: Partial<KeyedRequest> = {}, doing = work) =>
      replies.once(asked(over), SIGNAL, doing)
    return { journal, once, count: () => done }
  }

  test('the same request under its key happens once; its answer keeps every digit', async () => {
    const { journal, once, count } = setUp()
    await using _ = journal
    expect(await once()).toEqual(made('{"n":1.0}'))
    expect(await once()).toEqual({
      status: 201,
      headers: { 'idempotent-replay': 'true' },
      text: '{"n":1.0}',
    })
    expect(count()).toBe(1)
    expect((await once({ keyId: 'key_2' })).text).toBe('{"n":2.0}')
    expect((await once({ idempotencyKey: 'two' })).text).toBe('{"n":3.0}')
  })

  test('another request under the key is refused', async () => {
    const { journal, once, count } = setUp()
    await using _ = journal
    await once()
    for (const over of [{ raw: Buffer.from('{"id":"b"}') }, { url: '/agents?x=1' }])
      await expect(once(over)).rejects.toThrow(code('IDEMPOTENCY_CONFLICT'))
    expect(count()).toBe(1)
  })

  test('requests at once wait for the first one', async () => {
    const { journal, once, count } = setUp()
    await using _ = journal
    const all = await Promise.all(Array.from({ length: 10 }, () => once()))
    expect(new Set(all.map(({ text }) => text))).toEqual(new Set(['{"n":1.0}']))
    expect(count()).toBe(1)
  })

  test('what was refused may be asked again, what failed midway may not', async () => {
    const { journal, once, count } = setUp()
    await using _ = journal
    const failing = (failure: VestryError) => () => Promise.reject(failure)
    for (const refusal of ['VALIDATION_ERROR', 'NOT_READY'] as const)
      await expect(once({}, failing(new VestryError(refusal)))).rejects.toThrow(code(refusal))
    expect((await once()).text).toBe('{"n":1.0}')
    const lost = new VestryError('MCP_TIMEOUT')
    await expect(once({ idempotencyKey: 'two' }, failing(lost))).rejects.toThrow(
      code('MCP_TIMEOUT'),
    )
    const again = await once({ idempotencyKey: 'two' })
    expect(again).toMatchObject({ status: 504, headers: { 'idempotent-replay': 'true' } })
    expect(JSON.parse(again.text)).toMatchObject({ code: 'MCP_TIMEOUT' })
    expect(count()).toBe(1)
  })

  test('an answer too large to be kept is not made twice', async () => {
    const { journal, once } = setUp()
    await using _ = journal
    const large = made(JSON.stringify(['x'.repeat(1_100_000)]))
    expect(await once({}, async () => large)).toEqual(large)
    await expect(once()).rejects.toThrow(code('OUTCOME_UNKNOWN'))
  })

  test('who waits does not wait for ever', async () => {
    const { journal } = setUp()
    await using _ = journal
    const replies = new StoredReplies({
      journal,
      buckets: new Buckets({ now: () => 0 }),
      hashKey: () => HASH_KEY,
    })
    const held = Promise.withResolvers<Outgoing>()
    const begun = Promise.withResolvers<void>()
    const first = replies.once(asked(), SIGNAL, () => {
      begun.resolve()
      return held.promise
    })
    await begun.promise
    const ending = new AbortController()
    const second = replies.once(asked(), ending.signal, async () => made('{}'))
    ending.abort(new VestryError('TIMEOUT'))
    await expect(second).rejects.toThrow(code('TIMEOUT'))
    held.resolve(made('{"done":true}'))
    expect((await first).text).toBe('{"done":true}')
  })

  test('a key that is none is refused', async () => {
    const { journal, once } = setUp()
    await using _ = journal
    for (const idempotencyKey of ['a b', 'ü', 'x'.repeat(256)])
      await expect(once({ idempotencyKey })).rejects.toThrow(code('VALIDATION_ERROR'))
  })
})
