import { expect, test } from 'vitest'
import { eachStore } from '../store/test-store.ts'
import { Taint } from './taint.ts'

const warn = (line: string) => {
  throw new Error(line)
}

eachStore('what transactions have read', (at) => {
  test('is known at once, and to whoever loads it after a restart', async () => {
    using taint = new Taint({ store: at.store, now: () => 1, warn })
    await taint.load()
    await taint.add('txn_1', ['hr', 'confidential'])
    await taint.add('txn_1', ['hr'])
    expect(taint.of('txn_1')).toEqual(['confidential', 'hr'])
    expect(taint.of('txn_2')).toEqual([])
    using later = new Taint({ store: at.store, now: () => 1, warn })
    await later.load()
    expect(later.of('txn_1')).toEqual(['confidential', 'hr'])
  })

  test('goes from one transaction to the next, and is never taken away by a reload', async () => {
    using taint = new Taint({ store: at.store, now: () => 1, warn })
    const adding = taint.add('txn_1', ['hr'])
    expect(taint.of('txn_1')).toEqual(['hr'])
    await Promise.all([taint.load(), adding, taint.load()])
    await taint.inherit('txn_1', 'txn_2')
    await taint.inherit('txn_3', 'txn_2')
    expect(taint.of('txn_2')).toEqual(['hr'])
  })

  test('is forgotten when no transaction can be that old', async () => {
    const clock = { ms: 1 }
    using taint = new Taint({ store: at.store, now: () => clock.ms, warn })
    await taint.add('txn_1', ['hr'])
    clock.ms = 9 * 24 * 3_600_000
    await taint.prune()
    await taint.load()
    expect(taint.of('txn_1')).toEqual([])
    using later = new Taint({ store: at.store, now: () => clock.ms, warn })
    await later.load()
    expect(later.of('txn_1')).toEqual([])
  })

  test('is on disk for whoever reads the same at the same time, also after a write that failed', async () => {
    const gate = Promise.withResolvers<void>()
    let failing = true
    const { db, onChange } = at.store
    const write: typeof at.store.write = async (fn, options) => {
      await gate.promise
      if (failing) throw new Error('disk full')
      return at.store.write(fn, options)
    }
    using taint = new Taint({ store: { db, onChange, write }, now: () => 1, warn })
    await taint.load()
    const first = taint.add('txn_both', ['hr'])
    const second = taint.add('txn_both', ['hr'])
    await taint.load()
    expect(taint.of('txn_both')).toEqual(['hr'])
    gate.resolve()
    const both = await Promise.allSettled([first, second])
    expect(both.map(({ status }) => status)).toEqual(['rejected', 'rejected'])
    failing = false
    await taint.add('txn_both', ['hr'])
    using later = new Taint({ store: at.store, now: () => 1, warn })
    await later.load()
    expect(later.of('txn_both')).toEqual(['hr'])
  })
})
