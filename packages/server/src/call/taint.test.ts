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
    using later = new Taint({ store: at.store, now: () => clock.ms, warn })
    await later.load()
    expect(later.of('txn_1')).toEqual([])
  })
})
