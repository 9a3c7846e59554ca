import { VestryError } from '@vestry/contract/errors'
import { expect, test } from 'vitest'
import { eachStore } from '../store/test-store.ts'
import type { Held, Runner } from './held.ts'
import type { Journal } from './journal.ts'
import { bytes, queued, TestClock, testJournal, testKeys, text, until } from './test-journal.ts'

const code = (value: string) => expect.objectContaining({ code: value })
const never = new AbortController().signal

/** A runner whose bodies wait until they are let go. */
function gated(concurrency: number, over: Partial<Runner> = {}) {
  const open = Promise.withResolvers<void>()
  const running: Held[] = []
  let most = 0
  let now = 0
  const runner: Runner = {
    concurrency,
    async run(execution, signal) {
      running.push(execution)
      now += 1
      most = Math.max(most, now)
      try {
        await Promise.race([
          open.promise,
          new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
        ])
        await execution.finish(bytes('done'))
      } finally {
        now -= 1
      }
    },
    ...over,
  }
  return { runner, running, letGo: () => open.resolve(), most: () => most }
}

const ended = (journal: Journal, ids: readonly string[]) =>
  Promise.all(ids.map((id) => journal.wait(id, never)))

eachStore('workers', (at) => {
  test('a queued execution is picked up at once, with its input, and its end is told', async () => {
    await using journal = testJournal({ store: at.store, pollMs: 60_000 })
    journal.register('gateway', {
      concurrency: 2,
      async run(execution) {
        await execution.sent()
        await execution.finish(bytes(`${text(await execution.input())} ${execution.attempt}`))
      },
    })
    journal.start()
    const { state, execution } = await journal.reserve(queued({ input: bytes('hello') }))
    expect(state).toBe('queued')
    const end = await journal.wait(execution.id, never)
    expect(end).toMatchObject({ state: 'done', attempts: 1, owned: false })
    expect(text(await journal.output(execution.id))).toBe('hello 1')
  })

  test('a sealed node takes nothing, and gives back what it had begun', async () => {
    const keys = testKeys()
    let sealed = false
    await using journal = testJournal({
      store: at.store,
      pollMs: 5,
      keys: () => {
        if (sealed) throw new VestryError('VAULT_LOCKED')
        return keys
      },
    })
    const attempts: number[] = []
    journal.register('gateway', {
      concurrency: 1,
      async run(execution) {
        attempts.push(execution.attempt)
        if (execution.attempt > 1) return execution.finish(bytes('done'))
        sealed = true
        throw new VestryError('SHUTTING_DOWN')
      },
    })
    journal.start()
    const { execution } = await journal.reserve(queued({ input: bytes('hello') }))
    await until(async () => sealed && !(await journal.get(execution.id))?.owned)
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect(await journal.get(execution.id)).toMatchObject({ state: 'reserved', attempts: 1 })
    sealed = false
    expect(await journal.wait(execution.id, never)).toMatchObject({ state: 'done' })
    expect(attempts).toEqual([1, 2])
  })

  test('what was queued before the start runs after it, the longest waiting first', async () => {
    const clock = new TestClock()
    await using journal = testJournal({ store: at.store, now: clock.now })
    const ids: string[] = []
    for (let n = 0; n < 5; n += 1) {
      clock.ms += 1
      ids.push((await journal.reserve(queued())).execution.id)
    }
    const order: string[] = []
    journal.register('gateway', {
      concurrency: 1,
      async run(execution) {
        order.push(execution.id)
        await execution.finish(bytes(''))
      },
    })
    journal.start()
    await ended(journal, ids)
    expect(order).toEqual(ids)
  })

  test('never more run at once than the runner allows, and kinds do not share', async () => {
    await using journal = testJournal({ store: at.store })
    const gateway = gated(3)
    const runtime = gated(1)
    journal.register('gateway', gateway.runner)
    journal.register('runtime', runtime.runner)
    journal.start()
    const reserved = await Promise.all(
      Array.from({ length: 20 }, (_, n) =>
        journal.reserve(queued({ kind: n < 12 ? 'gateway' : 'runtime' })),
      ),
    )
    await until(() => gateway.running.length === 3 && runtime.running.length === 1)
    gateway.letGo()
    runtime.letGo()
    await ended(
      journal,
      reserved.map(({ execution }) => execution.id),
    )
    expect([gateway.most(), runtime.most()]).toEqual([3, 1])
  })

  test('one that may not run yet is left alone until its time', async () => {
    const clock = new TestClock()
    await using journal = testJournal({ store: at.store, now: clock.now, pollMs: 5 })
    journal.register('gateway', gated(4).runner)
    journal.start()
    const later = await journal.reserve(queued({ runAtMs: clock.ms + 1_000 }))
    await new Promise((resolve) => setTimeout(resolve, 60))
    expect(await journal.get(later.execution.id)).toMatchObject({ state: 'reserved', owned: false })
    clock.ms += 1_000
    await until(async () => (await journal.get(later.execution.id))?.owned)
  })

  test('a full queue refuses the next with QUEUE_FULL, but still finds what it knows', async () => {
    await using journal = testJournal({ store: at.store })
    journal.register('gateway', { ...gated(1).runner, queueMax: 3 })
    const reserved = await Promise.allSettled(
      Array.from({ length: 6 }, (_, n) => journal.reserve(queued({ key: `k${n}` }))),
    )
    const refused = reserved.flatMap((one) => (one.status === 'rejected' ? [one.reason] : []))
    expect(refused).toEqual([code('QUEUE_FULL'), code('QUEUE_FULL'), code('QUEUE_FULL')])
    const [known] = await journal.list({ kind: 'gateway', limit: 1 })
    expect(await journal.reserve(queued({ key: known?.key ?? '' }))).toMatchObject({
      state: 'known',
    })
    expect(await journal.counts('gateway')).toMatchObject({ queued: 3 })
  })

  test('a body that throws fails its execution with its code, reached once it was sent', async () => {
    const warnings: string[] = []
    await using journal = testJournal({
      store: at.store,
      warn: (message) => warnings.push(message),
    })
    const bodies = [
      async () => {
        throw new VestryError('ACCESS_DENIED')
      },
      async (execution: Held) => {
        await execution.sent()
        throw new VestryError('UPSTREAM_TIMEOUT')
      },
      async () => {
        throw new Error('a bug')
      },
      async () => undefined,
      async (execution: Held) => {
        await execution.finish(bytes(''))
        throw new Error('too late')
      },
    ]
    journal.register('gateway', {
      concurrency: 1,
      async run(execution) {
        await bodies[Number(execution.subject)]?.(execution)
      },
    })
    journal.start()
    const ids: string[] = []
    for (let n = 0; n < bodies.length; n += 1) {
      ids.push((await journal.reserve(queued({ subject: `${n}` }))).execution.id)
    }
    const ends = await ended(journal, ids)
    expect(ends.map(({ errorCode, reached }) => [errorCode, reached])).toEqual([
      ['ACCESS_DENIED', false],
      ['UPSTREAM_TIMEOUT', true],
      ['INTERNAL_ERROR', false],
      ['INTERNAL_ERROR', false],
      [undefined, false],
    ])
    expect(warnings).toHaveLength(2)
  })

  test('cancelling ends one that waits; one that runs is aborted only if its runner allows', async () => {
    await using journal = testJournal({ store: at.store })
    const firm = gated(1)
    const soft = gated(1, { cancellable: true })
    journal.register('firm', firm.runner)
    journal.register('soft', soft.runner)
    const waiting = await journal.reserve(queued({ kind: 'firm', key: 'k' }))
    const told = journal.wait(waiting.execution.id, never)
    expect(await journal.cancel(waiting.execution.id)).toBe(true)
    expect(await told).toMatchObject({ state: 'failed', errorCode: 'CANCELLED', reached: false })
    expect(await journal.cancel(waiting.execution.id)).toBe(false)
    expect(await journal.cancel('nobody')).toBe(false)

    journal.start()
    const one = await journal.reserve(queued({ kind: 'firm' }))
    const other = await journal.reserve(queued({ kind: 'soft' }))
    await until(() => firm.running.length === 1 && soft.running.length === 1)
    expect(await journal.cancel(one.execution.id)).toBe(false)
    expect(await journal.cancel(other.execution.id)).toBe(true)
    expect(await journal.wait(other.execution.id, never)).toMatchObject({ errorCode: 'CANCELLED' })
    firm.letGo()
    expect(await journal.wait(one.execution.id, never)).toMatchObject({ state: 'done' })
    expect(firm.running).toHaveLength(1) // the cancelled one was never begun
  })

  test('waiting ends with the signal, and for what is not there with JOB_NOT_FOUND', async () => {
    await using journal = testJournal({ store: at.store })
    const { execution } = await journal.reserve(queued())
    const stop = new AbortController()
    const waiting = journal.wait(execution.id, stop.signal)
    stop.abort(new Error('enough'))
    await expect(waiting).rejects.toThrow('enough')
    await expect(journal.wait(execution.id, stop.signal)).rejects.toThrow('enough')
    await expect(journal.wait('nobody', never)).rejects.toEqual(code('JOB_NOT_FOUND'))
  })

  test('stopping lets bodies end within the budget and begins none', async () => {
    await using journal = testJournal({ store: at.store })
    const slow = gated(1)
    journal.register('gateway', slow.runner)
    journal.start()
    const first = await journal.reserve(queued())
    const second = await journal.reserve(queued())
    await until(() => slow.running.length === 1)
    const stopping = journal.stop(5_000)
    await expect(journal.reserve(queued())).rejects.toEqual(code('SHUTTING_DOWN'))
    slow.letGo()
    await stopping
    expect(await journal.get(first.execution.id)).toMatchObject({ state: 'done' })
    expect(await journal.get(second.execution.id)).toMatchObject({
      state: 'reserved',
      owned: false,
    })
    journal.start()
    expect(await journal.wait(second.execution.id, never)).toMatchObject({ state: 'done' })
  })

  test('after the budget bodies are aborted: unsent ones wait again, sent ones as their kind demands', async () => {
    await using journal = testJournal({ store: at.store })
    let begun = 0
    journal.register('gateway', {
      concurrency: 4,
      async run(execution, signal) {
        if (execution.subject !== 'unsent') await execution.sent()
        begun += 1
        // Two kinds of bodies: those that heed the signal and those that do not.
        if (execution.subject === 'deaf') await new Promise(() => undefined)
        await new Promise((_, reject) =>
          signal.addEventListener('abort', () => reject(signal.reason)),
        )
      },
    })
    journal.start()
    const reserved = await Promise.all([
      journal.reserve(queued({ subject: 'unsent' })),
      journal.reserve(queued({ subject: 'sent', repeatable: true })),
      journal.reserve(queued({ subject: 'sent' })),
      journal.reserve(queued({ subject: 'deaf' })),
    ])
    await until(() => begun === 4)
    await journal.stop(10, 50)
    const left = await Promise.all(reserved.map(({ execution }) => journal.get(execution.id)))
    expect(left.map((one) => [one?.state, one?.owned])).toEqual([
      ['reserved', false],
      ['reserved', false],
      ['unknown', false],
      ['unknown', false],
    ])
    // A status only moves forward: what was begun once says so while it waits again.
    expect(left.slice(0, 2).every((one) => one?.startedAtMs !== undefined)).toBe(true)
  })

  test('a kind has one runner, which runs at least one', async () => {
    await using journal = testJournal({ store: at.store })
    journal.register('gateway', gated(1).runner)
    expect(() => journal.register('gateway', gated(1).runner)).toThrow(code('CONFLICT'))
    expect(() => journal.register('runtime', gated(0).runner)).toThrow(code('CONFIG_INVALID'))
  })

  if (at.engine !== 'postgres') return

  test('waiting on one node ends when another node finishes, and its worker wakes for work of others', async () => {
    await using a = testJournal({ store: at.store, pollMs: 60_000 })
    await using b = testJournal({ store: await at.open(), pollMs: 60_000 })
    b.register('gateway', gated(1).runner)
    const runs: string[] = []
    b.register('relay', {
      concurrency: 1,
      async run(execution) {
        runs.push(execution.id)
        await execution.finish(bytes('there'))
      },
    })
    b.start()
    const started = performance.now()
    const { execution } = await a.reserve(queued({ kind: 'relay' }))
    expect(await a.wait(execution.id, never)).toMatchObject({ state: 'done' })
    expect(performance.now() - started).toBeLessThan(5_000)
    expect(runs).toEqual([execution.id])
    const inlineRun = await b.reserve({ ...queued({ key: 'k' }), mode: 'inline' })
    const joined = a.wait(inlineRun.execution.id, never)
    if (inlineRun.state === 'held') await inlineRun.execution.finish(bytes('x'))
    expect(await joined).toMatchObject({ state: 'done' })
  })

  test('two nodes share 500 queued executions, and each is run once', async () => {
    const stores = [at.store, await at.open()]
    const runs = new Map<string, number>()
    const nodes = stores.map((store) => testJournal({ store }))
    await using a = nodes[0] as Journal
    await using b = nodes[1] as Journal
    const perNode = [0, 0]
    for (const [index, node] of [a, b].entries()) {
      node.register('gateway', {
        concurrency: 8,
        async run(execution) {
          perNode[index] = (perNode[index] ?? 0) + 1
          runs.set(execution.id, (runs.get(execution.id) ?? 0) + 1)
          await execution.finish(bytes(''))
        },
      })
    }
    const reserved = await Promise.all(Array.from({ length: 500 }, () => a.reserve(queued())))
    a.start()
    b.start()
    const ids = reserved.map(({ execution }) => execution.id)
    const ends = await ended(a, ids)
    expect(ends.every(({ state, attempts }) => state === 'done' && attempts === 1)).toBe(true)
    expect([...runs.values()].every((count) => count === 1)).toBe(true)
    expect(runs.size).toBe(500)
    expect(Math.min(...perNode)).toBeGreaterThan(0)
  }, 60_000)
})
